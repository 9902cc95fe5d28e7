"use strict";
/* What all parts of the page use: its data, elements, colours. */
const data = JSON.parse(document.getElementById("data").textContent);
const by = (id) => document.getElementById(id);
const root = document.documentElement;
if (matchMedia("(prefers-color-scheme: dark)").matches) root.classList.add("dark");

function ink(name) {
  return getComputedStyle(root).getPropertyValue(name).trim();
}

function layout(extra) {
  const clear = "rgba(0,0,0,0)";
  const margin = { l: 70, r: 20, t: 20, b: 60 };
  const plain = { paper_bgcolor: clear, plot_bgcolor: clear, font: { color: ink("--ink") }, margin };
  return Object.assign(plain, extra);
}

function options(select, names) {
  const made = names.map((name) => {
    const option = document.createElement("option");
    return Object.assign(option, { value: name, textContent: name });
  });
  select.replaceChildren(...made);
}

by("theme").addEventListener("click", () => {
  root.classList.toggle("dark");
  if (data.pareto.length) drawPareto();
  if (Object.keys(data.scenes).length) drawCloud();
});
