/* Markers of the plot: shape, intervals, the numbers that stand beside one, the legend. */
let marks = [];

function bars(f, spot) {
  const [x, y] = [f.x(spot.x[0]), f.y(spot.y[0])];
  const style = `stroke:${colour(spot.look)}`;
  const bar = (x1, x2, y1, y2) => svg("line", { class: "bar", x1, x2, y1, y2, style });
  const parts = [];
  if (spot.x[1] !== null) parts.push(bar(f.x(spot.x[1]), f.x(spot.x[2]), y, y));
  if (spot.y[1] !== null) parts.push(bar(x, x, f.y(spot.y[1]), f.y(spot.y[2])));
  return parts;
}

function drawMark(f, spot, text) {
  const place = `translate(${f.x(spot.x[0])} ${f.y(spot.y[0])})`;
  const marker = svg("g", { transform: place }, shape(spot.look));
  const label = text.replace(/\n/g, "; ");
  const mark = svg("g", { class: "mark", role: "img", tabindex: "-1", "aria-label": label });
  mark.append(...bars(f, spot), marker);
  mark.dataset.text = text;
  mark.dataset.name = spot.name;
  return mark;
}

const tip = make("div", { className: "tip", hidden: true });
document.body.append(tip);

/* One setting stands out, and its numbers stand beside it. */
function light(mark) {
  const plot = by("pareto-plot");
  plot.classList.toggle("dimmed", Boolean(mark));
  marks.forEach((other) => other.classList.toggle("lit", other === mark));
  tip.hidden = !mark;
  if (!mark) return;
  tip.textContent = mark.dataset.text;
  const box = mark.querySelector(".shape").getBoundingClientRect();
  const left = Math.min(box.right + 10, innerWidth - tip.offsetWidth - 8);
  tip.style.left = Math.max(8, left) + "px";
  tip.style.top = Math.max(8, Math.min(box.bottom + 8, innerHeight - tip.offsetHeight - 8)) + "px";
}

function legendItem(spot, mark) {
  const sample = svg("svg", { viewBox: "-8 -8 16 16", "aria-hidden": "true" }, shape(spot.look));
  const item = make("li", {}, sample, spot.name);
  item.addEventListener("pointerenter", () => light(mark));
  item.addEventListener("pointerleave", () => light(null));
  return item;
}

/* Settings by what they change. */
function legend(spots, { families }) {
  const groups = families.map((family, i) => {
    const own = spots
      .map((spot, place) => [spot, marks[place]])
      .filter(([s]) => s.look.family === i);
    if (!own.length) return "";
    const items = own.map(([spot, mark]) => legendItem(spot, mark));
    return make("div", {}, make("h4", { textContent: family }), make("ul", {}, ...items));
  });
  return make("div", { className: "legend" }, ...groups);
}
