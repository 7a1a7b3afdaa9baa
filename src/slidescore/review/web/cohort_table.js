// The table of slides. Only the rows near the window are in the page, so that 10,000 slides scroll as 40 do.

import { callBadge, flagWords, qcMark, reviewMark, reviewMarkRead } from "./badges.js";
import { binBar, binWords, scoreAxis } from "./charts.js";
import { make } from "./dom.js";
import { NOT_COMPUTED, asNumber, showBetween, showChance, showNumber, showPercent, showScore } from "./format.js";
import { thumbnailUrl } from "./api.js";

/** Height of a row in px, as in cohort.css. */
const ROW_PX = 64;
/** Rows that are kept ready beyond the window, above and below. */
const SPARE_ROWS = 12;
const AXIS_PX = 132;
const BINS_PX = 140;

/** Columns of the table: what the head says, what it sorts by, and its class. */
const COLUMNS = [
  { words: "#", key: "rank", style: "col-rank n", label: "#, rank, worst first" },
  { words: "", key: null, style: "col-thumb", label: "Picture" },
  { words: "Slide", key: "file", style: "col-slide" },
  { words: "H-score", key: "h_score", style: "col-score" },
  { words: "Bins", key: "percent_positive", style: "col-bins", label: "Bins, sorted by percent positive" },
  { words: "Call", key: "call", style: "col-call" },
  { words: "QC", key: "qc", style: "col-qc" },
  { words: "Review", key: "review", style: "col-review" },
];
const BLIND_COLUMNS = [
  { words: "#", key: null, style: "col-rank n" },
  { words: "", key: null, style: "col-thumb", label: "Picture" },
  { words: "Slide", key: "file", style: "col-slide" },
  { words: "Reading", key: "review", style: "col-review" },
];

/** Draw the heads; `onSort` gets the key of the button that was pressed. */
export function drawHeads(row, { blind, scale, onSort }) {
  const columns = blind ? BLIND_COLUMNS : COLUMNS;
  row.replaceChildren(
    ...columns.map(({ words, key, style, label }) => {
      const text = key === "h_score" ? scale.head : words;
      const sort = key === "h_score" ? scale.field : key;
      if (!key) return make("th", { scope: "col", class: style }, text || make("span", { class: "only-read" }, label));
      const button = make(
        "button",
        { type: "button", "data-sort": sort, "aria-label": label, onclick: () => onSort(sort) },
        text,
      );
      return make("th", { scope: "col", class: style }, button);
    }),
  );
}

/** Show which column the rows are sorted by. */
export function markSort(row, key, descending) {
  for (const head of row.children) {
    const own = head.querySelector("button")?.dataset.sort === key && key !== "rank";
    if (own) head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
  }
}

/** Keep `table` filled with the rows that can be seen; `context` (blind, and a scale) says how. */
export function mountTable(table, context) {
  const body = table.tBodies[0];
  const above = spacer(context);
  const below = spacer(context);
  const drawn = new Map();
  let rows = [];
  let current = null;
  let waiting = false;

  function draw() {
    waiting = false;
    const top = -body.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor(top / ROW_PX) - SPARE_ROWS);
    const last = Math.min(rows.length, Math.ceil((top + window.innerHeight) / ROW_PX) + SPARE_ROWS);
    const wanted = rows.slice(first, Math.max(first, last));
    const focused = body.contains(document.activeElement)
      ? document.activeElement.closest("tr")?.dataset.slideId
      : null;
    const fresh = wanted.map((row, k) => {
      const known = drawn.get(row.id);
      const element = known?.row === row ? known.element : drawRow(row, context);
      element.setAttribute("aria-rowindex", first + k + 2);
      element.setAttribute("aria-current", row.id === current);
      drawn.set(row.id, { row, element });
      return element;
    });
    const ids = new Set(wanted.map((row) => row.id));
    for (const id of drawn.keys()) if (!ids.has(id)) drawn.delete(id);
    above.firstChild.style.height = `${first * ROW_PX}px`;
    below.firstChild.style.height = `${(rows.length - last) * ROW_PX}px`;
    replaceKept(body, [above, ...fresh, below]);
    if (focused && !body.contains(document.activeElement)) drawn.get(focused)?.element.querySelector("a")?.focus();
  }

  function drawSoon() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(draw);
  }
  window.addEventListener("scroll", drawSoon, { passive: true });
  window.addEventListener("resize", drawSoon);

  return {
    /** Show these rows. */
    show(next) {
      rows = next;
      table.setAttribute("aria-rowcount", rows.length + 1);
      draw();
    },

    /** Make a row the current one, bring it into the window, and put the focus on its link. */
    goTo(id, { focus = true } = {}) {
      current = id;
      const place = rows.findIndex((row) => row.id === id);
      if (place < 0) return draw();
      const top = body.getBoundingClientRect().top + place * ROW_PX;
      const head = table.tHead.offsetHeight;
      if (top < head) window.scrollBy(0, top - head);
      else if (top + ROW_PX > window.innerHeight) window.scrollBy(0, top + ROW_PX - window.innerHeight + 8);
      draw();
      if (focus) drawn.get(id)?.element.querySelector("a")?.focus({ preventScroll: true });
    },
  };
}

/** Put these rows into the body without taking out those that stay: what is taken out loses the focus. */
function replaceKept(body, wanted) {
  const keep = new Set(wanted);
  for (const row of [...body.children]) if (!keep.has(row)) row.remove();
  wanted.forEach((row, k) => {
    if (body.children[k] !== row) body.insertBefore(row, body.children[k] ?? null);
  });
}

function spacer({ blind }) {
  return make(
    "tr",
    { class: "spacer", "aria-hidden": "true" },
    make("td", { colspan: (blind ? BLIND_COLUMNS : COLUMNS).length }),
  );
}

function drawRow(row, context) {
  const address = context.blind ? `/read/${encodeURIComponent(row.id)}` : `/slides/${encodeURIComponent(row.id)}`;
  const picture =
    (row.picture || context.blind) &&
    make("img", { src: thumbnailUrl(row.id), alt: "", loading: "lazy", decoding: "async" });
  const under = row.patient_id ? `patient ${row.patient_id}` : row.id;
  const name = make("td", { class: "col-slide" }, [
    make("a", { href: address, title: row.file }, row.file),
    make("span", { class: "under" }, under),
  ]);
  const cells = [
    make("td", { class: "col-rank n quiet" }, showNumber(row.rank)),
    make("td", { class: "col-thumb" }, picture || make("span", { class: "no-picture" })),
    name,
  ];
  if (context.blind)
    cells.push(
      make("td", { class: "col-review" }, row.read ? reviewMarkRead() : make("span", { class: "quiet" }, "not read")),
    );
  else cells.push(scoreCell(row, context), binsCell(row), callCell(row), qcCell(row), reviewCell(row, context));
  return make("tr", { "data-slide-id": row.id }, cells);
}

function scoreCell(row, { field, cutoff, end, write }) {
  const value = asNumber(row[field]);
  if (value === null) return make("td", { class: "col-score quiet" }, NOT_COMPUTED);
  // The table of scores holds the interval of the H-score only.
  const onH = field === "h_score";
  const interval = onH ? { low: row.h_low, high: row.h_high } : {};
  const number = make("data", { value, class: "number" }, write(value, 0));
  const words = showBetween(interval.low, interval.high) || "no interval";
  return make("td", { class: "col-score" }, [
    make("span", { class: "score-line" }, number, scoreAxis({ value, ...interval, cutoff, end, width: AXIS_PX })),
    // The drawing has said it to screen readers.
    make("span", { class: "under", "aria-hidden": onH }, onH ? words : `H ${showScore(row.h_score)}`),
  ]);
}

function binsCell(row) {
  const n = asNumber(row.n_tumor_cells);
  if (n === null || !row.bins || row.bins.some((count) => asNumber(count) === null)) {
    return make("td", { class: "col-bins quiet" }, NOT_COMPUTED);
  }
  const words = `${showPercent(row.percent_positive)} pos., n ${showNumber(n)}`;
  return make("td", { class: "col-bins", title: binWords(row.bins) }, [
    binBar(row.bins, { width: BINS_PX, height: 12 }),
    make("span", { class: "under" }, words),
  ]);
}

function callCell(row) {
  const [badge, , mark] = callBadge(row);
  const known = asNumber(row.p_high) !== null;
  const chance = known ? make("span", { class: "quiet" }, `P(HIGH) ${showChance(row.p_high)}`) : null;
  const under = mark || chance ? make("span", { class: "call-line" }, mark, chance) : null;
  return make("td", { class: "col-call" }, make("span", { class: "stacked" }, badge, under));
}

function qcCell(row) {
  // That a slide is not evaluable its call says already.
  const flags = (row.flags ?? []).map((flag) => flagWords(flag.name)).filter((name) => name !== "not evaluable");
  const why = [row.reason, ...flags].filter(Boolean).join(", ");
  return make("td", { class: "col-qc", title: why }, qcMark(row.qc), make("span", { class: "under under-two" }, why));
}

function reviewCell(row, { field }) {
  const { state, reviewer, h_score: score, call, n_corrected: corrected } = row.review;
  const facts = [];
  if (reviewer && state !== "unreviewed") facts.push(reviewer);
  if (corrected) facts.push(field === "h_score" || !call ? `H ${showScore(score)}` : call);
  return make("td", { class: "col-review" }, reviewMark(state), make("span", { class: "under" }, facts.join(", ")));
}
