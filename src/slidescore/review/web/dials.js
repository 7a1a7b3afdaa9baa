// The two charts with handles: thresholds on the histogram of optical density, the cut-off on the axis of the score.

import { line, rect, text } from "./charts.js";
import { make, makePicture } from "./dom.js";
import { BIN_NAMES, operatorSign, showNumber } from "./format.js";
import { makeSlider } from "./slider.js";

const LEFT_PX = 38;
const RIGHT_PX = 8;
const TOP_PX = 50;
const BARS_PX = 96;
/** Room that the label of a threshold needs, across and down. */
const LABEL_PX = 48;
const FLAG_PX = 14;
const LEAST_PX = 240;
const OD_STEP = 0.01;
const AXIS_STEP_OD = 0.25;
const CUTOFF_TOP_PX = 30;
const CUTOFF_PX = 38;

/**
 * Draw DAB optical density of the counted tumor cells, with a handle a threshold.
 *
 * `now()` returns the thresholds `t` that are tried; `change(t)` is told of new ones.
 */
export function odChart(place, slide, now, change) {
  const { edges, counts, compartment } = slide.histogram;
  const end = edges.at(-1);
  const peak = Math.max(1, ...counts);
  const total = counts.reduce((sum, count) => sum + count, 0);
  const width = () => Math.max(LEAST_PX, place.clientWidth);
  const inner = () => width() - LEFT_PX - RIGHT_PX;
  const at = (od) => LEFT_PX + (Math.min(od, end) / end) * inner();
  const handles = BIN_NAMES.slice(1).map((name, k) =>
    makeSlider(place, {
      id: `t${k + 1}`,
      label: `${name} from DAB OD`,
      style: "handle-od",
      step: OD_STEP,
      span: () => [(now().t[k - 1] ?? 0) + OD_STEP, (now().t[k + 1] ?? end) - (k < 2 ? OD_STEP : 0)],
      at,
      from: (px) => ((px - LEFT_PX) / inner()) * end,
      write: (od) => `${name} ≥ ${od.toFixed(2)}`,
      short: (od) => `${name} ${od.toFixed(2)}`,
      on: (od) => change(now().t.map((other, n) => (n === k ? od : other))),
    }),
  );
  const sheet = make("div", { class: "sheet" });
  place.replaceChildren(sheet, ...handles.map((each) => each.handle));

  function draw() {
    const { t } = now();
    const bottom = TOP_PX + BARS_PX;
    const bar = inner() / counts.length;
    const parts = [
      text(LEFT_PX - 5, TOP_PX + 4, showNumber(peak), "quiet", "end"),
      text(LEFT_PX - 5, bottom + 4, "0", "quiet", "end"),
    ];
    parts.push(
      line("grid", LEFT_PX, TOP_PX, LEFT_PX + inner(), TOP_PX),
      line("grid", LEFT_PX, bottom, LEFT_PX + inner(), bottom),
    );
    counts.forEach((count, k) => {
      if (!count) return;
      const middle = (edges[k] + edges[k + 1]) / 2;
      const bin = t.filter((od) => middle >= od).length;
      const height = (BARS_PX * count) / peak;
      parts.push(rect(`bin${bin}`, LEFT_PX + k * bar, bottom - height, Math.max(0.5, bar - 0.6), height));
    });
    for (let od = 0; od <= end + 1e-9; od += AXIS_STEP_OD)
      parts.push(text(at(od), bottom + 15, `${od}`, "quiet", "middle"));
    parts.push(
      text(
        LEFT_PX + inner() / 2,
        bottom + 31,
        `DAB OD, ${compartment}, n = ${showNumber(total)} tumor cells`,
        "quiet",
        "middle",
      ),
    );
    const most = `at most ${showNumber(peak)} in one bar`;
    const words = `DAB optical density of ${compartment}, n = ${showNumber(total)} tumor cells, ${most}`;
    sheet.replaceChildren(
      makePicture(words, { width: width(), height: bottom + 36, style: "chart small-chart" }, parts),
    );
    // A label that would run into the next line goes over it.
    const levels = t.map(() => 0);
    for (let k = t.length - 2; k >= 0; k -= 1) levels[k] = at(t[k]) + LABEL_PX > at(t[k + 1]) ? levels[k + 1] + 1 : 0;
    handles.forEach((each, k) => {
      const top = TOP_PX - FLAG_PX * (levels[k] + 1);
      each.show(t[k], { top, height: bottom - top });
    });
  }
  return { draw };
}

/**
 * Draw the scores of the slide on their axis (automatic, reviewed, previewed), with a handle for the cut-off where the
 * assay has one.
 */
export function cutoffChart(place, { slide, scale, operator, now }, change) {
  const { field, end, step, parts: steps } = scale;
  const width = () => Math.max(LEAST_PX, place.clientWidth);
  const inner = () => width() - LEFT_PX - RIGHT_PX;
  const at = (value) => LEFT_PX + (value / end) * inner();
  const slider =
    scale.cutoff !== null &&
    makeSlider(place, {
      id: "cutoff",
      label: `Cut-off, ${scale.words}`,
      style: "handle-cutoff",
      step,
      span: () => [step, end],
      at,
      from: (px) => ((px - LEFT_PX) / inner()) * end,
      write: (value) => `cut-off ${operatorSign(operator)} ${value}`,
      short: (value) => `cut-off ${value}`,
      on: change,
    });
  const sheet = make("div", { class: "sheet" });
  place.replaceChildren(sheet, ...(slider ? [slider.handle] : []));

  function draw(review, preview) {
    const base = CUTOFF_TOP_PX + 24;
    const parts = [line("axis", at(0), base, at(end), base)];
    for (let k = 0; k <= steps; k += 1)
      parts.push(text(at((end * k) / steps), base + 15, `${(end * k) / steps}`, "quiet", "middle"));
    const { low, high } = preview?.result ?? slide.interval;
    if (low !== null && high !== null)
      parts.push(rect("interval interval-row", at(low), base - 15, at(high) - at(low), 10));
    const marks = [
      ["automatic", slide[field], "tick tick-row"],
      ["reviewed", review?.n_corrected ? review.reviewed[field] : null, "tick tick-row tick-reviewed"],
      ["preview", preview?.result?.[field], "tick tick-row tick-preview"],
    ].filter(([, value]) => value !== null && value !== undefined);
    for (const [, value, style] of marks) parts.push(line(style, at(value), base - 18, at(value), base));
    const said = marks
      .map(([name, value]) => `${name} ${scale.write(value, 1)}`)
      .join(", ");
    parts.push(text(LEFT_PX - 5, base + 4, scale.mark, "quiet", "end"));
    const words = `${scale.title}: ${said}`;
    sheet.replaceChildren(makePicture(words, { width: width(), height: base + 20, style: "chart small-chart" }, parts));
    if (slider) slider.show(now().cutoff, { top: base - CUTOFF_PX, height: CUTOFF_PX });
  }
  return { draw };
}
