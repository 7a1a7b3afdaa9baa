// The views of a slide (as scanned, one stain alone, DAB in colours), and the place in the address.

import { announce, byId, toggle, whenQuiet } from "./dom.js";
import { showCount } from "./format.js";
import { makeViewer } from "./viewer.js";

const WORDS = {
  rgb: "as scanned",
  hematoxylin: "hematoxylin alone",
  dab: "DAB alone",
  heat: "DAB optical density in colours",
};
const REMEMBER_MS = 300;
const LABEL = "Slide. Arrow keys move, plus and minus zoom, Enter selects the cell at the crosshair.";
const NO_VIEWER = "The viewer is not installed. Run `make web`, then start slidescore review again.";
const asked = new URLSearchParams(location.search);

/** Say where the pixels come from, where that is not the slide itself; returns whether a slide can be shown. */
export function showPixelNote({ source, note }) {
  const words = window.OpenSeadragon ? note : NO_VIEWER;
  const place = byId("pixel-note");
  place.querySelector("span").textContent = words;
  place.querySelector("button").addEventListener("click", () => toggle(place, false));
  toggle(place, words);
  const shown = source !== "none" && Boolean(window.OpenSeadragon);
  document.body.classList.toggle("no-picture", !shown);
  return shown;
}

/** Whether stains can be told apart: the run's own picture has outlines in it, which are no stain. */
const isStainable = ({ pixels }) => pixels.source !== "overlay";

/** The view that the address asks for, where the slide can be shown so. */
export const askedView = (slide) => (isStainable(slide) && asked.get("view") in WORDS ? asked.get("view") : "rgb");

/** Open a slide where the address says. */
export function openViewer(slide, view, label = LABEL) {
  const [x, y, zoom] = ["x", "y", "zoom"].map((name) => Number(asked.get(name) || NaN));
  const place = [x, y, zoom].every(Number.isFinite) ? { x, y, zoom } : null;
  return makeViewer(byId("viewer"), slide, { view, place, label });
}

/** Wire the buttons of the views, and keep the address saying what is seen. */
export function mountViews(store, viewer, slide) {
  const { state } = store;
  const buttons = [...document.querySelectorAll("[data-view]")];
  for (const button of buttons.filter((each) => each.dataset.view !== "rgb" && !isStainable(slide))) {
    button.disabled = true;
    button.title = "Needs the slide itself";
  }
  const show = () => {
    for (const button of buttons) button.setAttribute("aria-pressed", button.dataset.view === state.view);
    if (!byId("heat")) return;
    if (state.view === "heat") byId("heat-legend").src = "/api/legend";
    toggle(byId("heat"), state.view === "heat");
  };
  for (const button of buttons) button.addEventListener("click", () => store.set({ view: button.dataset.view }));
  store.on(["view"], () => {
    show();
    viewer.showView(state.view);
    announce(`View: ${WORDS[state.view]}.`);
  });
  show();

  const remember = whenQuiet(REMEMBER_MS, () => {
    const { x, y, zoom } = viewer.place();
    const query = { x: Math.round(x), y: Math.round(y), zoom: Number(zoom.toPrecision(4)), view: state.view };
    history.replaceState(null, "", `?${new URLSearchParams(query)}`);
  });
  viewer.onRest(remember);
  store.on(["view"], remember);

  let failed = 0;
  viewer.osd.addHandler("tile-load-failed", () => {
    failed += 1;
    byId("tile-note").textContent =
      `${showCount(failed, "tile")} could not be had from the server. Move the slide or reload the page to try again.`;
    toggle(byId("tile-note"), true);
  });
}
