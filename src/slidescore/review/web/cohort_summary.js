// What stands above the table: the run, its scores on one axis, its quality, and how much is reviewed.

import { REVIEW_STATES, flagWords, isReviewed, statusMark } from "./badges.js";
import { histogram, strip } from "./charts.js";
import { byId, make } from "./dom.js";
import { operatorSign, scaleOf, showCutoff, showNumber, showStatus } from "./format.js";

/** Up to so many slides a tick each can still be told from its neighbours. */
const MOST_TICKS = 400;
const MOST_FLAGS = 3;

export const startChart = (rows) => (rows.length > MOST_TICKS ? "histogram" : "strip");

/** Write the run's name, assay, cut-off and counts. */
export function drawRun(run) {
  byId("run-name").textContent = run.run;
  document.title = `${run.run} – slidescore`;
  byId("footer").textContent = `${run.research_use} slidescore ${run.version}`;
  const parts = ["assay ", make("strong", {}, run.assay.name)];
  if (run.blind) {
    byId("assay").replaceChildren(...parts);
    byId("summary").textContent =
      `${showNumber(run.n_slides)} slides, read blind: nothing that the machine found is shown.`;
    return;
  }
  const { cutoff } = run.assay;
  const mark = cutoff && statusMark(cutoff.status, " CUT-OFF");
  if (mark) parts.push(" ", mark);
  const words = cutoff ? showCutoff(cutoff) : "no cut-off: no call";
  const title = cutoff?.meaning ? `What high stood for in its source: ${cutoff.meaning}` : null;
  parts.push(make("span", { class: "quiet", title }, ` ${words}`));
  byId("assay").replaceChildren(...parts);
  byId("summary").textContent = run.summary;
}

/** Draw the scores of these rows in the width that there is. */
export function drawScores(run, rows, { kind, current, onPick }) {
  const scale = scaleOf(run.assay);
  const place = byId("scores");
  const { cutoff } = run.assay;
  const drawing = {
    ...scale,
    label: cutoff ? `cut-off ${operatorSign(cutoff.operator)} ${cutoff.value}${showStatus(cutoff)}` : "",
    axis: `${scale.title}, ${run.assay.compartment}`,
    width: Math.max(320, place.clientWidth),
    current,
    onPick,
  };
  place.replaceChildren((kind === "strip" ? strip : histogram)(rows, drawing));
}

/** Count QC levels and the commonest findings; `onFilter` gets the key of the chip that a number stands for. */
export function drawQuality(rows, onFilter) {
  const levels = countBy(rows, (row) => row.qc || "none");
  const flags = countBy(
    rows.flatMap((row) => (row.flags ?? []).filter((flag) => flag.level !== "info")),
    (flag) => flag.name,
  );
  flags.delete("not_evaluable");
  const commonest = [...flags].sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0])).slice(0, MOST_FLAGS);
  const level = (key, words, style) => {
    const n = levels.get(key) ?? 0;
    const number = make("strong", { class: n ? style : "" }, showNumber(n));
    const label = make("span", {}, words);
    if (key === "pass" || !n) return make("li", {}, number, label);
    return make(
      "li",
      {},
      make("button", { type: "button", class: "link", onclick: () => onFilter(`qc_${key}`) }, number, " ", label),
    );
  };
  byId("qc").replaceChildren(
    make(
      "ul",
      { class: "figures" },
      level("fail", "fail", "qc-fail"),
      level("warn", "warn", "qc-warn"),
      level("pass", "pass", ""),
    ),
    make(
      "p",
      { class: "quiet small" },
      commonest.map(([name, n]) => `${flagWords(name)} ${n}`).join(", ") || "no finding",
    ),
  );
}

/** Say how many slides are reviewed, and with what verdict. */
export function drawReviewed(rows) {
  const n = rows.filter((row) => isReviewed(row.review.state)).length;
  const states = countBy(rows, (row) => row.review.state);
  const words = Object.keys(REVIEW_STATES).filter((state) => state !== "unreviewed" && states.get(state));
  byId("reviewed").replaceChildren(
    make("p", { class: "figure" }, make("strong", { id: "n-reviewed" }, `${showNumber(n)}/${showNumber(rows.length)}`)),
    progress(n, rows.length, "slides reviewed"),
    make(
      "p",
      { class: "quiet small" },
      words.map((state) => `${REVIEW_STATES[state].words} ${states.get(state)}`).join(", ") || "none yet",
    ),
  );
}

/** Say how many slides this reader has read. */
export function drawRead(rows) {
  const n = rows.filter((row) => row.read).length;
  byId("reviewed-head").textContent = "Read by you";
  byId("reviewed").replaceChildren(
    make("p", { class: "figure" }, make("strong", { id: "n-reviewed" }, `${showNumber(n)}/${showNumber(rows.length)}`)),
    progress(n, rows.length, "slides read"),
  );
}

function progress(value, max, words) {
  return make("progress", { value, max: Math.max(1, max), "aria-label": words }, `${value} of ${max}`);
}

function countBy(items, key) {
  const counts = new Map();
  for (const item of items) counts.set(key(item), (counts.get(key(item)) ?? 0) + 1);
  return counts;
}
