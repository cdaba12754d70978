"use strict";
// Sorts a table by the column whose heading is pressed. Cells without a value stay at the end.
for (const heading of document.querySelectorAll("th[data-sortable]")) {
  const table = heading.closest("table");
  const body = table.tBodies[0];
  const column = heading.cellIndex;
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = heading.textContent.trim();
  heading.replaceChildren(button);

  const key = (row) => {
    const cell = row.cells[column];
    if (!heading.classList.contains("number")) return cell.textContent.trim().toLowerCase();
    return cell.dataset.value === undefined ? null : Number(cell.dataset.value);
  };
  button.addEventListener("click", () => {
    const up = heading.getAttribute("aria-sort") !== "ascending";
    for (const other of heading.parentNode.cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", up ? "ascending" : "descending");
    const rows = Array.from(body.rows, (row) => [key(row), row]);
    rows.sort(([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null);
      return (a < b ? -1 : a > b ? 1 : 0) * (up ? 1 : -1);
    });
    body.append(...rows.map(([, row]) => row));
    document.getElementById("announce").textContent =
      `Sorted by ${button.textContent}, ${up ? "ascending" : "descending"}`;
  });
}
