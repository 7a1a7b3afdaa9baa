// The slide by keyboard: a crosshair that Enter acts at. With the Move tool the slide moves under it; with the other
// tools it moves over the slide.

import { DRAWING_TOOLS } from "./tools.js";

const PAN_PX = 60;
const STEP_PX = 24;
const FINE_PX = 3;
const RIM_PX = 24;
const WAYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** Listen to the keys of the viewer; `tools` is what mountTools returned, `point` is told of a place that is picked. */
export function mountCrosshair(store, viewer, tools, point) {
  const { state } = store;
  const canvas = viewer.osd.canvas;
  const middle = () => [viewer.size().x / 2, viewer.size().y / 2];

  // The crosshair is for those who came by keys: a click focuses the slide as well.
  let byKeys = false;
  document.addEventListener("keydown", () => mark(true), true);
  document.addEventListener("pointerdown", () => mark(false), true);
  canvas.addEventListener("focus", () => byKeys && store.set({ crosshair: middle() }));
  canvas.addEventListener("blur", () => store.set({ crosshair: null }));
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const way = WAYS[event.key];
    if (way) move(way, event.shiftKey);
    else if (event.key === "Enter") act(event.shiftKey);
    else if (event.key === "Backspace" && state.draft) tools.dropCorner();
    else return;
    event.preventDefault();
  });

  function mark(keys) {
    byKeys = keys;
    document.body.classList.toggle("by-keys", keys);
  }

  function move([x, y], fine) {
    const from = state.crosshair ?? middle();
    if (state.tool === "pan") {
      const step = fine ? STEP_PX : PAN_PX;
      viewer.panBy(x * step, y * step);
      return store.set({ crosshair: middle() });
    }
    const step = fine ? FINE_PX : STEP_PX;
    const to = [from[0] + x * step, from[1] + y * step];
    const { x: width, y: height } = viewer.size();
    const out = to[0] < RIM_PX || to[1] < RIM_PX || to[0] > width - RIM_PX || to[1] > height - RIM_PX;
    // At the rim the slide moves instead, so that shapes can be larger than the window.
    if (out) viewer.panBy(x * step, y * step);
    store.set({ crosshair: out ? from : to });
  }

  function act(add) {
    const place = viewer.toSlide(state.crosshair ?? middle());
    store.set({ crosshair: state.crosshair ?? middle() });
    if (DRAWING_TOOLS.includes(state.tool)) tools.setCorner(place);
    else point(place, { add: add || state.tool === "select" });
  }
}
