// From slide to slide: the links in the bar, and J and K.

import { getSlides } from "./api.js";
import { byId } from "./dom.js";
import { reviewerName } from "./reviewer.js";
import { keepWorklist, neighboursOf, readWorklist } from "./worklist.js";

/**
 * Show the neighbours of a slide. `room` is the first part of their address, slides or read.
 *
 * Who came here without the list of slides has no place in it yet: it is asked for, and J and K work meanwhile.
 */
export function showTurning(id, fromServer, view, room = "slides") {
  const buttons = { previous: byId("previous-slide"), next: byId("next-slide") };
  let turning = neighboursOf(id, fromServer);
  let shown = view;

  function show(name) {
    shown = name;
    byId("place").textContent = turning.words;
    const back = new URLSearchParams(readWorklist().query);
    back.set("at", id);
    byId("to-cohort").href = `/?${back}`;
    for (const [way, link] of Object.entries(buttons)) {
      const target = turning[way];
      const query = name && name !== "rgb" ? `?view=${name}` : "";
      if (target) link.href = `/${room}/${encodeURIComponent(target)}${query}`;
      else link.removeAttribute("href");
      // Without an address it is no link by itself.
      link.setAttribute("role", "link");
      link.setAttribute("aria-disabled", !target);
    }
  }

  async function complete() {
    const { slides } = await getSlides(reviewerName());
    keepWorklist(
      slides.map((slide) => slide.id),
      "",
    );
    turning = neighboursOf(id, fromServer);
    show(shown);
  }

  show(view);
  if (!turning.words) complete().catch(() => undefined);
  return {
    show,
    /** Go to the next or previous slide, where there is one. */
    go: (way) => turning[way] && location.assign(buttons[way].href),
  };
}
