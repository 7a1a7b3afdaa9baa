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
    const rows = [...body.rows].sort((a, b) => {
      const x = value(a), y = value(b);
      if (numeric && (x === "" || y === "")) return (x === "") - (y === "");  // nothing sorts last, up or down
      const order = numeric ? x - y : x.localeCompare(y, undefined, { numeric: true });
      return down ? -order : order;
    });
    for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    body.append(...rows);
  });
}
