// The tools on the slide: pointing at cells, selecting several, drawing round cells (lasso) or an area (region).
// A drag draws freehand; clicks, or Enter at the crosshair, set corners. All of it works with the keyboard alone.

import { announce, byId, toggle } from "./dom.js";
import { areaOf, boxBetween, distance, thinned } from "./shapes.js";

const FREEHAND_STEP_PX = 3;
const CLOSING_PX = 10;
const SAME_PLACE_PX = 2;
const DOUBLE_CLICK_MS = 500;
const LEAST_CORNERS = 3;
const LEAST_AREA_PX2 = 16;

export const DRAWING_TOOLS = ["lasso", "region"];
const KEY_WORDS = {
  pan: "",
  select: "Arrows move the crosshair, Enter adds or removes the cell.",
  lasso: "Arrows move the crosshair, Enter sets a corner, Enter twice closes.",
  region: "Arrows move the crosshair, Enter sets a corner, Enter twice closes.",
};
const WORDS = {
  pan: "",
  select: "Click cells to add or remove them, or drag a box.",
  lasso: "Drag round cells, or click corners; a double click closes.",
  region: "Drag round an area, or click corners; a double click closes.",
};

/**
 * Wire the tools. `on.point(place, {add})` is told of a place that is pointed at, `on.shape(tool, corners)` of a
 * finished shape.
 *
 * `store.draft` holds the corners drawn so far in level-0 px, `store.box` the other corner of a box that is dragged.
 */
export function mountTools(store, viewer, on) {
  const { state } = store;
  const { osd } = viewer;
  const at = (event) => viewer.toSlide([event.position.x, event.position.y]);
  let dragged = null;
  let drawn = false;
  let closedAt = -DOUBLE_CLICK_MS;

  for (const button of document.querySelectorAll("[data-tool]")) {
    button.addEventListener("click", () => choose(button.dataset.tool));
  }
  document.querySelector("[data-action=close-shape]").addEventListener("click", () => close());
  document.querySelector("[data-action=drop-point]").addEventListener("click", () => dropCorner());
  document.querySelector("[data-action=cancel-shape]").addEventListener("click", () => choose("pan"));
  store.on(["tool", "draft", "crosshair"], show);

  osd.addHandler("canvas-press", (event) => {
    dragged = at(event);
    drawn = false;
    store.set({ crosshair: null });
  });
  osd.addHandler("canvas-click", (event) => {
    // A quick stroke that ends where it began is a click as well.
    if (!event.quick || drawn) return;
    if (DRAWING_TOOLS.includes(state.tool)) setCorner(at(event));
    else on.point(at(event), { add: state.tool === "select" || event.shift });
  });
  osd.addHandler("canvas-double-click", (event) => {
    // The second click of a double click may have closed the shape already; it shall not zoom.
    const closing = performance.now() - closedAt < DOUBLE_CLICK_MS;
    if (state.tool === "pan" && !closing) return;
    event.preventDefaultAction = true;
    if (DRAWING_TOOLS.includes(state.tool)) close();
  });
  osd.addHandler("canvas-drag", (event) => {
    if (state.tool === "pan") return;
    event.preventDefaultAction = true;
    const place = at(event);
    if (state.tool === "select") return store.set({ draft: dragged && boxBetween(dragged, place) });
    const draft = state.draft ?? [dragged];
    if (onScreen(draft.at(-1), place) >= FREEHAND_STEP_PX) store.set({ draft: [...draft, place] });
  });
  osd.addHandler("canvas-drag-end", (event) => {
    if (state.tool === "pan") return;
    event.preventDefaultAction = true;
    drawn = true;
    close();
  });

  const onScreen = (a, b) => distance(viewer.toScreen(a), viewer.toScreen(b));

  function choose(tool) {
    store.set({ tool, draft: null });
    osd.gestureSettingsMouse.dblClickToZoom = osd.gestureSettingsTouch.dblClickToZoom = tool === "pan";
  }

  function setCorner(place) {
    const draft = state.draft ?? [];
    const again = draft.length && onScreen(draft.at(-1), place) <= SAME_PLACE_PX;
    const closing = draft.length >= LEAST_CORNERS && (again || onScreen(draft[0], place) <= CLOSING_PX);
    if (closing) return close();
    if (again) return;
    store.set({ draft: [...draft, place] });
    announce(`corner ${draft.length + 1}`);
  }

  function dropCorner() {
    if (!state.draft) return;
    const draft = state.draft.slice(0, -1);
    store.set({ draft: draft.length ? draft : null });
    announce(`${draft.length} corners left`);
  }

  function close() {
    const { draft, tool } = state;
    if (!draft) return;
    const screenArea = areaOf(draft.map(viewer.toScreen));
    if (draft.length < LEAST_CORNERS || screenArea < LEAST_AREA_PX2) {
      announce("A shape needs three corners.");
      if (tool === "select") store.set({ draft: null });
      return;
    }
    if (tool === "select") store.set({ draft: null });
    else choose("pan");
    closedAt = performance.now();
    on.shape(tool, thinned(draft));
  }

  function show() {
    for (const button of document.querySelectorAll("[data-tool]"))
      button.setAttribute("aria-pressed", button.dataset.tool === state.tool);
    byId("glass").dataset.drawing = state.tool;
    byId("hint-words").textContent = (state.crosshair ? KEY_WORDS : WORDS)[state.tool];
    toggle(byId("hint"), state.tool !== "pan");
    toggle(byId("hint-buttons"), DRAWING_TOOLS.includes(state.tool));
    const n = state.draft?.length ?? 0;
    document.querySelector("[data-action=close-shape]").disabled = n < LEAST_CORNERS;
    document.querySelector("[data-action=drop-point]").disabled = n < 1;
  }
  show();
  return { choose, setCorner, dropCorner };
}
