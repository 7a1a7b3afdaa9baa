// The cells over the slide: which are drawn, in which colours, how strongly. The server draws them as tiles.

import { overlayUrl } from "./api.js";
import { byId, make, whenQuiet } from "./dom.js";
import { BIN_NAMES, showNumber } from "./format.js";

const KEPT = "slidescore.layers";
const SOON_MS = 60;
const PREVIEW_MS = 250;
const MOST_PERCENT = 100;

/** The switches, in the order of the letters that the server takes. */
const LAYERS = [
  ...BIN_NAMES.map((words, bin) => ({ key: String(bin), letter: String(bin), words, swatch: `swatch${bin}` })),
  { key: "other", letter: "o", words: "other", swatch: "swatch-other" },
  { key: "excluded", letter: "x", words: "excluded", swatch: "swatch-excluded" },
];

/** What is drawn at the start: as this browser had it last. */
export function startLayers() {
  const start = { shown: "0123ox", opacity: 0.8, palette: "qupath", part: "cell", cells: true };
  try {
    const kept = JSON.parse(localStorage.getItem(KEPT)) ?? {};
    return {
      ...start,
      palette: kept.palette === "colourblind" ? "colourblind" : "qupath",
      opacity: kept.opacity > 0 ? kept.opacity : start.opacity,
    };
  } catch {
    return start;
  }
}

/** Wire the bar of layers and keep the overlay as it says. */
export function mountLayers(store, viewer, slide) {
  drawSwitches(store);
  const { state } = store;
  const [part, palette, opacity] = ["part", "palette", "opacity"].map(byId);
  part.value = state.part;
  palette.value = state.palette;
  opacity.value = state.opacity * MOST_PERCENT;
  part.addEventListener("change", () => store.set({ part: part.value }));
  palette.addEventListener("change", () => store.set({ palette: palette.value }));
  opacity.addEventListener("input", () => store.set({ opacity: opacity.value / MOST_PERCENT, cells: true }));
  const cells = document.querySelector("[data-action=cells]");
  cells.addEventListener("click", () => store.set({ cells: !state.cells }));

  // What is drawn stays until all of what replaces it is there, so that nothing flickers.
  let seen = null;
  let coming = null;
  let newest = 0;
  const strength = () => (state.cells ? state.opacity : 0);
  const refresh = async () => {
    const mine = ++newest;
    const query = overlayQuery(state);
    const urlOf = (k, column, row) => overlayUrl(slide.id, k, column, row, query);
    const item = query ? await viewer.addLayer(urlOf, seen ? 0 : strength()) : null;
    if (mine !== newest) return item && viewer.removeLayer(item);
    if (coming) viewer.removeLayer(coming);
    coming = item;
    const take = () => {
      if (coming !== item) return;
      if (seen) viewer.removeLayer(seen);
      [seen, coming] = [item, null];
      item?.setOpacity(strength());
    };
    if (item && seen) viewer.whenLoaded(item, take);
    else take();
  };
  const refreshSoon = whenQuiet(SOON_MS, refresh);
  const refreshLater = whenQuiet(PREVIEW_MS, refresh);

  store.on(["shown", "palette", "part"], refreshSoon);
  store.on(
    ["review"],
    whenChanged(() => state.review?.revision, refreshSoon),
  );
  store.on(
    ["preview"],
    whenChanged(() => String(state.preview?.drawn), refreshLater),
  );
  store.on(["review", "preview"], () => drawCounts(state));
  store.on(["opacity", "cells"], () => {
    seen?.setOpacity(strength());
    cells.setAttribute("aria-pressed", state.cells);
  });
  store.on(["palette", "opacity"], () => keep(state));
  store.on(["palette"], () => showPalette(state.palette));
  showPalette(state.palette);
  drawCounts(state);
  refresh();
}

/** The question for overlay tiles; "" where nothing is to be drawn. */
function overlayQuery({ shown, palette, part, preview, review }) {
  if (!shown || !review) return "";
  const query = { show: shown, palette, part, rev: review.revision };
  if (preview?.drawn) query.t = preview.drawn.join(",");
  return new URLSearchParams(query).toString();
}

function drawSwitches(store) {
  const boxes = LAYERS.map(({ key, letter, words, swatch }) => {
    const box = make("input", { type: "checkbox", "data-layer": key, checked: store.state.shown.includes(letter) });
    box.addEventListener("change", () => {
      const on = LAYERS.filter((layer) => byLayer(layer.key).checked);
      store.set({ shown: on.map((layer) => layer.letter).join("") });
    });
    const count = make("span", { class: "count", "data-count": key });
    return make("label", { class: "switch" }, box, make("span", { class: `swatch ${swatch}` }), words, count);
  });
  byId("switches").replaceChildren(...boxes);
}

/** Write how many cells of each kind the slide has, as reviewed, or as previewed, which leaves corrections out. */
function drawCounts({ review, preview }) {
  const { n_other: other, n_excluded: excluded, bins } = preview?.drawn ? review.automatic : review.reviewed;
  const counts = { ...((preview?.drawn && preview.result?.bins) || bins), other, excluded };
  for (const { key } of LAYERS) document.querySelector(`[data-count="${key}"]`).textContent = showNumber(counts[key]);
}

const byLayer = (key) => document.querySelector(`[data-layer="${key}"]`);

function showPalette(palette) {
  document.documentElement.dataset.palette = palette;
}

function keep({ palette, opacity }) {
  localStorage.setItem(KEPT, JSON.stringify({ palette, opacity }));
}

function whenChanged(value, act) {
  let before = value();
  return () => {
    const now = value();
    if (now !== before) act();
    before = now;
  };
}
