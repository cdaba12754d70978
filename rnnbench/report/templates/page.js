"use strict";
// Tables: sorted by the column whose heading is pressed, filtered by what is typed. Both work on the
// first body of a table; a second one, of published results, stays where it is.
const announce = (text) => { document.getElementById("announce").textContent = text; };

const sortBy = (heading, up) => {
  const body = heading.closest("table").tBodies[0];
  const column = heading.cellIndex;
  const key = (row) => {
    const cell = row.cells[column];
    if (!heading.classList.contains("number")) return cell.textContent.trim().toLowerCase();
    return cell.dataset.value === undefined ? null : Number(cell.dataset.value);
  };
  for (const other of heading.parentNode.cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", up ? "ascending" : "descending");
  const rows = Array.from(body.rows, (row) => [key(row), row]);
  rows.sort(([a], [b]) => {
    // Cells without a value stay at the end.
    if (a === null || b === null) return (a === null) - (b === null);
    return (a < b ? -1 : a > b ? 1 : 0) * (up ? 1 : -1);
  });
  body.append(...rows.map(([, row]) => row));
};

const filterBy = (table, text, said) => {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const row of table.tBodies[0].rows) {
    const told = row.textContent.toLowerCase();
    row.hidden = !words.every((word) => told.includes(word));
    shown += !row.hidden;
  }
  said.textContent = words.length ? `${shown} of ${table.tBodies[0].rows.length} rows` : "";
};

const equip = (root) => {
  for (const heading of root.querySelectorAll("th[data-sortable]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = heading.textContent.trim();
    heading.replaceChildren(button);
    button.addEventListener("click", () => {
      const up = heading.getAttribute("aria-sort") !== "ascending";
      sortBy(heading, up);
      announce(`Sorted by ${button.textContent}, ${up ? "ascending" : "descending"}`);
    });
  }
  for (const table of root.querySelectorAll("table.results:not(.short)")) {
    if (table.tBodies[0].rows.length < 6) continue;
    const [line, input, said] = ["label", "input", "output"].map((n) => document.createElement(n));
    line.className = "filter";
    input.type = "search";
    input.placeholder = "such as: lstm zoneout";
    input.addEventListener("input", () => filterBy(table, input.value, said));
    line.append("Rows with ", input, said);
    table.closest(".scroll").before(line);
  }
};

equip(document);
