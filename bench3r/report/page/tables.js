/* Tables: sorting, filtering, and where a cell comes from. */

/* By the first number of a cell, else by its text; empty cells last. */
function key(cell) {
  const text = cell.textContent.trim();
  const found = text.replace(/,/g, "").match(/[-+]?\d+(\.\d+)?([eE][-+]?\d+)?/);
  const numeric = found && /^[(\s]*[-+.\d]/.test(text);
  return { text, number: numeric ? Number(found[0]) : NaN, none: text === "" || text === "–" };
}

/* Rows that a paper reports stay at the end. */
function compare(a, b, numeric, up) {
  if (a.reported !== b.reported) return a.reported ? 1 : -1;
  if (a.key.none !== b.key.none) return a.key.none ? 1 : -1;
  const difference = a.key.number - b.key.number;
  const order = numeric ? difference : a.key.text.localeCompare(b.key.text);
  return (up ? 1 : -1) * (Number.isNaN(order) ? 0 : order);
}

function sort(table, column, header) {
  const up = header.getAttribute("aria-sort") !== "ascending";
  table.querySelectorAll("th").forEach((h) => h.setAttribute("aria-sort", "none"));
  header.setAttribute("aria-sort", up ? "ascending" : "descending");
  const body = table.tBodies[0];
  const rows = [...body.rows].map((row) => {
    return { row, key: key(row.cells[column]), reported: row.classList.contains("reported") };
  });
  const numbers = rows.filter((r) => !Number.isNaN(r.key.number)).length;
  rows.sort((a, b) => compare(a, b, numbers > rows.length / 2, up));
  body.append(...rows.map((r) => r.row));
}

document.querySelectorAll("table[data-table]").forEach((table) => {
  table.querySelectorAll("th").forEach((header, column) => {
    const button = header.querySelector("button");
    button.addEventListener("click", () => sort(table, column, header));
  });
  table.querySelectorAll("tbody tr").forEach((row) => {
    row.classList.toggle("reported", row.textContent.includes(", reported by"));
  });
});

by("filter").addEventListener("input", (event) => {
  const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
  document.querySelectorAll("table[data-table] tbody tr").forEach((row) => {
    const text = row.textContent.toLowerCase();
    row.hidden = !words.every((w) => text.includes(w));
  });
});

/* Provenance of a cell: the raw values of its row, and the records behind them. */
function origin(cell) {
  const table = cell.closest("table[data-table]");
  const facts = data.tables[Number(table.dataset.table)][Number(cell.dataset.row)] || {};
  const body = document.createElement("table");
  for (const [name, value] of Object.entries(facts)) {
    const row = body.insertRow();
    row.insertCell().textContent = name;
    row.insertCell().textContent = Array.isArray(value) ? value.join("\n") : String(value);
    row.cells[1].style.whiteSpace = "pre-wrap";
  }
  if (!body.rows.length) {
    body.insertRow().insertCell().textContent = "This row was not measured by this run.";
  }
  by("origin-title").textContent = "Where this comes from: " + cell.textContent.trim();
  by("origin-body").replaceChildren(body);
  by("origin").showModal();
}

document.querySelectorAll("table[data-table] td").forEach((cell) => {
  cell.addEventListener("click", () => origin(cell));
  cell.addEventListener("keydown", (e) => {
    if (e.key === "Enter") origin(cell);
  });
});
