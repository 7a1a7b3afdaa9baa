// Who is reviewing: every act in the log needs a name. Kept in this browser, and started with the server's.

import { byId } from "./dom.js";

const KEY = "slidescore.reviewer";
let listeners = [];

/** The reviewer's name, or "". */
export function reviewerName() {
  return localStorage.getItem(KEY) ?? "";
}

/** Change the name everywhere. */
export function setReviewer(name) {
  localStorage.setItem(KEY, name.trim());
  show();
  for (const act of listeners) act(reviewerName());
}

/** Start with the server's name where this browser has none, and show it in the bar. */
export function startReviewer(serversName) {
  if (!reviewerName() && serversName) localStorage.setItem(KEY, serversName);
  show();
}

/** Be told when the name changes. */
export function onReviewer(act) {
  listeners = [...listeners, act];
}

function show() {
  byId("reviewer-name").textContent = reviewerName() || "No reviewer";
}
