/* Where a cell comes from: the clicked value first, then the records, then its row's other values. */
const SAID = {
  measured: "From records of this run, which are named below.",
  derived: "Computed from the values of this row; it has no records of its own.",
  computed: "Computed from the sizes of the models. Nothing was run for it, so it has no records.",
  reported: "Reported by a paper, not measured by this run; the row names the source.",
};
const PARTS = {
  mean: "mean",
  low: "95 % interval from",
  high: "95 % interval to",
  tied_with_best: "tied with the best",
  delta: "difference",
  delta_mean: "difference to the backbone",
  delta_vs_backbone: "difference to the backbone",
  delta_low: "difference from",
  delta_high: "difference to",
  delta_n: "scenes of the difference",
  delta_p: "p of the difference, corrected",
  effect_size: "effect size d",
  n: "scenes",
};
const UNITS = [
  [/bytes$/, 1e-6, "MB"],
  [/(^|[/_])flops([/_]|$)/, 1e-9, "GFLOPs"],
  [/_s$|seconds/, 1, "s"],
  [/_deg(\/|$)/, 1, "°"],
  [/(saving|saved|share)$/, 100, "%"],
];
const COST = /time|second|flops|bytes|energy|memory|latency|parameters|(_s|saving)$/i;

function formatted(name, value) {
  if (value === null) return "–";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "string") return listed(value);
  const unit = UNITS.find(([pattern]) => pattern.test(name));
  return unit ? digits(value * unit[1]) + " " + unit[2] : digits(value);
}

/* Options and lists, which stand as JSON, in words. */
function listed(text) {
  if (!/^[[{]/.test(text)) return text;
  try {
    const found = JSON.parse(text);
    const pairs = Object.entries(found).map(([name, value]) => {
      const own = value !== null && typeof value === "object" ? JSON.stringify(value) : value;
      return Array.isArray(found) ? String(own) : name + ": " + own;
    });
    return pairs.join("; ") || "default";
  } catch {
    return text;
  }
}

function stem(name) {
  return name.includes("/") ? name.slice(0, name.lastIndexOf("/")) : name;
}

function words(text) {
  return text.replace(/_/g, " ").replace(/\//g, ": ");
}

function lastPart(name) {
  return name.slice(name.lastIndexOf("/") + 1);
}

function spoken(name) {
  const part = PARTS[lastPart(name)];
  return part && name.includes("/") ? words(stem(name)) + ", " + part : words(name);
}

/* A name among those that share all but its last part. */
function spokenPart(name) {
  return PARTS[lastPart(name)] || words(lastPart(name));
}

function valueTable(columns, raw, places, clicked, say = spoken) {
  const body = make("table", {});
  for (const place of places) {
    if (raw[place] === null) continue;
    const row = body.insertRow();
    row.append(make("th", { scope: "row", textContent: say(columns[place]) }));
    row.insertCell().textContent = formatted(columns[place], raw[place]);
    row.classList.toggle("clicked", place === clicked);
  }
  return body;
}

/* Whether the number that a text begins with is a value, in some unit, rounded as it stands. */
function shows(text, value) {
  const found = text
    .replace(/,/g, "")
    .replace("\u2212", "-")
    .match(/^[(\s]*(-?\d*\.?\d+)/);
  if (!found || typeof value !== "number") return false;
  const half = 0.5 * 10 ** -(found[1].split(".")[1] || "").length;
  const scales = [1, 100, 1e-3, 1e-6, 1e-9, 1e-12];
  return value !== 0 && scales.some((s) => Math.abs(value * s - Number(found[1])) <= half * 1.0001);
}

/* Raw rows beside each other, with the columns that have a value in one of them. */
function rowTable(columns, rows) {
  const used = columns.map((_, i) => i).filter((i) => rows.some((r) => r[i] !== null));
  const cells = (name, texts) => texts.map((text) => make(name, { textContent: text }));
  const head = used.map((i) => spoken(columns[i]));
  const lines = rows.map((row) => used.map((i) => formatted(columns[i], row[i])));
  const body = lines.map((texts) => make("tr", {}, ...cells("td", texts)));
  const table = make("table", { className: "wide" }, make("tr", {}, ...cells("th", head)), ...body);
  return make("div", { className: "scroll" }, table);
}

/* Several raw rows behind one shown row: the one that holds the clicked number in full. */
function severalRows({ columns }, rows, text) {
  const all = columns.map((_, i) => i);
  const holding = rows.filter((row) => row.some((value) => shows(text, value)));
  const found = (holding.length === 1 ? holding : []).map((row) => {
    return valueTable(
      columns,
      row,
      all,
      row.findIndex((value) => shows(text, value)),
    );
  });
  const summary = make("summary", { textContent: `All ${rows.length} raw rows of this row` });
  const others = make("details", { open: !found.length }, summary, rowTable(columns, rows));
  return { first: found, others };
}

function fileList(title, files) {
  if (!files.length) return [];
  const items = files.map((file) => make("li", {}, make("code", { textContent: file })));
  return [make("h3", { textContent: title }), make("ul", {}, ...items)];
}

/* Times as people write them; all else as it is. */
function moment(text) {
  return text.replace(/^(\d{4}-\d\d-\d\d)T([\d:]+)\+00:00$/, "$1 $2 UTC");
}

function recordParts(source, costFirst) {
  const scores = fileList("Records of predictions and scores", source.scores);
  const costs = fileList("Records of cost (time, FLOPs, memory)", source.costs);
  const facts = Object.entries(source.facts).map(([name, values]) => {
    const row = make("tr", {}, make("th", { scope: "row", textContent: name }));
    row.insertCell().textContent = values.map(moment).join(", ");
    return row;
  });
  const how = [make("h3", { textContent: "Made by" }), make("table", {}, ...facts)];
  return [...(costFirst ? [...costs, ...scores] : [...scores, ...costs]), ...how];
}

/* Whether two raw columns belong together: they share all but the last part of their names. */
function related(name, other) {
  const both = name.includes("/") && other.includes("/") && stem(name) === stem(other);
  return name === other || both || other.startsWith(name + "_");
}

/* The raw values of one row: the clicked column with all that belongs to it, and the others. */
function rowParts(facts, raw, bound) {
  const all = facts.columns.map((_, i) => i);
  const clicked = facts.columns[bound];
  const own = clicked ? all.filter((i) => related(clicked, facts.columns[i])) : [];
  const rest = all.filter((i) => !own.includes(i));
  const first = own.length ? [valueTable(facts.columns, raw, own, bound, spokenPart)] : [];
  const others = make(
    "details",
    { open: !own.length },
    make("summary", { textContent: "All values of this row" }),
    valueTable(facts.columns, raw, rest, -1),
  );
  return { first, others };
}

function originParts(facts, place, column, text) {
  const rows = (facts.places[place] || []).map((i) => facts.rows[i]);
  const bound = facts.bound[column];
  const said = make("p", { className: "about", textContent: SAID[facts.kinds[place]] });
  const file = make("code", { textContent: "tables/" + facts.name + ".csv" });
  const exact = make("p", { className: "about" }, "All digits: ", file);
  const source = data("origins").sources[facts.sources[place]];
  const costFirst = COST.test(bound === undefined ? text : facts.columns[bound]);
  const records = source ? recordParts(source, costFirst) : [];
  if (!rows.length) return [said, exact];
  const one = rows.length === 1;
  const { first, others } = one ? rowParts(facts, rows[0], bound) : severalRows(facts, rows, text);
  return [said, ...first, ...records, others, exact];
}

function showOrigin(cell) {
  const table = cell.closest("table[data-table]");
  const facts = data("origins").tables[Number(table.dataset.table)];
  const row = cell.parentElement;
  const heads = table.tHead.rows[0].cells;
  const text = cell.textContent.trim();
  const place = bodyRows.get(table).indexOf(row);
  by("origin-title").textContent =
    row.cells[0].textContent.trim() +
    (cell.cellIndex ? " · " + heads[cell.cellIndex].textContent.trim() : "");
  const value = make("p", { className: "value", textContent: cell.cellIndex ? text : "" });
  by("origin-body").replaceChildren(value, ...originParts(facts, place, cell.cellIndex, text));
  by("origin").showModal();
  by("origin").scrollTop = 0;
}

by("origin").addEventListener("click", (event) => {
  if (event.target === by("origin")) by("origin").close();
});
