// The marks of calls, QC and review states: shape and words, never colour alone.

import { make } from "./dom.js";
import { icon } from "./icons.js";

/** Words and icon of each review state, in the order in which slides ask for eyes. */
export const REVIEW_STATES = {
  unreviewed: { words: "not reviewed", icon: null },
  open: { words: "in review", icon: "open" },
  changed: { words: "changed, sign again", icon: "pencil" },
  flagged: { words: "flagged", icon: "flag" },
  rejected: { words: "rejected", icon: "cross" },
  overridden: { words: "call overridden", icon: "override" },
  accepted: { words: "accepted", icon: "accept" },
};

/** Whether a reviewer's verdict on the slide is in force. */
export const isReviewed = (state) => ["accepted", "rejected", "overridden", "flagged"].includes(state);

/** What stands where an assay without a cut-off scored. */
export const NO_CALL = "no call";
const CALLS = { failed: "FAILED", not_evaluable: "NOT_EVALUABLE" };
const STATUS_WORDS = { provisional: "PROVISIONAL", unverified: "UNVERIFIED" };

/** Draw the badge of a call, with PROVISIONAL or UNVERIFIED beside it where the cut-off is. */
export function callBadge(row) {
  const call = row.call || CALLS[row.status] || "";
  const style = call ? call.toLowerCase().replaceAll("_", "-") : "none";
  const badge = make("span", { class: `call call-${style}` }, call.replaceAll("_", " ") || NO_CALL);
  const settled = ["FAILED", "NOT_EVALUABLE", ""].includes(call);
  const words = STATUS_WORDS[row.call_status];
  return settled || !words ? [badge] : [badge, " ", statusMark(row.call_status)];
}

/** Draw that a cut-off is not validated; null where it is. */
export function statusMark(status, more = "") {
  const words = STATUS_WORDS[status];
  return words ? make("span", { class: "provisional" }, `${words}${more}`) : null;
}

/** Draw the QC level: nothing for pass, a dot and a word for warn, a word for fail. */
export function qcMark(level) {
  if (level === "fail") return make("span", { class: "qc-fail" }, "QC fail");
  if (level === "warn") return make("span", { class: "qc-warn" }, "● QC warn");
  return null;
}

/** Draw the state of a review. */
export function reviewMark(state) {
  const { words, icon: name } = REVIEW_STATES[state] ?? REVIEW_STATES.unreviewed;
  return make("span", { class: `state state-${state}` }, name ? icon(name) : null, words);
}

/** Draw that a blind reader has read a slide. */
export function reviewMarkRead() {
  return make("span", { class: "state state-accepted" }, icon("accept"), "read");
}

/** Write the names of QC findings for people. */
export const flagWords = (name) => name.replaceAll("_", " ");
