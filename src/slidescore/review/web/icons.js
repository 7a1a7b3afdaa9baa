// The icons of the app: lines in a square of 24, drawn in the colour of the text beside them.

import { makeSvg } from "./dom.js";

const PATHS = {
  accept: "M5 12.5l4.5 4.5L19 7.5",
  back: "M15 5l-7 7 7 7",
  comment: "M4 5h16v11H11l-4 4v-4H4z",
  cross: "M6 6l12 12M18 6L6 18",
  download: "M12 4v11M7.5 11l4.5 4.5 4.5-4.5M5 20h14",
  eye: "M2.5 12S6 6 12 6s9.5 6 9.5 6-3.5 6-9.5 6-9.5-6-9.5-6zM12 9.5a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5z",
  fit: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
  flag: "M6 21V4h12l-2.5 4L18 12H6",
  lasso: "M12 4.5c4.7 0 8 2.2 8 5s-3.3 5-8 5-8-2.2-8-5 3.3-5 8-5zM8 14c-1.6.7-1.9 2-.9 3 1 .9.9 2.3-.6 3.2",
  minus: "M5 12h14",
  next: "M9 5l7 7-7 7",
  open: "M12 4.5a7.5 7.5 0 1 0 0 15 7.5 7.5 0 0 0 0-15z",
  override: "M4 8h14l-3.5-3.5M20 16H6l3.5 3.5",
  pan: "M12 3v18M3 12h18M9.5 5.5L12 3l2.5 2.5M9.5 18.5L12 21l2.5-2.5M5.5 9.5L3 12l2.5 2.5M18.5 9.5L21 12l-2.5 2.5",
  pencil: "M4 20l1-4.5L15.5 5l3.5 3.5L8.5 19z",
  plus: "M12 5v14M5 12h14",
  redo: "M16 5l4 4-4 4M20 9H10a5 5 0 0 0 0 10h3",
  region: "M5 8.5L13 4l7 6-3 9H7z",
  select: "M6 3.5l12 8.5-5.2 1.2 2.9 5.7-2.6 1.3-2.9-5.7L6 18z",
  undo: "M8 5L4 9l4 4M4 9h10a5 5 0 0 1 0 10h-3",
  user: "M12 11.5a3.7 3.7 0 1 0 0-7.5 3.7 3.7 0 0 0 0 7.5zM4.5 20.5c0-3.7 3.4-5.5 7.5-5.5s7.5 1.8 7.5 5.5",
};

/** Draw an icon; the words beside it say what it means. */
export function icon(name) {
  const lines = makeSvg("path", { d: PATHS[name] });
  return makeSvg("svg", { class: "icon", viewBox: "0 0 24 24", "aria-hidden": "true" }, lines);
}

/** Put an icon before the words of every element that names one. */
export function fillIcons(root = document) {
  for (const element of root.querySelectorAll("[data-icon]")) element.prepend(icon(element.dataset.icon));
}
