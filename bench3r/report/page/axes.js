/* Axes of a plot in SVG: scales, ticks, marks. */
function svg(name, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/* From a value to its place in pixels. */
function scale(low, high, from, to, logarithmic) {
  const of = logarithmic ? Math.log : (v) => v;
  const step = (to - from) / (of(high) - of(low));
  return (value) => from + (of(value) - of(low)) * step;
}

function linearTicks(low, high, count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough);
  const ticks = [];
  for (let i = Math.ceil(low / step); i * step <= high; i++) ticks.push(i * step);
  return ticks;
}

/* 1, 2 and 5 of every decade, more of a part of one; of many decades the powers of ten. */
function logTicks(low, high) {
  const from = Math.floor(Math.log10(low));
  const to = Math.ceil(Math.log10(high));
  const few = high / low < 8 ? [1, 1.5, 2, 3, 4, 5, 7] : [1, 2, 5];
  const steps = to - from > 3 ? [1] : few;
  const ticks = [];
  for (let power = from; power <= to; power++) ticks.push(...steps.map((s) => s * 10 ** power));
  return ticks.filter((tick) => tick >= low && tick <= high);
}

const LOG_FROM = 3; // ratio of the largest to the smallest value from which on an axis is logarithmic

/* The range of values with some air; logarithmic where they differ by much. */
function domain(values) {
  const low = Math.min(...values);
  const high = Math.max(...values);
  const logarithmic = low > 0 && high / low > LOG_FROM;
  if (logarithmic) {
    const air = (high / low) ** 0.06;
    return { low: low / air, high: high * air, logarithmic };
  }
  const air = (high - low || Math.abs(high) || 1) * 0.06;
  return { low: low - air, high: high + air, logarithmic };
}

function ticksOf(range, count) {
  const { low, high, logarithmic } = range;
  const ticks = logarithmic ? logTicks(low, high) : [];
  return ticks.length > 1 ? ticks : linearTicks(low, high, count);
}

/* Shapes of markers around the origin, as paths: one per method of a family. */
const SHAPES = [
  "M5.5 0A5.5 5.5 0 1 1 -5.5 0A5.5 5.5 0 1 1 5.5 0Z",
  "M-5 -5H5V5H-5Z",
  "M0 -6.2L6 4.6H-6Z",
  "M0 -6.8L6.8 0L0 6.8L-6.8 0Z",
  "M0 6.2L6 -4.6H-6Z",
  "M-2 -6H2V-2H6V2H2V6H-2V2H-6V-2H-2Z",
  "M0 -7L1.8 -2.2L6.9 -2.1L2.9 1L4.3 6L0 3.1L-4.3 6L-2.9 1L-6.9 -2.1L-1.8 -2.2Z",
  "M-6 -3L-3 -6L0 -3L3 -6L6 -3L3 0L6 3L3 6L0 3L-3 6L-6 3L-3 0Z",
];

/* The hue of a family, paler for every further setting of one method. */
function colour({ family, variant }) {
  const share = Math.max(45, 100 - 22 * variant);
  return `color-mix(in oklab, var(--family-${family}) ${share}%, var(--paper))`;
}

function shape(look) {
  const fill = look.hollow || look.shape >= SHAPES.length ? "var(--paper)" : colour(look);
  const d = SHAPES[look.shape % SHAPES.length];
  return svg("path", { d, class: "shape", style: `fill:${fill};stroke:${colour(look)}` });
}
