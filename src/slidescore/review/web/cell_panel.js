// The selected cells: how one was measured and why it got its bin, and the buttons that correct it, or all of them.

import { binBar, line, rect, text } from "./charts.js";
import { drawCrop } from "./crop.js";
import { byId, make, makePicture } from "./dom.js";
import {
  BIN_NAMES,
  COMPARTMENTS,
  NOT_COMPUTED,
  asNumber,
  showCount,
  showNumber,
  showPercent,
  showScore,
} from "./format.js";
import { isTumor, kindWords } from "./selection.js";

const RULER_PX = 210;
const RULER_END_OD = 1;

/** Keep the panel showing the selection. `on` has `bin(bin)`, `tumor(yes)`, `clear()`. */
export function mountCellPanel(store, slide, on) {
  const place = byId("cell-panel");
  const hint = [...place.childNodes];
  const draw = () => {
    const { selection } = store.state;
    place.classList.toggle("filled", Boolean(selection));
    if (!selection) return place.replaceChildren(...hint);
    const one = selection.cells.length === 1 && !selection.polygon ? selection.cells[0] : null;
    // The focus stays on a button whose cell was corrected with it.
    const focused = place.contains(document.activeElement) && document.activeElement.dataset.key;
    place.replaceChildren(...(one ? oneCell(one, store.state) : manyCells(selection)), correction(one, selection, on));
    if (focused) place.querySelector(`[data-key="${focused}"]`)?.focus();
    if (one) drawCrop(place.querySelector("canvas"), slide, store.state.view, one, colourOf(one));
  };
  store.on(["selection", "view", "palette"], draw);
}

function oneCell(cell, { preview }) {
  const swatch = make("span", { class: `swatch ${isTumor(cell) ? `swatch${cell.bin}` : "swatch-other"}` });
  const head = make(
    "h2",
    {},
    `Cell ${showNumber(cell.cell_id)} `,
    make("span", { class: "verdict" }, swatch, kindWords(cell)),
  );
  const changed = changedWords(cell);
  const ods = COMPARTMENTS.map((name) => odRow(name, cell.dab_od[name], name === cell.between?.compartment));
  const facts = make(
    "dl",
    { class: "facts" },
    ods,
    fact("hematoxylin, nucleus", cell.hematoxylin_od_nucleus, 3),
    fact("tumor probability", cell.tumor_probability, 2),
  );
  const crop = make("canvas", {
    class: "crop",
    role: "img",
    "aria-label": "The cell, 40 µm wide, cell and nucleus outlined",
  });
  const lines = [make("p", {}, betweenWords(cell, preview))];
  if (changed) lines.push(make("p", { class: "changed" }, changed));
  if (!cell.counted)
    lines.push(
      make(
        "p",
        { class: "excluded" },
        `Does not count: ${cell.automatic_counted ? "excluded by a reviewer" : cell.excluded}.`,
      ),
    );
  const details = make("p", { class: "quiet small" }, [
    cell.tumor_rule ? `Tumor rule: ${cell.tumor_rule}. ` : "",
    `Nucleus ${showNumber(cell.nucleus_area_um2)} µm², cell ${showNumber(cell.cell_area_um2)} µm². `,
    `x, y ${showNumber(cell.x)}, ${showNumber(cell.y)} px.`,
    cell.region ? ` Region ${cell.region}.` : "",
  ]);
  return [head, make("div", { class: "measured" }, crop, make("div", {}, facts, ruler(cell))), ...lines, details];
}

function manyCells(selection) {
  const { ids, counts, cells } = selection;
  const bins =
    counts?.bins ??
    BIN_NAMES.map((_, bin) => cells.filter((cell) => isTumor(cell) && cell.counted && cell.bin === bin).length);
  const n = bins.reduce((sum, count) => sum + count, 0);
  // Cells picked one by one are only counted: scores come from the scoring code, which was asked about a shape.
  const scores = counts ? `: H ${showScore(counts.h_score, 1)}, ${showPercent(counts.percent_positive)} positive` : "";
  const words = n
    ? `${showCount(n, "tumor cell")} that ${n === 1 ? "counts" : "count"}${scores}.`
    : "No tumor cell that counts among them.";
  return [
    make("h2", {}, `${showCount(ids.length, "cell")} selected`),
    binBar(bins, { width: 370, height: 20, labels: true, what: "Selected tumor cells by bin" }),
    make("p", { class: "gap" }, words),
  ];
}

/** The buttons; a button whose value all selected cells have is pressed. */
function correction(one, selection, on) {
  const bins = BIN_NAMES.map((name, bin) => {
    const own = one && isTumor(one) && one.bin === bin;
    return make(
      "button",
      {
        type: "button",
        "data-set-bin": bin,
        "data-key": `bin${bin}`,
        "aria-pressed": Boolean(own),
        onclick: () => on.bin(bin),
      },
      make("span", { class: `swatch swatch${bin}` }),
      name,
    );
  });
  const types = [
    [true, "Tumor"],
    [false, "Not tumor"],
  ].map(([yes, words]) => {
    const own = one && isTumor(one) === yes;
    return make(
      "button",
      {
        type: "button",
        "data-set-tumor": yes,
        "data-key": `tumor${yes}`,
        "aria-pressed": Boolean(own),
        onclick: () => on.tumor(yes),
      },
      words,
    );
  });
  const what = one ? "this cell" : `${showCount(selection.ids.length, "cell")}`;
  return make(
    "div",
    { class: "correction", role: "group", "aria-label": `Correct ${what}` },
    make("div", { class: "segmented", role: "group", "aria-label": "Bin" }, bins),
    make("div", { class: "segmented", role: "group", "aria-label": "Type" }, types),
    make(
      "button",
      { type: "button", class: "button plain", "data-action": "clear-selection", onclick: on.clear },
      "Clear",
    ),
  );
}

function odRow(name, value, scored) {
  const words = asNumber(value) === null ? NOT_COMPUTED : showNumber(value, 3);
  const style = scored ? "scored" : "";
  return [make("dt", { class: style }, `DAB ${name}`), make("dd", { class: style }, words)];
}

function fact(name, value, digits) {
  return [make("dt", {}, name), make("dd", {}, asNumber(value) === null ? NOT_COMPUTED : showNumber(value, digits))];
}

/** Draw where the value lies among the thresholds. */
function ruler({ between, automatic_bin: automatic }) {
  if (!between || asNumber(between.value) === null) return null;
  const thresholds = between.thresholds;
  const end = Math.max(RULER_END_OD, between.value * 1.05, ...thresholds);
  const at = (od) => (RULER_PX * Math.max(0, Math.min(od, end))) / end;
  const edges = [0, ...thresholds, end];
  const parts = edges
    .slice(1)
    .map((edge, bin) => rect(`bin${bin}`, at(edges[bin]), 12, at(edge) - at(edges[bin]) - 1, 6));
  parts.push(...thresholds.map((od) => text(at(od), 30, od.toFixed(2), "quiet", "middle")));
  parts.push(line("tick tick-ruler", at(between.value), 2, at(between.value), 20));
  const words = `DAB OD ${showNumber(between.value, 3)} in ${between.compartment}, bin ${BIN_NAMES[automatic]}`;
  return makePicture(words, { width: RULER_PX, height: 34, style: "chart small-chart ruler" }, parts);
}

/** Say between which thresholds the value fell. */
function betweenWords({ between, automatic_bin: automatic }, preview) {
  if (!between) return "No bin: nothing was measured.";
  const { lower, value, upper, compartment, fallback } = between;
  // As many digits as it takes to tell it from the threshold above.
  const digits = [3, 4, 5, 6].find((each) => showNumber(value, each) !== showNumber(upper, each)) ?? 7;
  const od = showNumber(value, digits);
  const where = fallback ? "the whole cell (its own compartment was too small)" : compartment;
  const low = asNumber(lower) === null ? "" : `${showNumber(lower, 2)} ≤ `;
  const high = asNumber(upper) === null ? "" : ` < ${showNumber(upper, 2)}`;
  const now = preview?.drawn ? " under the run's assay" : "";
  return `DAB OD of ${where}: ${low}${od}${high}, so ${BIN_NAMES[automatic] ?? "no bin"}${now}.`;
}

function changedWords(cell) {
  const parts = [];
  if (cell.bin !== cell.automatic_bin)
    parts.push(`bin ${BIN_NAMES[cell.automatic_bin] ?? "none"} to ${BIN_NAMES[cell.bin]}`);
  if (cell.class !== cell.automatic_class) parts.push(isTumor(cell) ? "not tumor to tumor" : "tumor to not tumor");
  if (cell.counted !== cell.automatic_counted)
    parts.push(cell.counted ? "excluded to included" : "included to excluded");
  if (!parts.length) return "";
  const edits = cell.edits?.length ? ` (history ${cell.edits.map((seq) => `#${seq}`).join(", ")})` : "";
  return `Corrected: ${parts.join(", ")}${edits}.`;
}

function colourOf(cell) {
  const style = getComputedStyle(document.documentElement);
  return style.getPropertyValue(isTumor(cell) ? `--bin${cell.bin}` : "--other").trim() || "#9a9a9a";
}
