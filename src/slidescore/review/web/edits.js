// The edits that need no dialog: cells to another bin or type, regions, undo, redo, a verdict taken back.

import { showCount } from "./format.js";

/** Make the edits; after each the selected cells are asked for anew. */
export function makeEdits(store, acts, selection) {
  const { state } = store;

  async function act(bodyOf, said) {
    const done = await acts.send(bodyOf, said);
    if (done) selection.renew();
    return done;
  }

  const step = (kind, seqOf, word) =>
    act(
      () => seqOf() && { kind, of: seqOf() },
      ({ of }) => `${word} #${of}`,
    );

  return {
    /** Change all selected cells: `change` is `{bin}` or `{tumor}`, `words` say to what. */
    correct(change, words) {
      const { ids } = state.selection;
      return act(
        () => ({ kind: "cells", cells: ids, ...change }),
        () => `${showCount(ids.length, "cell")} set to ${words}`,
      );
    },

    /** Undo or redo the edit whose number `seqOf()` returns when its turn has come. */
    undo: (seqOf) => step("undo", seqOf, "Undone"),
    redo: (seqOf) => step("redo", seqOf, "Redone"),

    /** Include or exclude the cells of the drawn region; once that is in the log the overlay shows it. */
    async addRegion(role) {
      const { polygon } = state.region;
      const bodyOf = () => ({ kind: "region", role, polygon });
      if (await act(bodyOf, () => `Region ${role}d`)) store.set({ region: null });
    },

    /** Take a verdict back. */
    reopen() {
      const { revision } = state.review;
      const bodyOf = () => ({ kind: "verdict", state: "open", revision });
      return act(bodyOf, () => "Reopened");
    },
  };
}
