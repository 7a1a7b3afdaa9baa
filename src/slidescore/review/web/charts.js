// Charts as SVG, drawn as report/charts.py draws them: colours from tokens.css, every number in words as well.

import { makePicture, makeSvg } from "./dom.js";
import { BIN_NAMES, asNumber, showBetween, showNumber } from "./format.js";

const INSIDE_LABEL_PX = 26;

/** Say the four bins in words. */
export const binWords = (counts) => BIN_NAMES.map((name, bin) => `${name} ${showNumber(counts[bin])}`).join(", ");

/** Draw the four bins as one stacked bar; `labels` writes the bins' names into parts that are wide enough. */
export function binBar(counts, { width, height, labels = false, what = "Tumor cells by bin" }) {
  const total = counts.reduce((sum, count) => sum + count, 0);
  const parts = [];
  let x = 0;
  counts.forEach((count, bin) => {
    if (!count) return;
    const part = (width * count) / total;
    parts.push(rect(`bin${bin}`, x, 0, part, height));
    if (labels && part >= INSIDE_LABEL_PX) {
      parts.push(text(x + part / 2, height / 2 + 4, bin ? BIN_NAMES[bin] : "0", `on-bin${bin}`, "middle"));
    }
    x += part;
  });
  if (!total) parts.push(rect("empty", 0.5, 0.5, width - 1, height - 1));
  return makePicture(`${what}: ${binWords(counts)}`, { width, height, style: "chart small-chart" }, parts);
}

/** Draw one slide's score on an axis from 0 to `end`: its interval, its tick, and the cut-off. */
export function scoreAxis({ value, low, high, cutoff, end, width }) {
  const height = 22;
  const base = 16;
  const at = (number) => 1 + ((width - 2) * number) / end;
  const parts = [line("grid", 0, base, width, base)];
  const interval = asNumber(low) !== null && asNumber(high) !== null;
  if (interval) parts.push(rect("interval interval-row", at(low), 5, Math.max(1, at(high) - at(low)), 11));
  if (cutoff !== null) parts.push(line("cutoff", at(cutoff), 2, at(cutoff), base + 4));
  if (asNumber(value) !== null) parts.push(line("tick tick-row", at(value), 3, at(value), base));
  const words = interval ? `95 % interval ${showBetween(low, high)}` : "no interval";
  return makePicture(words, { width, height, style: "chart small-chart" }, parts);
}

/** Draw the scores of a cohort on one axis: a tick a slide, bars for intervals, the cut-off with its words. */
export function strip(rows, { field, cutoff, label, axis, end, parts: steps, write, width, current, onPick }) {
  const base = 50;
  const left = 10;
  const span = width - 2 * left;
  const at = (number) => left + (span * number) / end;
  const parts = [...axisParts(at, base, end, steps)];
  const known = rows.filter((row) => asNumber(row[field]) !== null);
  for (const row of known) {
    const [low, high] = field === "h_score" ? [asNumber(row.h_low), asNumber(row.h_high)] : [null, null];
    if (low !== null && high !== null) parts.push(rect("interval", at(low), base - 17, at(high) - at(low), 8));
    const style = row.id === current ? "tick tick-current" : "tick";
    const tick = line(style, at(row[field]), base - 26, at(row[field]), base);
    tick.append(makeSvg("title", {}, `${row.file}: ${write(row[field], 1)}`));
    parts.push(tick);
  }
  parts.push(...cutoffParts(at, base, cutoff, label, end), text(left + span / 2, base + 34, axis, "", "middle"));
  const words = `${axis}, n = ${showNumber(known.length)} slides`;
  const picture = makePicture(words, { width, height: base + 40, style: "chart strip" }, parts);
  picture.addEventListener("click", (event) => {
    const place = ((event.clientX - picture.getBoundingClientRect().left - left) / span) * end;
    const away = (row) => Math.abs(row[field] - place);
    if (known.length) onPick(known.reduce((nearest, row) => (away(row) < away(nearest) ? row : nearest)));
  });
  return picture;
}

/** Draw the scores of a cohort as a histogram of `n` bars, with the cut-off. */
export function histogram(rows, { field, cutoff, label, axis, end, parts: steps, width, n = 30 }) {
  const base = 66;
  const top = 22;
  const left = 34;
  const span = width - left - 10;
  const at = (number) => left + (span * number) / end;
  const counts = new Array(n).fill(0);
  for (const row of rows) {
    const value = asNumber(row[field]);
    if (value !== null) counts[Math.min(n - 1, Math.floor((value / end) * n))] += 1;
  }
  const peak = Math.max(1, ...counts);
  const total = counts.reduce((sum, count) => sum + count, 0);
  const parts = [
    text(left - 6, top + 4, showNumber(peak), "quiet", "end"),
    text(left - 6, base + 4, "0", "quiet", "end"),
  ];
  parts.push(line("grid", left, top, left + span, top));
  counts.forEach((count, k) => {
    if (!count) return;
    const bar = Math.max(1, ((base - top) * count) / peak);
    const drawn = rect("bar", at((k * end) / n) + 0.5, base - bar, span / n - 1, bar);
    drawn.append(makeSvg("title", {}, `${(k * end) / n} to ${((k + 1) * end) / n}: ${showNumber(count)} slides`));
    parts.push(drawn);
  });
  parts.push(...axisParts(at, base, end, steps), ...cutoffParts(at, base, cutoff, label, end));
  parts.push(text(left + span / 2, base + 34, axis, "", "middle"));
  const words = `Histogram of ${axis}, n = ${showNumber(total)} slides, at most ${showNumber(peak)} in one bar`;
  return makePicture(words, { width, height: base + 40, style: "chart strip" }, parts);
}

export const rect = (style, x, y, width, height) =>
  makeSvg("rect", { class: style, x: x.toFixed(2), y, width: Math.max(0, width).toFixed(2), height });

export const line = (style, x1, y1, x2, y2) =>
  makeSvg("line", { class: style, x1: x1.toFixed(2), y1, x2: x2.toFixed(2), y2 });

export const text = (x, y, words, style = "", anchor = "start") =>
  makeSvg("text", { x: x.toFixed(1), y, class: style, "text-anchor": anchor }, words);

function axisParts(at, base, end, steps) {
  const parts = [line("axis", at(0), base, at(end), base)];
  for (let k = 0; k <= steps; k += 1) {
    const value = (end * k) / steps;
    parts.push(
      line("axis", at(value), base, at(value), base + 4),
      text(at(value), base + 17, `${value}`, "quiet", "middle"),
    );
  }
  return parts;
}

function cutoffParts(at, base, cutoff, label, end) {
  if (cutoff === null) return [];
  const before = cutoff > end / 2;
  const x = at(cutoff);
  return [
    line("cutoff", x, 2, x, base + 4),
    text(before ? x - 5 : x + 5, 12, label, "quiet", before ? "end" : "start"),
  ];
}
