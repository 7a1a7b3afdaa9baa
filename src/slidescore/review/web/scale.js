// The scale bar, bottom left: a round length in µm or mm, the magnification, and whether the resolution was supplied.

import { byId, make } from "./dom.js";
import { showLength } from "./format.js";

const MOST_PX = 150;
/** Magnification of an objective whose camera has pixels of this many µm / magnification, as vendors state it. */
const UM_TIMES_MAGNIFICATION = 10;

/** Keep the scale bar right. */
export function mountScale(viewer, slide) {
  const bar = make("div", { class: "scale-bar" });
  const words = make("div");
  byId("scale").replaceChildren(bar, words);
  if (!slide.mpp) {
    bar.hidden = true;
    words.textContent = "resolution unknown";
    return;
  }
  const supplied = slide.mpp_source === "file" ? "" : ", resolution supplied";
  const draw = () => {
    const umPerPx = slide.mpp / viewer.place().zoom;
    const um = roundLength(MOST_PX * umPerPx);
    bar.style.width = `${um / umPerPx}px`;
    const magnification = UM_TIMES_MAGNIFICATION / umPerPx;
    const times = magnification >= 10 ? Math.round(magnification) : Number(magnification.toPrecision(2));
    words.textContent = `${showLength(um)} · ${times}×${supplied}`;
  };
  viewer.onMove(draw);
  viewer.osd.addHandler("open", draw);
  draw();
}

/** The largest of 1, 2, 5, 10, 20 ... that is not above `um`. */
function roundLength(um) {
  const power = 10 ** Math.floor(Math.log10(um));
  const step = [5, 2, 1].find((factor) => factor * power <= um) ?? 1;
  return Number((step * power).toPrecision(1));
}
