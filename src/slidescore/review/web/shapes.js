// Plain geometry of what is drawn on a slide: lists of corners [x, y].

/** Corners that the server takes at most. */
const MOST_CORNERS = 5000;

export const distance = ([x0, y0], [x1, y1]) => Math.hypot(x1 - x0, y1 - y0);

/** The corners of a box between two opposite ones. */
export const boxBetween = ([x0, y0], [x1, y1]) => [
  [x0, y0],
  [x1, y0],
  [x1, y1],
  [x0, y1],
];

/** The area inside a shape, in squares of its unit. */
export function areaOf(corners) {
  let doubled = 0;
  corners.forEach(([x, y], k) => {
    const [u, v] = corners[(k + 1) % corners.length];
    doubled += x * v - u * y;
  });
  return Math.abs(doubled) / 2;
}

/** Leave out corners of a freehand line until the server takes it, and write them to a tenth of a pixel. */
export function thinned(corners) {
  const every = Math.ceil(corners.length / MOST_CORNERS);
  return corners.filter((_, k) => k % every === 0).map(([x, y]) => [Math.round(x * 10) / 10, Math.round(y * 10) / 10]);
}
