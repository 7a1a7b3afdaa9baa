// Live counts and H-score of what is in view and in the drawn region. Old numbers stay until new ones are there.

import { isGivenUp, newest, postCounts } from "./api.js";
import { binBar } from "./charts.js";
import { byId, make, toggle, whenQuiet } from "./dom.js";
import { NOTHING, showNumber, showPercent, showScore } from "./format.js";

const SOON_MS = 120;
const BAR_PX = 96;

/** Keep both rows right. */
export function mountCounts(store, viewer, slide, problem) {
  const { state } = store;
  const keeper = (row, where) => {
    const ask = newest((body, signal) => postCounts(slide.id, body, signal));
    return whenQuiet(SOON_MS, async () => {
      const area = where();
      if (!area) return;
      row.setAttribute("aria-busy", "true");
      try {
        fillRow(row, await ask(state.preview?.drawn ? { ...area, t: state.preview.drawn } : area));
        row.removeAttribute("aria-busy");
      } catch (error) {
        if (isGivenUp(error)) return;
        row.removeAttribute("aria-busy");
        problem(error);
      }
    });
  };
  const view = keeper(byId("view-counts"), () => boxOf(viewer));
  const region = keeper(byId("region-counts"), () => state.region && { polygon: state.region.polygon });
  const hint = [...byId("region-counts").children];

  viewer.onRest(view);
  store.on(["review", "preview"], () => {
    view();
    region();
  });
  store.on(["region"], () => {
    toggle(byId("region-buttons"), Boolean(state.region));
    if (state.region) region();
    else byId("region-counts").replaceChildren(...hint);
  });
}

function boxOf(viewer) {
  const box = viewer.box();
  return box[2] > box[0] && box[3] > box[1] ? { box } : null;
}

function fillRow(
  row,
  { n_tumor_cells: n, h_score: h, percent_positive: positive, bins, n_cells: all, n_excluded: excluded },
) {
  const parts = [`${showNumber(all)} cells that count`, `${showNumber(n)} of them tumor cells`];
  const title = `${parts.join(", ")}; ${showNumber(excluded)} excluded`;
  row.replaceChildren(
    row.firstElementChild,
    make("td", { class: "n", title }, make("data", { value: n }, showNumber(n))),
    make("td", { class: "n" }, make("data", { value: h ?? "" }, showScore(h, 1))),
    make("td", { class: "n" }, n ? showPercent(positive) : NOTHING),
    make("td", {}, n ? binBar(bins, { width: BAR_PX, height: 12 }) : null),
  );
}
