"use strict";
/* What all parts of the page use: elements, the data that stands in it, numbers as text. */
const by = (id) => document.getElementById(id);
const root = document.documentElement;

/* The data of one part; parsed when it is first asked for. */
const parsed = {};
function data(name) {
  return (parsed[name] ||= JSON.parse(by(name + "-data").textContent));
}

function make(name, properties, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}

function options(select, names) {
  select.replaceChildren(
    ...names.map((text, i) => make("option", { value: i, textContent: text })),
  );
}

/* A number with four digits that count, thousands apart, and a real minus. */
function digits(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  const large = size >= 1e6 || size < 1e-4;
  const text = large
    ? value.toExponential(3)
    : Number(value.toPrecision(4)).toLocaleString("en", {
        maximumSignificantDigits: size >= 1e4 ? 7 : 4,
      });
  return text.replace("-", "\u2212");
}

/* Does something when an element comes near the window for the first time. */
function whenSeen(element, action) {
  const watcher = new IntersectionObserver(
    (entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      watcher.disconnect();
      action();
    },
    { rootMargin: "400px" },
  );
  watcher.observe(element);
}

/* "dark" or "light": as the reader chose, else as the system says. */
const darkSystem = matchMedia("(prefers-color-scheme: dark)");
function theme() {
  return root.dataset.theme || (darkSystem.matches ? "dark" : "light");
}

by("theme").addEventListener("click", () => {
  root.dataset.theme = theme() === "dark" ? "light" : "dark";
});
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("main details")) details.open = true;
});
