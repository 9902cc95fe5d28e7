/* Tables: sorting by raw values, filtering, moving from cell to cell. */
const tables = [...document.querySelectorAll("table[data-table]")];
const bodyRows = new Map(tables.map((table) => [table, [...table.tBodies[0].rows]]));

/* The raw value of a cell, else the number that its text begins with. */
function key(cell) {
  const text = cell.textContent.trim();
  const plain = text.replace(/,/g, "").replace("\u2212", "-");
  const found = plain.match(/^[(\s]*([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)/i);
  const number = cell.dataset.raw ? Number(cell.dataset.raw) : found ? Number(found[1]) : NaN;
  return { text, number, none: text === "" || text === "–" };
}

/* Rows that a paper reports, and cells without a value, stay at the end. */
function compare(a, b, numeric, up) {
  if (a.reported !== b.reported) return a.reported ? 1 : -1;
  const lost = (k) => k.none || (numeric && Number.isNaN(k.number));
  if (lost(a.key) !== lost(b.key)) return lost(a.key) ? 1 : -1;
  const order = numeric ? a.key.number - b.key.number : a.key.text.localeCompare(b.key.text);
  return (up ? 1 : -1) * (Number.isNaN(order) ? 0 : order);
}

/* The better end first, then the other one, then as it was. */
function nextOrder(header) {
  const first = header.dataset.better === "higher" ? "descending" : "ascending";
  const second = first === "ascending" ? "descending" : "ascending";
  const now = header.getAttribute("aria-sort");
  if (now === "none") return first;
  return now === first ? second : "none";
}

function sort(table, column, header) {
  const order = nextOrder(header);
  table.querySelectorAll("thead th").forEach((h) => h.setAttribute("aria-sort", "none"));
  header.setAttribute("aria-sort", order);
  const rows = bodyRows.get(table).map((row) => {
    return { row, key: key(row.cells[column]), reported: row.classList.contains("reported") };
  });
  if (order !== "none") {
    const known = rows.filter((r) => !r.key.none && !r.reported);
    const numeric = known.filter((r) => !Number.isNaN(r.key.number)).length > known.length / 2;
    rows.sort((a, b) => compare(a, b, numeric, order === "ascending"));
  }
  table.tBodies[0].append(...rows.map((r) => r.row));
}

const SENTENCE = 44; // letters from which on a cell is read as words

/* Columns of words read from the left; those of sentences have room. */
function markTexts(table) {
  const rows = bodyRows.get(table);
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const known = rows.map((row) => key(row.cells[column])).filter((k) => !k.none);
    const words = known.filter((k) => Number.isNaN(k.number) || k.text.length > SENTENCE);
    if (words.length <= known.length / 2) return;
    const letters = words.reduce((sum, k) => sum + k.text.length, 0) / words.length;
    for (const row of [table.tHead.rows[0], ...rows]) {
      row.cells[column].classList.add("text");
      row.cells[column].classList.toggle("long", letters > SENTENCE);
    }
  });
}

for (const table of tables) {
  table.querySelectorAll("thead th").forEach((header, column) => {
    header.querySelector("button").addEventListener("click", () => sort(table, column, header));
  });
  markTexts(table);
  const first = table.tBodies[0].rows[0];
  if (first) first.cells[0].tabIndex = 0;
}

/* A filter keeps baselines, so that what is found can be compared. */
function filter(words) {
  let rows = 0;
  let inTables = 0;
  for (const table of tables) {
    let found = 0;
    for (const row of bodyRows.get(table)) {
      const text = row.textContent.toLowerCase();
      const hit = words.every((word) => text.includes(word));
      row.hidden = !hit && !row.classList.contains("baseline");
      found += hit;
    }
    rows += found;
    inTables += found > 0;
    const entry = table.closest(".entry");
    entry.classList.toggle("unmatched", found === 0 && words.length > 0);
    entry.querySelector(".no-match").hidden = found > 0 || !words.length;
  }
  return { rows, inTables };
}

by("filter").addEventListener("input", (event) => {
  const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
  const { rows, inTables } = filter(words);
  const many = (count, what) => count.toLocaleString("en") + " " + what + (count === 1 ? "" : "s");
  const text = rows ? many(rows, "row") + " in " + many(inTables, "table") : "No match.";
  by("matches").textContent = words.length ? text : "";
});

/* Arrow keys, Home and End move between cells; one cell of a table is reached by Tab. */
function neighbour(cell, step) {
  const row = cell.parentElement;
  const rows = [...row.parentElement.rows].filter((r) => !r.hidden);
  const place = rows.indexOf(row);
  const column = cell.cellIndex;
  const moves = {
    ArrowRight: () => row.cells[column + 1],
    ArrowLeft: () => row.cells[column - 1],
    ArrowDown: () => rows[place + 1]?.cells[column],
    ArrowUp: () => rows[place - 1]?.cells[column],
    Home: () => row.cells[0],
    End: () => row.cells[row.cells.length - 1],
  };
  return moves[step]?.();
}

function goTo(cell) {
  const table = cell.closest("table");
  for (const old of table.tBodies[0].querySelectorAll("[tabindex]"))
    old.removeAttribute("tabindex");
  cell.tabIndex = 0;
  cell.focus();
  cell.scrollIntoView({ block: "nearest", inline: "nearest" });
}

for (const table of tables) {
  table.tBodies[0].addEventListener("keydown", (event) => {
    const cell = event.target.closest("th, td");
    if (!cell) return;
    if (event.key === "Enter" || event.key === " ") showOrigin(cell);
    const next = neighbour(cell, event.key);
    if (next) goTo(next);
    const used = ["Enter", " ", "ArrowRight", "ArrowLeft", "ArrowDown", "ArrowUp", "Home", "End"];
    if (used.includes(event.key)) event.preventDefault();
  });
  table.tBodies[0].addEventListener("click", (event) => {
    const cell = event.target.closest("th, td");
    if (!cell || getSelection().toString()) return;
    goTo(cell);
    showOrigin(cell);
  });
}
