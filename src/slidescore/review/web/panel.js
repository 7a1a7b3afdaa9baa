// The panel's upper part: automatic and reviewed score side by side, bins, compartments, quality, other numbers.

import { NO_CALL, callBadge, flagWords, isReviewed, qcMark, reviewMark } from "./badges.js";
import { binBar } from "./charts.js";
import { byId, make, put, toggle } from "./dom.js";
import {
  BIN_NAMES,
  COMPARTMENTS,
  NOTHING,
  NOT_COMPUTED,
  SCALES,
  asNumber,
  scaleOf,
  showBetween,
  showChance,
  showCount,
  showCutoff,
  showNumber,
  showScore,
  showShare,
  showStatus,
} from "./format.js";
import { icon } from "./icons.js";

const BAR_PX = 372;

/** Keep the panel right. `on.reopen()` takes a verdict back. */
export function mountPanel(store, run, slide, on) {
  drawAutomatic(run, slide);
  drawQuality(slide);
  drawCompartments(run, slide);
  drawMore(slide);
  store.on(["review"], ({ review }) => {
    drawReviewed(run, slide, review, on);
    drawBins(slide, review);
    offerCalls(review.reviewed.call);
  });
}

/** Offer for an override every call but the present one. */
function offerCalls(present) {
  for (const option of document.querySelectorAll("#verdict-call option")) {
    if (!option.value) continue;
    option.hidden = option.value === present;
    option.disabled = option.hidden;
  }
}

function drawAutomatic(run, slide) {
  const scale = scaleOf(run.assay);
  const { low, high, none } = slide.interval;
  put(
    byId("score"),
    make("h2", {}, "Automatic"),
    headline(scale, slide),
    sureness(scale, { low, high, p_high: slide.p_high }, slide.reason ? "" : none || "no interval"),
    make("p", { class: "calls" }, callBadge(slide)),
    slide.reason ? make("p", { class: "small" }, slide.reason) : null,
  );
}

/** Say how sure a score is: its interval and the probability of HIGH, or `none`: why there is no interval. */
function sureness({ write, cutoff, field }, { low, high, p_high: p }, none) {
  const between = showBetween(low, high, write);
  if (!between) return none ? make("p", { class: "quiet small" }, none) : null;
  const chance = cutoff === null ? "" : `, P(HIGH) ${showChance(p)}`;
  return make("p", { class: "quiet small" }, `95 % interval ${between}${chance}`);
}

function drawReviewed(run, slide, review, on) {
  const scale = scaleOf(run.assay);
  const { state, reviewed, n_corrected: n } = review;
  const untouched = state === "unreviewed" && !n;
  // The reviewed call rests on the same cut-off, unless a reviewer gave it.
  const badge = callBadge({
    status: slide.status,
    call: reviewed.call,
    call_status: state === "overridden" ? "" : slide.call_status,
  });
  const changed = state === "changed" && review.reviewer;
  const who =
    state !== "unreviewed" && !changed && review.reviewer
      ? [" ", make("span", { class: "quiet small" }, review.reviewer)]
      : [];
  const reopen = make(
    "button",
    { type: "button", class: "link small", "data-action": "reopen", onclick: on.reopen },
    "reopen",
  );
  const mark = changed ? changedMark(changed) : reviewMark(state);
  const signed = isReviewed(state);
  put(
    byId("reviewed-score"),
    make("h2", {}, "Reviewed"),
    state === "rejected"
      ? noScore("rejected: no result")
      : headline(scale, reviewed, untouched),
    untouched || state === "rejected" ? null : sureness(scale, reviewed, ""),
    make("p", { class: "quiet small" }, untouched ? "nothing corrected" : `${showCount(n, "cell")} corrected`),
    make("p", { class: "calls" }, badge),
    make("p", { class: "small", id: "review-state" }, mark, who, signed ? reopen : null),
    signed && review.reason ? make("p", { class: "quiet small quote", title: review.reason }, review.reason) : null,
  );
}

/** Say who changed a signed slide, and what is to be done; a long name wraps. */
const changedMark = (reviewer) => [
  make("span", { class: "state state-changed" }, icon("pencil"), "changed"),
  " ",
  make("span", { class: "state-changed" }, `by ${reviewer}: sign again`),
];

const noScore = (why) => make("p", { class: "score quiet" }, NOTHING, make("small", {}, ` ${why}`));

function headline({ field, unit, write }, values, faint = false) {
  const value = values[field];
  if (asNumber(value) === null) return noScore(NOT_COMPUTED);
  const number = make("data", { value }, write(value, 1));
  return make("p", { class: `score${faint ? " faint" : ""}` }, number, make("small", {}, ` ${unit}`));
}

function drawBins(slide, review) {
  const automatic = slide.bins ?? [0, 0, 0, 0];
  const reviewed = review.reviewed.bins ?? automatic;
  const total = (counts) => counts.reduce((sum, count) => sum + count, 0);
  const differ = review.n_corrected > 0;
  const shown = differ ? reviewed : automatic;
  const n = total(shown);
  const column = (bin) =>
    make("li", {}, [
      make("span", { class: "bin-name" }, make("span", { class: `swatch swatch${bin}` }), BIN_NAMES[bin]),
      make("strong", {}, showNumber(shown[bin])),
      make("span", { class: "quiet small" }, showShare(shown[bin], n)),
      make("span", { class: "quiet small" }, differ ? `was ${showNumber(automatic[bin])}` : "\u00a0"),
    ]);
  put(
    byId("bins"),
    binBar(shown, {
      width: BAR_PX,
      height: 24,
      labels: true,
      what: differ ? "Reviewed tumor cells by bin" : "Tumor cells by bin",
    }),
    make(
      "ul",
      { class: "bin-list" },
      BIN_NAMES.map((_, bin) => column(bin)),
    ),
    make("p", { class: "quiet small" }, `n = ${showNumber(n)} tumor cells${differ ? ", as reviewed" : ""}`),
  );
}

function drawCompartments(run, slide) {
  const { cutoff } = run.assay;
  const rule = cutoff ? `Cut-off ${showCutoff(cutoff)}${showStatus(cutoff)}.` : `No cut-off: ${NO_CALL}.`;
  const meaning = cutoff?.meaning ? ` What high stood for in its source: ${cutoff.meaning}` : "";
  put(
    byId("compartments"),
    make(
      "dl",
      { class: "parts" },
      COMPARTMENTS.map((name) => {
        const own = name === run.assay.compartment;
        const value = asNumber(slide.scores[name]);
        return make(
          "div",
          { class: own ? "own" : "" },
          make("dt", {}, name),
          make("dd", {}, value === null ? NOT_COMPUTED : showScore(value, 1)),
        );
      }),
    ),
    make(
      "p",
      { class: "quiet small" },
      `The ${run.assay.compartment} is scored. ${rule}${meaning}`,
    ),
  );
}

function drawQuality(slide) {
  const place = byId("quality");
  const { flags, notes } = slide;
  toggle(place, flags.length > 0 || notes.length > 0);
  const item = ({ level, text, name, meaning }) =>
    make(
      "li",
      {},
      make("span", { class: `level level-${level}` }, level),
      " ",
      text || flagWords(name),
      meaning ? make("span", { class: "quiet" }, ` ${meaning}`) : null,
    );
  put(
    place,
    make("details", { open: slide.qc === "fail" }, [
      make(
        "summary",
        {},
        qcMark(slide.qc) ?? make("strong", {}, "QC pass"),
        make("span", { class: "quiet small" }, ` ${flags.map((flag) => flagWords(flag.name)).join(", ")}`),
      ),
      make(
        "ul",
        { class: "flags" },
        flags.map(item),
        notes.map((note) => make("li", {}, note)),
      ),
    ]),
  );
}

function drawMore(slide) {
  const scores = [
    ["H-score of all cells", slide.scores.all_cells, "tumor or not"],
    ["H-score, strict tumor cells", slide.scores.strict, "probable tumor cells only"],
    ["H-score with excluded cells", slide.scores.without_exclusions, "as if QC had excluded nothing"],
  ].map(([name, value, note]) => [name, asNumber(value) === null ? NOT_COMPUTED : showScore(value, 1), note]);
  const rowsOf = (rows) => rows.map(({ name, text, note }) => [name, text === NOTHING ? NOT_COMPUTED : text, note]);
  const table = (rows) =>
    make(
      "table",
      { class: "numbers" },
      rows.map(([name, value, note]) =>
        make(
          "tr",
          {},
          make("th", { scope: "row" }, name, note ? make("span", { class: "quiet small" }, ` ${note}`) : null),
          make("td", { class: "n" }, value),
        ),
      ),
    );
  const fold = (words, rows) => (rows.length ? make("details", {}, make("summary", {}, words), table(rows)) : null);
  put(
    byId("more"),
    schemeFold(slide),
    ruleFold(slide),
    fold("Other scores", scores),
    fold("Counts and areas", rowsOf(slide.count_rows)),
    fold("Quality measures", rowsOf(slide.measures)),
  );
}

/** All schemes in all compartments, with their intervals, as the report has them. */
function schemeFold({ schemes, interval }) {
  // Without units and decimals, so that four compartments stand side by side.
  const value = ({ value: shown, low, high, own }) =>
    make("td", { class: `n${own ? " own" : ""}` }, shown, make("span", { class: "under" }, showBetween(low, high)));
  const row = ({ scheme, name, cells }) =>
    make(
      "tr",
      {},
      make("th", { scope: "row", title: name }, SCALES[scheme].head),
      cells.map(value),
    );
  const heads = ["scheme", ...COMPARTMENTS].map((name, k) => make("th", { scope: "col", class: k ? "n" : "" }, name));
  return make("details", {}, [
    make("summary", {}, "All schemes, with 95 % intervals"),
    make(
      "table",
      { class: "numbers schemes" },
      make("thead", {}, make("tr", {}, heads)),
      make("tbody", {}, schemes.map(row)),
    ),
    interval.words.map((words) => make("p", { class: "quiet small" }, words)),
  ]);
}

/** What the H-score would be with other cells; nothing where no types were told. */
function ruleFold({ rules }) {
  if (!rules.length) return null;
  const row = ({ name, meaning, n, h, apart }) =>
    make(
      "tr",
      {},
      make("th", { scope: "row" }, name, make("span", { class: "quiet small" }, ` ${meaning}`)),
      [n, h, apart].map((text) => make("td", { class: "n" }, text)),
    );
  const heads = ["choice of cells", "cells", "H-score", "difference"].map((name, k) =>
    make("th", { scope: "col", class: k ? "n" : "" }, name),
  );
  return make("details", {}, [
    make("summary", {}, "How much H hangs on the tumor rule"),
    make("table", { class: "numbers" }, make("thead", {}, make("tr", {}, heads)), make("tbody", {}, rules.map(row))),
  ]);
}
