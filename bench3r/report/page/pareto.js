/* Quality against cost: one marker per setting, the settings that no other one beats in both. */
const HEIGHT = 480;
const LEGEND = 241; // pixels of the legend beside the drawing, as in the style

function chosenPlot() {
  const plot = data("plots").plots[Number(by("pareto-frames").value)];
  return {
    plot,
    quality: plot.qualities[Number(by("pareto-quality").value)],
    cost: plot.costs[Number(by("pareto-cost").value)],
    choice: Number(by("pareto-choice").value),
  };
}

/* What can be drawn, and what has no cost or no quality. */
function spotsOf({ plot, quality, cost, choice }) {
  const spots = [];
  const missing = {};
  plot.settings.forEach((name, i) => {
    const x = cost.spots[choice][i];
    const y = quality.spots[choice][i];
    if (x && y) spots.push({ i, name, x, y, look: plot.looks[i] });
    else (missing[x ? "no value of this metric" : cost.why[i] || "not measured"] ||= []).push(name);
  });
  return { spots, missing };
}

/* By ascending cost, those that no cheaper one equals in quality. */
function front(spots, better) {
  const sign = better === "higher" ? -1 : 1;
  const ordered = [...spots].sort((a, b) => a.x[0] - b.x[0] || sign * (a.y[0] - b.y[0]));
  const best = [];
  for (const spot of ordered) {
    const last = best[best.length - 1];
    if (!last || sign * spot.y[0] < sign * last.y[0]) best.push(spot);
  }
  return best;
}

function numberText([value, low, high]) {
  return digits(value) + (low === null ? "" : ` [${digits(low)}, ${digits(high)}]`);
}

function spotText(spot, chosen, best) {
  const lines = [
    spot.name,
    chosen.quality.title + ": " + numberText(spot.y),
    chosen.cost.title + ": " + numberText(spot.x),
    "scenes: " + chosen.plot.choices[chosen.choice].scenes,
  ];
  const doubt = chosen.cost.doubts[spot.i];
  if (doubt) lines.push("suspect: " + doubt);
  return lines.concat(best.includes(spot) ? ["no other setting beats it in both"] : []).join("\n");
}

/* Places of the axes in a drawing of some width; the better end of quality is marked. */
function frame(spots, chosen, width) {
  const left = 62;
  const bottom = HEIGHT - 46;
  const known = (which) => spots.flatMap((s) => s[which].filter((v) => v !== null));
  const xs = domain(chosen.cost.one ? [...known("x"), 1] : known("x"));
  const ys = domain(known("y"));
  return {
    left,
    bottom,
    top: 10,
    right: width - 14,
    xs,
    ys,
    x: scale(xs.low, xs.high, left, width - 14, xs.logarithmic),
    y: scale(ys.low, ys.high, bottom, 10, ys.logarithmic),
  };
}

function drawAxes(f, chosen) {
  const parts = [];
  const count = Math.max(2, Math.floor((f.right - f.left) / 95));
  for (const tick of ticksOf(f.xs, count)) {
    const x = f.x(tick);
    parts.push(svg("line", { class: "grid", x1: x, x2: x, y1: f.top, y2: f.bottom }));
    parts.push(svg("text", { x, y: f.bottom + 17, "text-anchor": "middle" }, digits(tick)));
  }
  for (const tick of ticksOf(f.ys, 6)) {
    const y = f.y(tick);
    parts.push(svg("line", { class: "grid", x1: f.left, x2: f.right, y1: y, y2: y }));
    parts.push(svg("text", { x: f.left - 7, y: y + 4, "text-anchor": "end" }, digits(tick)));
  }
  const middle = (f.top + f.bottom) / 2;
  const title = { class: "axis-title", "text-anchor": "middle" };
  const turned = { ...title, transform: `translate(13 ${middle}) rotate(-90)` };
  const across = { ...title, x: (f.left + f.right) / 2, y: HEIGHT - 8 };
  parts.push(svg("text", across, chosen.cost.title + " \u2193"));
  parts.push(svg("text", turned, chosen.quality.title));
  return parts;
}

/* The unchanged backbone's time, and controls that lie within the drawing. */
function drawReferences(f, chosen) {
  const parts = [];
  if (chosen.cost.one) {
    parts.push(
      svg("line", { class: "reference", x1: f.x(1), x2: f.x(1), y1: f.top, y2: f.bottom }),
    );
  }
  chosen.plot.controls.forEach((name, i) => {
    const value = chosen.quality.controls[chosen.choice][i];
    if (value === null || value < f.ys.low || value > f.ys.high) return;
    const y = f.y(value);
    parts.push(svg("line", { class: "reference", x1: f.left, x2: f.right, y1: y, y2: y }));
    parts.push(
      svg("text", { x: f.right - 3, y: y - 4, "text-anchor": "end" }, name + " (control)"),
    );
  });
  return parts;
}

function controlText(f, chosen) {
  const outside = [];
  chosen.plot.controls.forEach((name, i) => {
    const value = chosen.quality.controls[chosen.choice][i];
    if (value !== null && (value < f.ys.low || value > f.ys.high))
      outside.push(name + " " + digits(value));
  });
  return outside.length ? "Controls outside of the drawing: " + outside.join(", ") + ". " : "";
}

function drawLines(f, spots, best, line) {
  const step = best.map((s, i) => {
    const [x, y] = [f.x(s.x[0]), f.y(s.y[0])];
    return i ? `H${x}V${y}` : `M${x} ${y}`;
  });
  const joined = spots.filter((s) => line.includes(s.i)).sort((a, b) => a.x[0] - b.x[0]);
  const path = joined.map((s, i) => `${i ? "L" : "M"}${f.x(s.x[0])} ${f.y(s.y[0])}`);
  return [
    svg("path", { class: "depth", d: path.join("") || "M0 0" }),
    svg("path", { class: "front", d: step.join("") + `H${f.right}` }),
  ];
}

function numberTable(spots, chosen, best) {
  const heads = ["setting", chosen.quality.title, chosen.cost.title, "on the front"];
  const head = make(
    "tr",
    {},
    ...heads.map((text) => make("th", { scope: "col", textContent: text })),
  );
  const rows = spots.map((spot) => {
    const doubt = chosen.cost.doubts[spot.i] ? " (suspect)" : "";
    const cells = [
      numberText(spot.y),
      numberText(spot.x) + doubt,
      best.includes(spot) ? "yes" : "",
    ];
    const name = make("th", { scope: "row", textContent: spot.name });
    return make("tr", {}, name, ...cells.map((text) => make("td", { textContent: text })));
  });
  return make("table", {}, head, ...rows);
}

function drawPareto() {
  const chosen = chosenPlot();
  const { spots, missing } = spotsOf(chosen);
  const reasons = Object.entries(missing).map(([why, names]) => {
    return names.join(", ") + ": " + (why.length > 140 ? why.slice(0, 140) + " …" : why) + ".";
  });
  by("pareto-missing").textContent = reasons.length ? "Not in the plot: " + reasons.join(" ") : "";
  by("pareto-about").textContent = chosen.cost.about;
  light(null);
  marks = [];
  if (!spots.length) return by("pareto-plot").replaceChildren("No setting has both numbers.");
  const wide = matchMedia("(min-width: 60.01rem)").matches;
  const width = Math.min(1152, Math.max(280, by("pareto-plot").clientWidth - (wide ? LEGEND : 0)));
  const best = front(spots, chosen.quality.better);
  const f = frame(spots, chosen, width);
  marks = spots.map((spot) => drawMark(f, spot, spotText(spot, chosen, best)));
  if (marks.length) marks[0].setAttribute("tabindex", "0");
  const label = `${chosen.quality.title} against ${chosen.cost.title}; arrow keys move between settings`;
  const drawing = svg("svg", {
    viewBox: `0 0 ${width} ${HEIGHT}`,
    role: "group",
    "aria-label": label,
  });
  drawing.append(...drawAxes(f, chosen), ...drawReferences(f, chosen));
  drawing.append(...drawLines(f, spots, best, chosen.plot.line), ...marks);
  by("pareto-plot").replaceChildren(drawing, legend(spots, chosen.plot));
  by("pareto-about").textContent = chosen.cost.about + " " + controlText(f, chosen);
  by("pareto-numbers").replaceChildren(numberTable(spots, chosen, best));
}

/* Arrow keys go from one marker to the next by cost. */
function step(event) {
  const forward = ["ArrowRight", "ArrowDown"].includes(event.key);
  if (!forward && !["ArrowLeft", "ArrowUp"].includes(event.key)) return;
  const left = (mark) => mark.querySelector(".shape").getBoundingClientRect().left;
  const ordered = [...marks].sort((a, b) => left(a) - left(b));
  const next = ordered[ordered.indexOf(document.activeElement) + (forward ? 1 : -1)];
  event.preventDefault();
  if (!next) return;
  document.activeElement.setAttribute("tabindex", "-1");
  next.setAttribute("tabindex", "0");
  next.focus();
}

function fillChoices() {
  const plot = data("plots").plots[Number(by("pareto-frames").value)];
  const many = (n) => n + (n === 1 ? " scene" : " scenes");
  options(
    by("pareto-cost"),
    plot.costs.map((axis) => axis.title),
  );
  options(
    by("pareto-quality"),
    plot.qualities.map((axis) => axis.title),
  );
  options(
    by("pareto-choice"),
    plot.choices.map((c) => `${c.label} (${many(c.scenes)})`),
  );
}

if (by("pareto")) {
  const { plots } = data("plots");
  options(
    by("pareto-frames"),
    plots.map((plot) => String(plot.frames)),
  );
  by("pareto-frames-label").hidden = plots.length < 2;
  fillChoices();
  by("pareto-frames").addEventListener("change", fillChoices);
  by("pareto").addEventListener("change", drawPareto);
  const plot = by("pareto-plot");
  plot.addEventListener("keydown", step);
  for (const name of ["pointerover", "focusin"]) {
    plot.addEventListener(
      name,
      (e) => e.target.closest(".mark") && light(e.target.closest(".mark")),
    );
  }
  for (const name of ["pointerout", "focusout"]) {
    plot.addEventListener(name, (e) => e.target.closest(".mark") && light(null));
  }
  const focused = () => marks.find((mark) => mark === document.activeElement) || null;
  addEventListener("scroll", () => light(focused()), { passive: true });
  let width = plot.clientWidth;
  drawPareto();
  new ResizeObserver(() => {
    if (plot.clientWidth === width) return;
    width = plot.clientWidth;
    drawPareto();
  }).observe(plot);
}
