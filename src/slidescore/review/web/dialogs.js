// Dialogs of all pages: they take the focus, Escape closes them, and the focus goes back to where it was.

import { make } from "./dom.js";
import { drawKeys } from "./keys.js";
import { Incomplete, sentenceOf } from "./problem.js";
import { reviewerName, setReviewer } from "./reviewer.js";

/**
 * Open a form in a dialog and wait until it is sent or closed.
 *
 * `submit` gets the form's fields; while it runs the button is off, and a sentence that it throws stands in the dialog.
 * Returns what `submit` returned, or null when the dialog was closed.
 */
export function askForm(dialog, submit) {
  const form = dialog.querySelector("form");
  const problem = dialog.querySelector(".problem");
  const back = document.activeElement;
  problem.hidden = true;
  return new Promise((resolve) => {
    let answer = null;
    form.onsubmit = async (event) => {
      event.preventDefault();
      const send = form.querySelector("[type=submit]");
      send.disabled = true;
      problem.hidden = true;
      try {
        const fields = Object.fromEntries(new FormData(form));
        refuseUnchosen(form, fields);
        answer = await submit(fields);
        dialog.close();
      } catch (error) {
        problem.textContent = sentenceOf(error);
        problem.hidden = false;
      } finally {
        send.disabled = false;
      }
    };
    for (const button of dialog.querySelectorAll("[data-close]")) button.onclick = () => dialog.close();
    dialog.onclose = () => {
      // The browser gives the focus back itself, and the user may have moved on since.
      if (back?.isConnected && document.activeElement === document.body) back.focus();
      resolve(answer);
    };
    dialog.showModal();
    (form.querySelector("[data-first]:not([hidden])") ?? form.querySelector("input, textarea"))?.focus();
  });
}

/** Throw the sentence of a list from which nothing was chosen; it leaves no field, and one that is off is not asked. */
function refuseUnchosen(form, fields) {
  for (const list of form.querySelectorAll("select[required]:not(:disabled)")) {
    if (list.name in fields) continue;
    list.focus();
    throw new Incomplete(list.dataset.missing);
  }
}

/** Ask for the reviewer's name; returns it, or "" when the dialog was closed. */
export async function askReviewer() {
  const dialog = made("reviewer-dialog", () => [
    make("h2", { id: "reviewer-dialog-head" }, "Who is reviewing?"),
    make(
      "p",
      { class: "quiet" },
      "The name stands in the log beside everything you change or sign. It is kept in this browser.",
    ),
    make(
      "label",
      { class: "field" },
      "Name",
      make("input", { name: "reviewer", required: true, maxlength: 80, autocomplete: "name" }),
    ),
    make("p", { class: "problem", role: "alert", hidden: true }),
    buttons("Use this name"),
  ]);
  dialog.querySelector("input").value = reviewerName();
  const name = await askForm(dialog, ({ reviewer }) => {
    if (!reviewer.trim()) throw new Incomplete("Write a name.");
    setReviewer(reviewer);
    return reviewerName();
  });
  return name ?? "";
}

/** Show what the keys of the page do. */
export function showHelp(bindings, notes) {
  const dialog = made("help-dialog", () => [
    make("h2", { id: "help-dialog-head" }, "Keys"),
    make("div", { class: "key-groups" }, drawKeys(bindings)),
    ...notes.map((note) => make("p", { class: "quiet" }, note)),
    make(
      "div",
      { class: "buttons" },
      make("button", { type: "button", class: "button", "data-close": true, "data-first": true }, "Close"),
    ),
    make("p", { class: "problem", hidden: true }),
  ]);
  return askForm(dialog, () => null);
}

/** The two buttons at the end of a form. */
function buttons(words) {
  return make(
    "div",
    { class: "buttons" },
    make("button", { type: "button", class: "button", "data-close": true }, "Cancel"),
    make("button", { type: "submit", class: "button primary" }, words),
  );
}

/** Find a dialog, or make it with these contents. */
function made(id, contents) {
  const known = document.getElementById(id);
  if (known) return known;
  const dialog = make(
    "dialog",
    { id, "aria-labelledby": `${id}-head` },
    make("form", { method: "dialog", novalidate: true }, contents()),
  );
  document.body.append(dialog);
  return dialog;
}
