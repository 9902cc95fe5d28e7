"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const by = (id) => document.getElementById(id);
const root = document.documentElement;
if (matchMedia("(prefers-color-scheme: dark)").matches) root.classList.add("dark");

function ink(name) { return getComputedStyle(root).getPropertyValue(name).trim(); }
function layout(extra) {
  return Object.assign({ paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: ink("--ink") },
    margin: { l: 70, r: 20, t: 20, b: 60 } }, extra);
}
function options(select, names) {
  select.replaceChildren(...names.map((n) => Object.assign(document.createElement("option"), { value: n, textContent: n })));
}

/* Sorting: by the first number of a cell, else by its text; empty cells last. Reported rows stay at the end. */
function key(cell) {
  const text = cell.textContent.trim();
  const number = text.replace(/,/g, "").match(/[-+]?\d+(\.\d+)?([eE][-+]?\d+)?/);
  return { text, number: number && /^[(\s]*[-+.\d]/.test(text) ? Number(number[0]) : NaN, none: text === "" || text === "–" };
}
function sort(table, column, header) {
  const up = header.getAttribute("aria-sort") !== "ascending";
  table.querySelectorAll("th").forEach((h) => h.setAttribute("aria-sort", "none"));
  header.setAttribute("aria-sort", up ? "ascending" : "descending");
  const body = table.tBodies[0];
  const rows = [...body.rows].map((row) => ({ row, key: key(row.cells[column]), reported: row.classList.contains("reported") }));
  const numeric = rows.filter((r) => !Number.isNaN(r.key.number)).length > rows.length / 2;
  rows.sort((a, b) => {
    if (a.reported !== b.reported) return a.reported ? 1 : -1;
    if (a.key.none !== b.key.none) return a.key.none ? 1 : -1;
    const order = numeric ? a.key.number - b.key.number : a.key.text.localeCompare(b.key.text);
    return (up ? 1 : -1) * (Number.isNaN(order) ? 0 : order);
  });
  body.append(...rows.map((r) => r.row));
}
document.querySelectorAll("table[data-table]").forEach((table) => {
  table.querySelectorAll("th").forEach((header, column) =>
    header.querySelector("button").addEventListener("click", () => sort(table, column, header)));
  table.querySelectorAll("tbody tr").forEach((row) => row.classList.toggle("reported", row.textContent.includes(", reported by")));
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
  if (!body.rows.length) body.insertRow().insertCell().textContent = "This row was not measured by this run.";
  by("origin-title").textContent = "Where this comes from: " + cell.textContent.trim();
  by("origin-body").replaceChildren(body);
  by("origin").showModal();
}
document.querySelectorAll("table[data-table] td").forEach((cell) => {
  cell.addEventListener("click", () => origin(cell));
  cell.addEventListener("keydown", (e) => { if (e.key === "Enter") origin(cell); });
});

/* Pareto */
function drawPareto() {
  const x = by("pareto-x").value, y = by("pareto-y").value, traces = {};
  for (const p of data.pareto) {
    if (p[x] == null || p[y] == null) continue;
    const t = (traces[p.method] ||= { x: [], y: [], text: [], name: p.method, mode: "markers", type: "scatter", marker: { size: 10 },
      hovertemplate: "%{text}<br>" + x + ": %{x:.4g}<br>" + y + ": %{y:.4g}<extra>%{fullData.name}</extra>" });
    t.x.push(p[x]); t.y.push(p[y]); t.text.push(p.dataset);
  }
  Object.values(traces).forEach((t, i) => { t.marker.symbol = i % 12; });
  const axis = (title) => ({ title: { text: title }, gridcolor: ink("--line"), zeroline: false });
  Plotly.react("pareto-plot", Object.values(traces), layout({ xaxis: { ...axis(x), type: "log" }, yaxis: axis(y) }), { responsive: true });
}
if (data.pareto.length) {
  options(by("pareto-x"), data.costs); options(by("pareto-y"), data.qualities);
  for (const id of ["pareto-x", "pareto-y"]) by(id).addEventListener("change", drawPareto);
  drawPareto();
} else by("pareto").hidden = true;

/* Points. Coordinates are base64 uint16 steps between bounds, cameras float32, colours uint8. */
function decode(text, type) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  return new type(bytes.buffer);
}
function columns(flat, width) {
  return Array.from({ length: width }, (_, c) => Array.from({ length: flat.length / width }, (_, i) => flat[i * width + c]));
}
function numbers(packed) {
  return columns(decode(packed.data, Uint16Array), packed.low.length).map((c, i) => c.map((v) => packed.low[i] + v * packed.step[i]));
}
function points(cloud, name, marker) {
  const [x, y, z] = numbers(cloud.xyz);
  return { x, y, z, name, type: "scatter3d", mode: "markers", marker: { size: 2, ...marker }, hoverinfo: "skip" };
}
function cameras(flat, name, colour) {
  const [x, y, z] = columns(decode(flat, Float32Array), 3);
  for (const c of [x, y, z]) for (let i = 0; i < c.length; i++) if (Number.isNaN(c[i])) c[i] = null;
  return { x, y, z, name, type: "scatter3d", mode: "lines", line: { color: colour, width: 3 }, hoverinfo: "skip" };
}
function drawCloud() {
  const scene = data.scenes[by("scene").value], cloud = scene.methods[by("cloud").value];
  const colour = by("colour").value, traces = [];
  if (by("truth").checked) traces.push(points(scene.truth, "true points", { color: "#8a949e", opacity: .5 }), cameras(scene.cameras, "true cameras", "#8a949e"));
  let marker = { color: "#0072b2" };
  if (colour === "recursion depth" && cloud.depth) marker = { color: Array.from(decode(cloud.depth, Uint8Array)), colorscale: "Cividis", showscale: true, colorbar: { title: { text: "depth" } } };
  if (colour === "distance to truth") marker = { color: numbers(cloud.error)[0], colorscale: "Viridis", showscale: true, colorbar: { title: { text: scene.unit } } };
  if (colour === "image") marker = { color: columns(decode(scene.rgb, Uint8Array), 3).reduce((out, c, i) => { c.forEach((v, j) => (out[j] ||= [])[i] = v); return out; }, []).map((c) => `rgb(${c})`) };
  traces.push(points(cloud, by("cloud").value, marker), cameras(cloud.cameras, "predicted cameras", "#d55e00"));
  const axis = { gridcolor: ink("--line"), title: { text: "" }, showbackground: false };
  Plotly.react("cloud-plot", traces, layout({ margin: { l: 0, r: 0, t: 0, b: 0 }, legend: { x: 0, y: 1 },
    scene: { aspectmode: "data", xaxis: axis, yaxis: axis, zaxis: axis, camera: { up: { x: 0, y: -1, z: 0 }, eye: { x: .2, y: -.6, z: -1.6 } } } }), { responsive: true });
}
function fill() {
  const scene = data.scenes[by("scene").value], before = by("cloud").value;
  options(by("cloud"), Object.keys(scene.methods));
  if (before in scene.methods) by("cloud").value = before;
}
if (Object.keys(data.scenes).length) {
  options(by("scene"), Object.keys(data.scenes)); options(by("colour"), ["image", "distance to truth", "recursion depth"]);
  by("scene").addEventListener("change", () => { fill(); drawCloud(); });
  for (const id of ["cloud", "colour", "truth"]) by(id).addEventListener("change", drawCloud);
  fill(); drawCloud();
} else by("viewer").hidden = true;
by("theme").addEventListener("click", () => {
  root.classList.toggle("dark");
  if (data.pareto.length) drawPareto();
  if (Object.keys(data.scenes).length) drawCloud();
});
