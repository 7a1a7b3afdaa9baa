// The keyboard of a page: one list of keys says what they do, and the help dialog is drawn from the same list.
// A, D, F, G and N are left alone: they mean something else in QuPath.

import { make } from "./dom.js";

const NOT_TYPED_INTO = ["checkbox", "radio", "range", "button", "submit"];

/**
 * Listen to the keys of a page.
 *
 * Each binding is `{ keys: ["y"], words: "Accept the slide", group: "Sign off", act }`; `shown` replaces the keys in
 * the help where they are many. While a dialog is open or a text is typed, keys are left to it; bindings with
 * `busy: true` leave keys to whatever control has the focus.
 */
export function mountKeys(bindings) {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.altKey || event.isComposing || document.querySelector("dialog[open]")) return;
    if (isTypedInto(event.target)) return;
    const name = nameOf(event);
    const found = bindings.find(
      (each) => each.act && each.keys.includes(name) && !(each.busy && isControl(event.target)),
    );
    if (!found) return;
    event.preventDefault();
    found.act(event);
  });
}

/** Draw the list of keys for the help dialog. */
export function drawKeys(bindings) {
  const groups = [...new Set(bindings.map((each) => each.group))];
  return groups.map((group) =>
    make(
      "section",
      {},
      make("h3", {}, group),
      make("dl", { class: "keys" }, bindings.filter((each) => each.group === group).flatMap(drawKey)),
    ),
  );
}

function drawKey({ keys, shown, words }) {
  const names = (shown ?? keys.map(showKey)).flatMap((name, k) =>
    k ? [" or ", make("kbd", {}, name)] : [make("kbd", {}, name)],
  );
  return [make("dt", {}, names), make("dd", {}, words)];
}

const SHOWN = { arrowdown: "↓", arrowup: "↑", arrowleft: "←", arrowright: "→", escape: "Esc", enter: "Enter" };

function showKey(name) {
  return name
    .split("+")
    .map((part) => SHOWN[part] ?? (part.length === 1 ? part.toUpperCase() : part[0].toUpperCase() + part.slice(1)))
    .join(" + ");
}

function nameOf(event) {
  const key = event.key.toLowerCase();
  const letter = /^[a-z]$/.test(key) || key.length > 1;
  return `${event.ctrlKey || event.metaKey ? "ctrl+" : ""}${event.shiftKey && letter ? "shift+" : ""}${key}`;
}

function isTypedInto(element) {
  if (element.matches?.("textarea, select, [contenteditable]")) return true;
  return element.matches?.("input") && !NOT_TYPED_INTO.includes(element.type);
}

function isControl(element) {
  return Boolean(element.closest?.("button, a, input, select, textarea, summary, [role=slider], [role=application]"));
}
