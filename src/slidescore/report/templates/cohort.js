"use strict";
// Sorting by a click on a column's head; the page says everything without it.
for (const head of document.querySelectorAll("th[data-sort]")) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = head.textContent;
  head.replaceChildren(button);
  button.addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    const column = head.cellIndex, body = head.closest("table").tBodies[0], numeric = head.dataset.sort === "number";
    const value = (row) => row.cells[column].dataset.value ?? "";
    const order = (a, b) => {
      if (!numeric) return value(a).localeCompare(value(b), undefined, { numeric: true });
      const x = value(a) === "" ? NaN : Number(value(a)), y = value(b) === "" ? NaN : Number(value(b));
      return Number.isNaN(x) || Number.isNaN(y) ? Number.isNaN(x) - Number.isNaN(y) : x - y;
    };
    const rows = [...body.rows].sort((a, b) => {
      const missing = numeric ? (value(a) === "") - (value(b) === "") : 0;
      return missing || (down ? -order(a, b) : order(a, b));
    });
    for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    body.append(...rows);
  });
}
