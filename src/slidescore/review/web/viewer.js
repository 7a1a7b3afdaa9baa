// The slide in OpenSeadragon: its views, where it looks, and the way between screen and slide.
// Places are level-0 pixels of the slide everywhere; zoom is screen pixels per level-0 pixel.

import { tileUrl } from "./api.js";

const MOST_ZOOM = 8;
const ZOOM_STEP = 1.5;
/** A move counts as ended when nothing has moved for so long. */
const REST_MS = 200;

/**
 * Open a slide.
 *
 * `slide` is the answer of /api/slides/{id}, `view` its first view, `place` `{x, y, zoom}`, or null for all of it.
 */
export function makeViewer(element, slide, { view, place, label }) {
  quiet(window.OpenSeadragon);
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const shrink = 2 ** slide.pixels.k_min;
  const osd = window.OpenSeadragon({
    element,
    drawer: "canvas",
    showNavigationControl: false,
    showNavigator: true,
    navigatorPosition: "BOTTOM_RIGHT",
    navigatorSizeRatio: 0.18,
    navigatorAutoFade: false,
    navigatorDisplayRegionColor: "#006a6a",
    navigatorBorderColor: "#9aa4a6",
    navigatorBackground: "transparent",
    preserveViewport: true,
    visibilityRatio: 0.5,
    minZoomImageRatio: 0.5,
    maxZoomPixelRatio: MOST_ZOOM * shrink,
    zoomPerClick: 2,
    zoomPerScroll: 1.25,
    animationTime: still ? 0 : 0.3,
    springStiffness: 10,
    blendTime: 0,
    imageLoaderLimit: 6,
    maxImageCacheCount: 500,
    tileRetryMax: 2,
    tileRetryDelay: 1500,
    gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true, flickEnabled: !still },
    gestureSettingsTouch: { clickToZoom: false, dblClickToZoom: true, pinchRotate: false },
    gestureSettingsPen: { clickToZoom: false, dblClickToZoom: false },
  });
  osd.canvas.setAttribute("role", "application");
  osd.canvas.setAttribute("aria-label", label);
  osd.navigator.element.setAttribute("aria-hidden", "true");
  // The keys of the page are in keys.js and crosshair.js; OpenSeadragon's own include letters that QuPath uses.
  osd.addHandler("canvas-key", (event) => {
    event.preventDefaultAction = true;
  });

  osd.navigator.world.addHandler("add-item", ({ item }) => {
    // The navigator shows where on the slide one is: without cells.
    if (item.source.isLayer) osd.navigator.world.removeItem(item);
  });

  const source = (urlOf, isLayer) => ({
    width: slide.width / shrink,
    height: slide.height / shrink,
    tileSize: slide.pixels.tile,
    tileOverlap: 0,
    minLevel: 0,
    maxLevel: slide.pixels.k_max - slide.pixels.k_min,
    isLayer,
    getTileUrl: (level, column, row) => urlOf(slide.pixels.k_max - level, column, row),
  });

  /** Add a picture of the whole slide; resolves with it when it stands in the world. */
  const add = (urlOf, { isLayer, ...options }) =>
    new Promise((resolve, reject) => {
      const width = 1;
      osd.addTiledImage({
        tileSource: source(urlOf, isLayer),
        x: 0,
        y: 0,
        width,
        ...options,
        success: ({ item }) => resolve(item),
        error: reject,
      });
    });

  // Pictures of the slide itself, the newest on top; layers of cells lie above all of them.
  let bases = [];
  let turn = Promise.resolve();
  const perWidth = () => osd.viewport.getContainerSize().x;

  const api = {
    osd,

    /** Change to another view; the one before stays beneath until the new one is there. */
    showView(name) {
      turn = turn.then(async () => {
        const item = await add((k, column, row) => tileUrl(slide, name, k, column, row), { index: bases.length });
        const before = bases;
        bases = [...bases, item];
        whenLoaded(item, () => {
          if (bases.at(-1) !== item) return;
          before.filter((each) => bases.includes(each)).forEach((each) => osd.world.removeItem(each));
          bases = [item];
        });
      });
      return turn;
    },

    /** Lay a transparent picture over the slide; what is invisible is loaded all the same. */
    addLayer: (urlOf, opacity) => add(urlOf, { isLayer: true, opacity, preload: true }),
    removeLayer: (item) => osd.world.removeItem(item),
    whenLoaded,

    /** Where the middle is, and how large a level-0 pixel is on the screen. */
    place() {
      const middle = osd.viewport.getCenter();
      return {
        x: middle.x * slide.width,
        y: middle.y * slide.width,
        zoom: (osd.viewport.getZoom() * perWidth()) / slide.width,
      };
    },

    lookAt({ x, y, zoom }, immediately = still) {
      if (zoom) osd.viewport.zoomTo((zoom * slide.width) / perWidth(), null, immediately);
      osd.viewport.panTo(new window.OpenSeadragon.Point(x / slide.width, y / slide.width), immediately);
    },

    /** Turn level-0 px into px of the viewer's element. */
    toScreen([x, y]) {
      const point = osd.viewport.pixelFromPoint(new window.OpenSeadragon.Point(x / slide.width, y / slide.width), true);
      return [point.x, point.y];
    },

    /** Turn px of the viewer's element into level-0 px. */
    toSlide([x, y]) {
      const point = osd.viewport.pointFromPixel(new window.OpenSeadragon.Point(x, y), true);
      return [point.x * slide.width, point.y * slide.width];
    },

    /** The part of the slide that can be seen: [x0, y0, x1, y1] in level-0 px, within the slide. */
    box() {
      const { x, y } = osd.viewport.getContainerSize();
      const [[x0, y0], [x1, y1]] = [api.toSlide([0, 0]), api.toSlide([x, y])];
      const within = (value, end) => Math.min(end, Math.max(0, value));
      return [within(x0, slide.width), within(y0, slide.height), within(x1, slide.width), within(y1, slide.height)];
    },

    size: () => osd.viewport.getContainerSize(),

    zoomBy(steps) {
      osd.viewport.zoomBy(ZOOM_STEP ** steps, null, still);
      osd.viewport.applyConstraints(still);
    },

    fit() {
      osd.viewport.goHome(still);
    },

    /** Move what is seen by so many px of the screen. */
    panBy(x, y) {
      osd.viewport.panBy(osd.viewport.deltaPointsFromPixels(new window.OpenSeadragon.Point(x, y)), still);
      osd.viewport.applyConstraints(still);
    },

    focus() {
      osd.canvas.focus();
    },

    /** Call on every frame in which the slide moves or the window changes. */
    onMove(act) {
      for (const name of ["update-viewport", "resize"]) osd.addHandler(name, act);
    },

    /** Call when a move has ended. */
    onRest(act) {
      let timer;
      const wait = () => {
        clearTimeout(timer);
        timer = setTimeout(act, REST_MS);
      };
      for (const name of ["viewport-change", "resize", "open"]) osd.addHandler(name, wait);
      wait();
    },
  };

  api.showView(view).then(() => (place ? api.lookAt(place, true) : osd.viewport.goHome(true)));
  return api;
}

/** OpenSeadragon warns of every tile that comes after its layer went, which is nothing unusual here. */
function quiet(library) {
  const silent = () => undefined;
  library.console = { log: silent, debug: silent, info: silent, warn: silent, assert: silent, error: console.error };
}

function whenLoaded(item, act) {
  if (item.getFullyLoaded()) return act();
  const heard = ({ fullyLoaded }) => {
    if (!fullyLoaded) return;
    item.removeHandler("fully-loaded-change", heard);
    act();
  };
  item.addHandler("fully-loaded-change", heard);
}
