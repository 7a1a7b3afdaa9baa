// Which slides the table of the cohort shows, and in which order.

import { isReviewed } from "./badges.js";
import { SCALES, asNumber } from "./format.js";

/** A slide this near its cut-off counts as near: a tenth of the scale, 30 on H, 10 on percent. */
const NEAR_SHARE = 0.1;

/** Chips above the table. Chips of one group widen the choice, chips of different groups narrow it. */
export const FILTERS = [
  { key: "failed", words: "failed", group: "status", keeps: (row) => row.status === "failed" },
  { key: "not_evaluable", words: "not evaluable", group: "status", keeps: isNotEvaluable },
  { key: "qc_fail", words: "QC fail", group: "qc", keeps: (row) => row.qc === "fail" },
  { key: "qc_warn", words: "QC warn", group: "qc", keeps: (row) => row.qc === "warn" },
  { key: "high", words: "HIGH", group: "call", keeps: (row) => row.call === "HIGH" },
  { key: "low", words: "LOW", group: "call", keeps: (row) => row.call === "LOW" },
  { key: "equivocal", words: "EQUIVOCAL", group: "call", keeps: (row) => row.call === "EQUIVOCAL" },
  { key: "near", words: "near cut-off", group: "near", keeps: isNear },
  { key: "unreviewed", words: "unreviewed", group: "review", keeps: (row) => !isReviewed(row.review.state) },
  { key: "reviewed", words: "reviewed", group: "review", keeps: (row) => isReviewed(row.review.state) },
];

const QC_ORDER = { fail: 0, warn: 1, pass: 2 };
const REVIEW_ORDER = ["flagged", "changed", "open", "unreviewed", "rejected", "overridden", "accepted"];

/** What each sortable column sorts by; null sorts last, up or down. `rank` is worst first, the server's order. */
const SORT_VALUES = {
  rank: (row) => row.rank,
  file: (row) => row.file.toLowerCase(),
  ...Object.fromEntries(Object.keys(SCALES).map((scale) => [scale, (row) => asNumber(row[scale])])),
  call: (row) => (row.status === "failed" ? "FAILED" : row.call || null),
  qc: (row) => QC_ORDER[row.qc] ?? null,
  review: (row) => REVIEW_ORDER.indexOf(row.review.state),
};

export const isSortable = (key) => key in SORT_VALUES;

/** Return the rows that pass every chip and hold every word of the search. */
export function filterRows(rows, { filters, search }, scaleEnd) {
  const groups = new Map();
  for (const filter of FILTERS) {
    if (filters.has(filter.key)) groups.set(filter.group, [...(groups.get(filter.group) ?? []), filter.keeps]);
  }
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  return rows.filter((row) => {
    for (const keepers of groups.values()) if (!keepers.some((keeps) => keeps(row, scaleEnd))) return false;
    const text = `${row.file} ${row.id} ${row.patient_id ?? ""}`.toLowerCase();
    return words.every((word) => text.includes(word));
  });
}

/** Return the rows sorted by a column; rows that are alike keep their worst-first order. */
export function sortRows(rows, key, descending) {
  const value = SORT_VALUES[key];
  const collator = new Intl.Collator("en", { numeric: true });
  const compare = (a, b) => (typeof a === "string" ? collator.compare(a, b) : a - b);
  return [...rows].sort((a, b) => {
    const [x, y] = [value(a), value(b)];
    if (x === null || y === null) return (x === null) - (y === null) || a.rank - b.rank;
    return (descending ? compare(y, x) : compare(x, y)) || a.rank - b.rank;
  });
}

function isNotEvaluable(row) {
  return row.status === "not_evaluable" || (row.status !== "failed" && row.call === "NOT_EVALUABLE");
}

function isNear(row, scaleEnd) {
  const away = asNumber(row.cutoff_distance);
  return away !== null && Math.abs(away) <= NEAR_SHARE * scaleEnd;
}
