// Other reviewers' acts, asked for every few seconds while the page can be seen.

import { getEvents } from "./api.js";

const EVERY_MS = 4000;

const AT_MOST_MS = 10_000;

/**
 * Ask for events after `seq()`; `act` gets those that are new, and whether the log became another one, as when
 * it is put back from a copy. `silent` is told of the error when the
 * server stops answering, and gets null when it answers again; meanwhile it is asked less and less often.
 */
export function poll(seq, act, silent) {
  let wait = EVERY_MS;
  const ask = async () => {
    if (!document.hidden) {
      try {
        const { events, head } = await getEvents(seq());
        if (wait > EVERY_MS) silent(null);
        wait = EVERY_MS;
        const replaced = head < seq();
        if (events.length || replaced) await act(events, replaced);
      } catch (error) {
        if (wait === EVERY_MS) silent(error);
        wait = Math.min(AT_MOST_MS, 2 * wait);
      }
    }
    setTimeout(ask, wait);
  };
  setTimeout(ask, wait);
}
