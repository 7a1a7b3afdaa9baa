// Every question that the pages ask the server, and what they say when it cannot answer.

/** An answer that is no success: what happened, and what to do about it. */
class ApiError extends Error {
  constructor(status, message, remedy = "") {
    super(message);
    this.status = status;
    this.remedy = remedy;
  }

  /** The sentence that stands in place of what was asked for. */
  get sentence() {
    const text = `${this.message[0].toUpperCase()}${this.message.slice(1)}`;
    return this.remedy ? `${text}: ${this.remedy}.` : `${text}.`;
  }
}

const path = (id, rest = "") => `/api/slides/${encodeURIComponent(id)}${rest}`;

export const getRun = () => ask("/api/run");
export const getSlides = (reviewer) => ask(`/api/slides?${new URLSearchParams({ reviewer })}`);
export const getSlide = (id, reviewer) => ask(path(id, `?${new URLSearchParams({ reviewer })}`));
export const getReview = (id, reviewer) => ask(path(id, `/review?${new URLSearchParams({ reviewer })}`));
export const getEvents = (after) => ask(`/api/events?after=${after}`);
export const getCell = (id, where, signal) => ask(path(id, `/cell?${new URLSearchParams(where)}`), { signal });
export const postCounts = (id, body, signal) => ask(path(id, "/counts"), { body, signal });
export const postPreview = (id, body, signal) => ask(path(id, "/preview"), { body, signal });
export const postEvent = (id, body) => ask(path(id, "/events"), { body });
export const postAssay = (body) => ask("/api/assay", { body, blob: true });
export const thumbnailUrl = (id) => path(id, "/thumbnail");
export const tileUrl = ({ id, pixels }, view, k, column, row) =>
  `/tiles/${encodeURIComponent(id)}/${view}/${k}/${column}_${row}?rev=${encodeURIComponent(pixels.revision)}`;
export const overlayUrl = (id, k, column, row, query) =>
  `/overlay/${encodeURIComponent(id)}/${k}/${column}_${row}?${query}`;

/** Make of a question one of which only the newest call is answered; calls before it are given up. */
export function newest(question) {
  let running;
  return (...args) => {
    running?.abort();
    running = new AbortController();
    return question(...args, running.signal);
  };
}

/** Whether an error only says that a newer question was asked. */
export const isGivenUp = (error) => error.name === "AbortError";

async function ask(address, { body, blob = false, signal } = {}) {
  const request = { signal, credentials: "same-origin", cache: "no-store" };
  if (body !== undefined) {
    Object.assign(request, {
      method: "POST",
      body: JSON.stringify(body),
      headers: { "Content-Type": "application/json" },
    });
  }
  let answer;
  try {
    answer = await fetch(address, request);
  } catch (error) {
    if (isGivenUp(error)) throw error;
    throw new ApiError(0, "the server does not answer", "check that slidescore review still runs, then try again");
  }
  if (!answer.ok) throw await failure(answer);
  return blob ? answer.blob() : answer.json();
}

async function failure(answer) {
  let said = {};
  try {
    said = await answer.json();
  } catch {
    // Not all answers are JSON; the status says enough.
  }
  if (answer.status === 401) {
    return new ApiError(
      401,
      "the server no longer knows this browser",
      "open the address that slidescore review printed",
    );
  }
  if (answer.status === 409) {
    return new ApiError(409, said.error ?? "the result of this slide has changed", said.remedy ?? "reload the page");
  }
  return new ApiError(answer.status, said.error ?? `the server answered ${answer.status}`, said.remedy ?? "try again");
}
