// The page of a run: every slide, the ones that need eyes first.

import { getRun, getSlides } from "./api.js";
import { FILTERS, filterRows, isSortable, sortRows } from "./cohort_order.js";
import { drawQuality, drawRead, drawReviewed, drawRun, drawScores, startChart } from "./cohort_summary.js";
import { drawHeads, markSort, mountTable } from "./cohort_table.js";
import { askReviewer, showHelp } from "./dialogs.js";
import { announce, byId, make, whenQuiet } from "./dom.js";
import { SCALES, scaleOf, showCount, showNumber } from "./format.js";
import { fillIcons } from "./icons.js";
import { mountKeys } from "./keys.js";
import { poll } from "./poll.js";
import { problem } from "./problem.js";
import { onReviewer, reviewerName, startReviewer } from "./reviewer.js";
import { keepWorklist } from "./worklist.js";

const SKELETON_ROWS = 8;

const choice = readChoice();
let run;
let table;
let scale;
let head = 0;
let rows = [];
let shown = [];
let chart = null;

start();

async function start() {
  fillIcons();
  byId("rows").replaceChildren(...Array.from({ length: SKELETON_ROWS }, skeletonRow));
  try {
    run = await getRun();
    startReviewer(run.reviewer);
    await takeRows();
  } catch (error) {
    byId("rows").replaceChildren();
    return problem(error);
  }
  scale = scaleOf(run.assay);
  if (run.blind && !["rank", "file", "review"].includes(choice.sort)) choice.sort = "rank";
  document.body.classList.toggle("blind", run.blind);
  drawRun(run);
  drawHeads(byId("heads"), { blind: run.blind, scale, onSort: sortBy });
  table = mountTable(byId("slides"), { blind: run.blind, ...scale });
  byId("search").value = choice.search;
  chart = startChart(rows);
  wire();
  draw();
  if (choice.at) table.goTo(choice.at);
  poll(() => head, refresh, problem);
}

function wire() {
  byId("search").addEventListener(
    "input",
    whenQuiet(150, () => choose({ search: byId("search").value })),
  );
  byId("reviewer-button").addEventListener("click", askReviewer);
  document.querySelector("[data-action=help]").addEventListener("click", help);
  for (const button of document.querySelectorAll("[data-chart]")) {
    button.addEventListener("click", () => {
      chart = button.dataset.chart;
      drawChart();
    });
  }
  window.addEventListener("resize", whenQuiet(100, drawChart));
  window.addEventListener("pageshow", (event) => event.persisted && location.reload());
  if (run.blind) onReviewer(() => refresh().catch(problem));
  mountKeys(KEYS);
}

const KEYS = [
  { keys: ["j", "arrowdown"], words: "Next slide", group: "Slides", act: () => step(1) },
  { keys: ["k", "arrowup"], words: "Previous slide", group: "Slides", act: () => step(-1) },
  { keys: ["enter"], words: "Open the slide", group: "Slides", act: open, busy: true },
  { keys: ["/"], words: "Search", group: "Find", act: () => byId("search").focus() },
  { keys: ["escape"], words: "Clear search and filters", group: "Find", act: () => clear() },
  { keys: ["?"], words: "This help", group: "Find", act: help },
];

function help() {
  showHelp(KEYS, [
    "Chips of one kind widen the choice, chips of different kinds narrow it.",
    "Near cut-off: within a tenth of the scale, such as 30 of H or 10 of percent.",
  ]);
}

/** Take rows from the server: their order is worst first, which is their rank. */
async function takeRows() {
  const listed = await getSlides(reviewerName());
  head = listed.head;
  rows = listed.slides.map((row, k) => ({ review: { state: "unreviewed" }, ...row, rank: k + 1 }));
}

function draw() {
  const found = filterRows(rows, choice, scale.end);
  shown = sortRows(found, choice.sort, choice.descending);
  table.show(shown);
  markSort(byId("heads"), choice.sort, choice.descending);
  drawChips();
  if (run.blind) drawRead(rows);
  else {
    drawChart();
    drawQuality(rows, (key) => toggleFilter(key));
    drawReviewed(rows);
  }
  const all = shown.length === rows.length;
  byId("shown").textContent = shown.length
    ? `${all ? "" : `${showNumber(shown.length)} of `}${showCount(rows.length, "slide")}, ${orderWords()}.`
    : "No slide is like that. Take a filter away, or clear the search.";
  keepWorklist(
    shown.map((row) => row.id),
    writeChoice(),
  );
}

function orderWords() {
  if (choice.sort === "rank")
    return run.blind ? "by name" : "worst first: failed, not evaluable, QC fail, then nearest the cut-off";
  const column = choice.sort.replace("_", " ").replace("h score", "H-score").replace("qc", "QC");
  return `by ${column}${choice.descending ? ", highest first" : ""}`;
}

function drawChart() {
  if (run.blind) return;
  for (const button of document.querySelectorAll("[data-chart]"))
    button.setAttribute("aria-pressed", button.dataset.chart === chart);
  const onPick = (row) => {
    choice.at = row.id;
    table.goTo(row.id);
    remember();
    drawChart();
  };
  drawScores(run, shown, { kind: chart, current: choice.at, onPick });
}

function drawChips() {
  if (run.blind) return;
  const chips = FILTERS.map(({ key, words, keeps }) => {
    const n = rows.filter((row) => keeps(row, scale.end)).length;
    const on = choice.filters.has(key);
    const attributes = {
      type: "button",
      class: "chip",
      "data-filter": key,
      "aria-pressed": on,
      disabled: !n && !on,
      onclick: () => toggleFilter(key),
    };
    return make("button", attributes, words, " ", make("span", { class: "count" }, showNumber(n)));
  });
  const focused = document.activeElement?.dataset?.filter;
  byId("filters").replaceChildren(...chips);
  if (focused) byId("filters").querySelector(`[data-filter="${focused}"]`)?.focus();
}

function toggleFilter(key) {
  const filters = new Set(choice.filters);
  if (!filters.delete(key)) filters.add(key);
  choose({ filters });
}

function sortBy(key) {
  // A new column starts with what is looked for: high scores, and A before Z.
  const highFirst = key in SCALES;
  choose({ sort: key, descending: choice.sort === key ? !choice.descending : highFirst });
}

function clear() {
  byId("search").value = "";
  choose({ search: "", filters: new Set() });
}

function choose(changes) {
  Object.assign(choice, changes);
  draw();
  remember();
  announce(byId("shown").textContent);
}

function step(by) {
  const place = shown.findIndex((row) => row.id === choice.at);
  const next = shown[place < 0 ? 0 : Math.min(shown.length - 1, Math.max(0, place + by))];
  if (!next) return;
  choice.at = next.id;
  table.goTo(next.id);
  remember();
  if (!run.blind) drawChart();
}

function open() {
  if (choice.at) location.assign(`/${run.blind ? "read" : "slides"}/${encodeURIComponent(choice.at)}`);
}

/** Bring the rows of slides that others have reviewed up to date. */
async function refresh() {
  await takeRows();
  draw();
}

function readChoice() {
  const asked = new URLSearchParams(location.search);
  const sort = asked.get("sort") ?? "rank";
  const known = new Set(FILTERS.map((filter) => filter.key));
  return {
    sort: isSortable(sort) ? sort : "rank",
    descending: asked.get("order") === "down",
    filters: new Set((asked.get("show") ?? "").split(",").filter((key) => known.has(key))),
    search: asked.get("search") ?? "",
    at: asked.get("at"),
  };
}

function writeChoice() {
  const asked = new URLSearchParams();
  if (choice.sort !== "rank") asked.set("sort", choice.sort);
  if (choice.descending) asked.set("order", "down");
  if (choice.filters.size) asked.set("show", [...choice.filters].join(","));
  if (choice.search) asked.set("search", choice.search);
  return asked.toString();
}

function remember() {
  const asked = new URLSearchParams(writeChoice());
  if (choice.at) asked.set("at", choice.at);
  const query = asked.toString();
  history.replaceState(null, "", query ? `?${query}` : location.pathname);
}

function skeletonRow() {
  return make(
    "tr",
    { "aria-hidden": "true" },
    make("td", { colspan: "8" }, make("span", { class: "skeleton skeleton-row" })),
  );
}
