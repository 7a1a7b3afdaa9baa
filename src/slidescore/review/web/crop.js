// A small picture round a cell, put together from tiles of the viewer, with the outlines of the cell.

import { tileUrl } from "./api.js";

/** Width of what is shown, as in the reports' example cells. */
const CROP_UM = 40;
const CROP_PX_L0 = 120;

/** Draw a cell into a canvas; tiles that cannot be had leave the ground of the page. */
export async function drawCrop(canvas, slide, view, cell, colour) {
  const side = slide.mpp ? CROP_UM / slide.mpp : CROP_PX_L0;
  const sharp = window.devicePixelRatio || 1;
  const width = canvas.clientWidth * sharp;
  canvas.width = canvas.height = width;
  const scale = width / side;
  const left = cell.x - side / 2;
  const top = cell.y - side / 2;
  const k = Math.min(slide.pixels.k_max, Math.max(slide.pixels.k_min, Math.floor(Math.log2(1 / scale))));
  const span = slide.pixels.tile * 2 ** k;
  const wanted = [];
  for (let row = Math.max(0, Math.floor(top / span)); row * span < Math.min(top + side, slide.height); row += 1) {
    for (
      let column = Math.max(0, Math.floor(left / span));
      column * span < Math.min(left + side, slide.width);
      column += 1
    ) {
      wanted.push([column, row]);
    }
  }
  const images = await Promise.all(wanted.map(([column, row]) => load(tileUrl(slide, view, k, column, row))));
  const sheet = canvas.getContext("2d");
  sheet.clearRect(0, 0, width, width);
  images.forEach((image, n) => {
    if (!image) return;
    const [column, row] = wanted[n];
    const [x, y] = [(column * span - left) * scale, (row * span - top) * scale];
    sheet.drawImage(image, x, y, image.naturalWidth * 2 ** k * scale, image.naturalHeight * 2 ** k * scale);
  });
  const trace = (corners, style) => {
    if (!corners?.length) return;
    sheet.beginPath();
    corners.forEach(([x, y]) => sheet.lineTo((x - left) * scale, (y - top) * scale));
    sheet.closePath();
    sheet.lineWidth = 1.5 * sharp;
    sheet.strokeStyle = style;
    sheet.stroke();
  };
  trace(cell.outline, colour);
  trace(cell.nucleus, "#ffffff");
}

function load(address) {
  return new Promise((resolve) => {
    const image = new Image();
    image.onload = () => resolve(image);
    image.onerror = () => resolve(null);
    image.src = address;
  });
}
