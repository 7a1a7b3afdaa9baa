// A handle on a chart that is dragged, or moved with the keys of every slider: arrows, Page Up and Down, Home, End.

import { make } from "./dom.js";

const BIG = 5;

/**
 * Make a handle. `span()` gives where it may go as [least, most]; `at(value)` and `from(px)` turn values into px of the
 * chart and back; `write(value)` says a value in words, `short(value)` beside the
 * handle. `on(value)` is told of every move.
 */
export function makeSlider(chart, { id, label, style, step, span, at, from, write, short, on }) {
  const flag = make("span", { class: "flag", "aria-hidden": "true" });
  const handle = make(
    "div",
    {
      id,
      class: `handle ${style}`,
      role: "slider",
      tabindex: "0",
      "aria-label": label,
      "aria-orientation": "horizontal",
    },
    flag,
  );
  let value = 0;

  /** Put the handle at a value; `top` and `height` are where its line begins and how long it is, in px of the chart. */
  function show(next, { top, height }) {
    value = next;
    const [least, most] = span();
    Object.assign(handle.style, { left: `${at(value)}px`, top: `${top}px`, height: `${height}px` });
    flag.textContent = short(value);
    handle.setAttribute("aria-valuemin", least);
    handle.setAttribute("aria-valuemax", most);
    handle.setAttribute("aria-valuenow", Number(value.toFixed(4)));
    handle.setAttribute("aria-valuetext", write(value));
  }

  function move(next) {
    const [least, most] = span();
    const rounded = Number((Math.round(Math.min(most, Math.max(least, next)) / step) * step).toFixed(4));
    const within = Math.min(most, Math.max(least, rounded));
    if (within !== value) on(within);
  }

  handle.addEventListener("keydown", (event) => {
    const [least, most] = span();
    const by = event.shiftKey ? BIG * step : step;
    const moves = {
      ArrowLeft: value - by,
      ArrowDown: value - by,
      ArrowRight: value + by,
      ArrowUp: value + by,
      PageDown: value - BIG * step,
      PageUp: value + BIG * step,
      Home: least,
      End: most,
    };
    if (!(event.key in moves) || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    move(moves[event.key]);
  });
  handle.addEventListener("pointerdown", (event) => {
    handle.setPointerCapture(event.pointerId);
    handle.focus();
    event.preventDefault();
  });
  handle.addEventListener("pointermove", (event) => {
    if (handle.hasPointerCapture(event.pointerId)) move(from(event.clientX - chart.getBoundingClientRect().left));
  });
  return { handle, show };
}
