// Who is reviewing: every act in the log needs a name. Kept in this browser, and started with the server's.

import { byId } from "./dom.js";

const KEY = "slidescore.reviewer";
/** Where the server's name is kept that the browser's own came after. */
const SERVERS_KEY = "slidescore.reviewer.servers";
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

/** Start with the server's name, unless this browser's came after it, and show it in the bar. */
export function startReviewer(serversName) {
  if (serversName && (!reviewerName() || localStorage.getItem(SERVERS_KEY) !== serversName)) {
    localStorage.setItem(KEY, serversName);
    localStorage.setItem(SERVERS_KEY, serversName);
  }
  show();
}

/** Be told when the name changes. */
export function onReviewer(act) {
  listeners = [...listeners, act];
}

function show() {
  byId("reviewer-name").textContent = reviewerName() || "No reviewer";
}
