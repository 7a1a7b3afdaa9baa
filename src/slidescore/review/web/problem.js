// Problems are said in place, with what to do about them.

import { byId, make, toggle } from "./dom.js";

const FAILED = "Something on this page failed. Reload it.";
/** Answers after which only a new page helps: no server, an unknown browser, another result of the slide. */
const NEEDS_RELOAD = [0, 401, 409];

/** What was typed is not complete; the sentence says what to write. */
export class Incomplete extends Error {
  get sentence() {
    return this.message;
  }
}

/** The sentence for readers; what no one foresaw goes to the console, for those who mend it. */
export function sentenceOf(error) {
  if (!error.sentence) console.error(error);
  return error.sentence ?? FAILED;
}

/** Say a problem in the page's place for it; null takes it away. */
export function problem(error) {
  toggle(byId("problem"), error);
  if (!error) return;
  const words = make("span", {}, sentenceOf(error));
  const typed = error instanceof Incomplete;
  const passing = error.sentence && !NEEDS_RELOAD.includes(error.status);
  const buttons = [
    !typed && make("button", { type: "button", class: "button", onclick: () => location.reload() }, "Reload"),
    passing && make("button", { type: "button", class: "button plain", onclick: () => problem(null) }, "Close"),
  ];
  byId("problem").replaceChildren(words, make("span", { class: "buttons-row" }, buttons));
}
