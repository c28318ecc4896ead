// Tables of the class `sortable`: a click on a header sorts by its column, another click reverses the order.
"use strict";
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  const value = (row, column) => {
    const cell = row.cells[column];
    const number = cell.dataset.value === undefined ? NaN : parseFloat(cell.dataset.value);
    return cell.dataset.value === undefined ? cell.textContent.trim() : number;
  };
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const rows = [...table.tBodies[0].rows];
      const numbers = rows.some((row) => row.cells[column].dataset.value !== undefined);
      const was = head.getAttribute("aria-sort");
      const down = was === "none" ? numbers : was === "ascending"; // numbers: largest first
      const compare = (a, b) => {
        if (!numbers) return a.localeCompare(b);
        return (Number.isNaN(a) ? -Infinity : a) - (Number.isNaN(b) ? -Infinity : b) || 0;
      };
      rows.sort((a, b) => (down ? -1 : 1) * compare(value(a, column), value(b, column)));
      heads.forEach((other) => other.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      table.tBodies[0].append(...rows);
    });
  });
}
