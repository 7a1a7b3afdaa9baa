// What a page knows now, and who wants to hear when a part of it changes.

/** Make a store: `state` to read, `set` to change, `on` to be told. */
export function makeStore(initial) {
  const state = { ...initial };
  const listeners = [];
  return {
    state,

    /** Change some values, then call every listener that waits for one that really changed, once each. */
    set(changes) {
      const changed = Object.keys(changes).filter((key) => state[key] !== changes[key]);
      if (!changed.length) return;
      Object.assign(state, changes);
      for (const { keys, act } of [...listeners]) if (keys.some((key) => changed.includes(key))) act(state);
    },

    /** Call `act` with the state whenever one of the keys changes. */
    on(keys, act) {
      listeners.push({ keys, act });
    },
  };
}
