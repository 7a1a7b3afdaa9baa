// Which cells are selected: one that was pointed at, several picked one by one, or all within a shape.

import { getCell, isGivenUp, newest, postCounts } from "./api.js";
import { announce } from "./dom.js";
import { BIN_NAMES, showCount, showNumber } from "./format.js";

/** Cells picked one by one are asked for one by one; more than this are selected with a shape. */
const MOST_PICKED = 200;

/** Make the acts that select. `store.selection` is null or `{ids, cells, polygon, counts}`. */
export function makeSelection(store, slide, problem) {
  const { state } = store;
  const askCell = newest((where, signal) => getCell(slide.id, where, signal));
  const askCounts = newest((body, signal) => postCounts(slide.id, body, signal));

  async function point([x, y], { add }) {
    try {
      const { cell } = await askCell({ x: x.toFixed(1), y: y.toFixed(1) });
      if (!cell) {
        if (!add) clear();
        return announce("No cell there.");
      }
      const before = add && state.selection && !state.selection.polygon ? state.selection.cells : [];
      const others = before.filter((each) => each.cell_id !== cell.cell_id);
      const cells = others.length < before.length ? others : [...others, cell].slice(-MOST_PICKED);
      take(cells);
      announce(cells.length === 1 ? cellWords(cells[0]) : `${cells.length} cells selected`);
    } catch (error) {
      if (!isGivenUp(error)) problem(error);
    }
  }

  /** Select what lies within a shape. */
  async function within(polygon) {
    try {
      const counts = await askCounts({ polygon, ids: true });
      const ids = counts.cell_ids ?? [];
      if (!ids.length) {
        store.set({ selection: null });
        return announce("No cell in there.");
      }
      store.set({ selection: { ids, cells: [], polygon, counts } });
      announce(`${showCount(ids.length, "cell")} selected`);
    } catch (error) {
      if (!isGivenUp(error)) problem(error);
    }
  }

  /** Ask again for what is selected, after a correction. */
  async function renew() {
    const { selection } = state;
    if (!selection) return;
    try {
      if (selection.polygon) {
        const counts = await askCounts({ polygon: selection.polygon, ids: true });
        if (state.selection === selection) store.set({ selection: { ...selection, counts } });
        return;
      }
      const found = await Promise.all(selection.ids.map((id) => getCell(slide.id, { cell_id: id })));
      if (state.selection === selection) take(found.map(({ cell }) => cell).filter(Boolean));
    } catch (error) {
      if (!isGivenUp(error)) problem(error);
    }
  }

  /** Select a cell by its number, as a link may name one. */
  async function pick(id) {
    const { cell } = await getCell(slide.id, { cell_id: id });
    if (cell) take([cell]);
    return cell;
  }

  function take(cells) {
    const ids = cells.map((each) => each.cell_id);
    store.set({ selection: cells.length ? { ids, cells, polygon: null, counts: null } : null });
  }

  function clear() {
    store.set({ selection: null });
  }

  return { point, within, renew, pick, clear };
}

export const isTumor = (cell) => cell.class === "Tumor";

const CLASS_WORDS = { Tumor: "tumor cell", Lymphocyte: "lymphocyte", Stromal: "stromal cell", Other: "other cell" };

/** Name the class of a cell, and its bin where it is a tumor cell. */
export function kindWords(cell) {
  const words = CLASS_WORDS[cell.class] ?? cell.class;
  return isTumor(cell) ? `${words}, ${BIN_NAMES[cell.bin]}` : words;
}

/** Say what a cell is. */
function cellWords(cell) {
  return `cell ${showNumber(cell.cell_id)}: ${kindWords(cell)}${cell.counted ? "" : ", does not count"}`;
}
