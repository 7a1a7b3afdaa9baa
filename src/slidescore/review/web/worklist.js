// The order in which slides were last listed, so that J and K on a slide follow the table's order and filters.

const KEY = "slidescore.worklist";

/** Remember the listed slides, and the address of the list. */
export function keepWorklist(ids, query) {
  try {
    sessionStorage.setItem(KEY, JSON.stringify({ ids, query }));
  } catch {
    // A full storage only means that the server's own order is used.
  }
}

/** Return `{ ids, query }` as it was kept; empty where nothing was. */
export function readWorklist() {
  try {
    return JSON.parse(sessionStorage.getItem(KEY)) ?? { ids: [], query: "" };
  } catch {
    return { ids: [], query: "" };
  }
}

/** Return the neighbours of a slide and its place: in the kept list, else those that the server names. */
export function neighboursOf(id, fromServer) {
  const { ids } = readWorklist();
  const place = ids.indexOf(id);
  if (place < 0) return { previous: fromServer?.previous ?? null, next: fromServer?.next ?? null, words: "" };
  return { previous: ids[place - 1] ?? null, next: ids[place + 1] ?? null, words: `${place + 1} of ${ids.length}` };
}
