// What lies over the slide and moves with it: the selected cells, shapes being drawn, the region, the crosshair.

import { byId, makeSvg } from "./dom.js";

const ARM_PX = 14;
const GAP_PX = 4;
const CORNER_PX = 3;

/** Draw on every move, and whenever something that is drawn changes. */
export function mountDrawing(store, viewer) {
  const sheet = byId("drawing");
  const draw = () => sheet.replaceChildren(...parts(store.state, viewer));
  viewer.onMove(draw);
  store.on(["draft", "selection", "region", "crosshair", "tool"], draw);
}

function parts({ draft, selection, region, crosshair, tool }, viewer) {
  const drawn = [];
  const path = (corners) =>
    corners
      .map((corner) =>
        viewer
          .toScreen(corner)
          .map((value) => value.toFixed(1))
          .join(","),
      )
      .join(" ");
  // Two lines each, dark under light, are seen on any tissue.
  const shape = (tag, corners, style) => {
    const points = path(corners);
    drawn.push(
      makeSvg(tag, { points, class: `under-line ${style}` }),
      makeSvg(tag, { points, class: `over-line ${style}` }),
    );
  };
  if (region) shape("polygon", region.polygon, "shape-region");
  if (selection?.polygon) shape("polygon", selection.polygon, "shape-lasso");
  for (const cell of selection?.cells ?? []) {
    if (cell.outline?.length) shape("polygon", cell.outline, "shape-cell");
    if (cell.nucleus?.length) drawn.push(makeSvg("polygon", { points: path(cell.nucleus), class: "shape-nucleus" }));
  }
  if (draft) {
    shape(tool === "select" ? "polygon" : "polyline", draft, "shape-draft");
    if (tool !== "select") {
      const corners = draft.length > 1 ? [draft[0], draft.at(-1)] : draft;
      for (const corner of corners) {
        const [cx, cy] = viewer.toScreen(corner);
        drawn.push(makeSvg("circle", { cx, cy, r: CORNER_PX, class: "corner" }));
      }
    }
  }
  if (crosshair) drawn.push(...cross(crosshair));
  return drawn;
}

function cross([x, y]) {
  const arms = [
    [GAP_PX, ARM_PX],
    [-GAP_PX, -ARM_PX],
  ].flatMap(([from, to]) => [
    { x1: x + from, x2: x + to, y1: y, y2: y },
    { x1: x, x2: x, y1: y + from, y2: y + to },
  ]);
  return ["under-line", "over-line"].flatMap((style) =>
    arms.map((arm) => makeSvg("line", { ...arm, class: `${style} shape-cross` })),
  );
}
