// The history of a slide: who did what and why, newest first, with undo beside every edit that stands.

import { byId, make } from "./dom.js";
import { showNumber, showTime } from "./format.js";
import { icon } from "./icons.js";
import { reviewerName } from "./reviewer.js";

const ICONS = {
  cells: "pencil",
  region: "region",
  undo: "undo",
  redo: "redo",
  verdict: "accept",
  comment: "comment",
  reading: "eye",
};

/** Keep the list right. `on` has `undo(seq)` and `redo(seq)`. */
export function mountHistory(store, on) {
  const size = byId("history-size");
  size.addEventListener("click", () => {
    const large = document.body.classList.toggle("history-large");
    size.textContent = large ? "show less" : "show more";
    size.setAttribute("aria-expanded", large);
  });
  let last = Infinity;
  store.on(["review"], ({ review }) => {
    const events = [...review.history].reverse();
    const newest = events[0];
    const own = newest?.seq > last && newest.reviewer === reviewerName();
    last = newest?.seq ?? 0;
    byId("history-count").textContent = events.length ? showNumber(events.length) : "";
    byId("history").replaceChildren(
      ...(events.length
        ? events.map((event) => row(event, on))
        : [make("li", { class: "quiet" }, "Nothing changed or signed yet.")]),
    );
    // Who did something sees it stand there; others' acts leave the list where it is read.
    if (own) byId("history").scrollTop = 0;
  });
}

function row(event, on) {
  const { seq, utc, reviewer, kind, text, reason, active, applies, undoable, redoable } = event;
  const notes = [];
  if (applies === false) notes.push("of an earlier result, not applied");
  else if (!active && ["cells", "region"].includes(kind)) notes.push("undone");
  const act = undoable ? ["undo", on.undo] : redoable ? ["redo", on.redo] : null;
  const button =
    act &&
    make(
      "button",
      { type: "button", class: "link small", "aria-label": `${act[0]} #${seq}`, onclick: () => act[1](seq) },
      act[0],
    );
  return make(
    "li",
    { class: active === false || applies === false ? "past-event gone" : "past-event", "data-seq": seq },
    icon(ICONS[kind] ?? "comment"),
    make("div", {}, [
      make("span", { class: "what" }, text),
      notes.length ? make("span", { class: "quiet small" }, ` (${notes.join(", ")})`) : null,
      reason ? make("span", { class: "why" }, `“${reason}”`) : null,
      make("span", { class: "under" }, `#${seq} · ${reviewer} · ${showTime(utc)}`),
    ]),
    button,
  );
}
