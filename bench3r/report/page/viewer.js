/* Points of a scene. Coordinates are base64 uint16 steps between bounds, cameras float32,
   colours and recursion depths uint8. */
function decode(text, type) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  return new type(bytes.buffer);
}

function columns(flat, width) {
  const rows = flat.length / width;
  const column = (c) => Array.from({ length: rows }, (_, i) => flat[i * width + c]);
  return Array.from({ length: width }, (_, c) => column(c));
}

function numbers(packed) {
  const steps = columns(decode(packed.data, Uint16Array), packed.low.length);
  return steps.map((column, i) => column.map((v) => packed.low[i] + v * packed.step[i]));
}

function points(cloud, name, marker) {
  const [x, y, z] = numbers(cloud.xyz);
  const look = { mode: "markers", marker: { size: 2, ...marker }, hoverinfo: "skip" };
  return { x, y, z, name, type: "scatter3d", ...look };
}

function cameras(flat, name, color) {
  const [x, y, z] = columns(decode(flat, Float32Array), 3);
  for (const c of [x, y, z]) {
    for (let i = 0; i < c.length; i++) if (Number.isNaN(c[i])) c[i] = null;
  }
  const look = { mode: "lines", line: { color, width: 3 }, hoverinfo: "skip" };
  return { x, y, z, name, type: "scatter3d", ...look };
}

function scaled(color, colorscale, title) {
  return { color, colorscale, showscale: true, colorbar: { title: { text: title } } };
}

const IMAGE = "image", DISTANCE = "distance to ground truth", DEPTH = "recursion depth";
const GREY = "#8a949e", BLUE = "#0072b2", ORANGE = "#d55e00";

function markerOf(scene, cloud, colour) {
  if (colour === DEPTH && cloud.depth) {
    return scaled(Array.from(decode(cloud.depth, Uint8Array)), "Cividis", DEPTH);
  }
  if (colour === DISTANCE) return scaled(numbers(cloud.error)[0], "Viridis", scene.unit);
  if (colour === IMAGE) {
    const [red, green, blue] = columns(decode(scene.rgb, Uint8Array), 3);
    return { color: red.map((r, i) => `rgb(${r},${green[i]},${blue[i]})`) };
  }
  return { color: BLUE };
}

function drawCloud() {
  const scene = data.scenes[by("scene").value];
  const name = by("cloud").value;
  const cloud = scene.methods[name];
  const traces = [];
  if (by("ground-truth").checked) {
    traces.push(points(scene.ground_truth, "ground-truth points", { color: GREY, opacity: .5 }));
    traces.push(cameras(scene.cameras, "ground-truth cameras", GREY));
  }
  traces.push(points(cloud, name, markerOf(scene, cloud, by("colour").value)));
  traces.push(cameras(cloud.cameras, "predicted cameras", ORANGE));
  const axis = { gridcolor: ink("--line"), title: { text: "" }, showbackground: false };
  const camera = { up: { x: 0, y: -1, z: 0 }, eye: { x: .2, y: -.6, z: -1.6 } };
  const extra = {
    margin: { l: 0, r: 0, t: 0, b: 0 },
    legend: { x: 0, y: 1 },
    scene: { aspectmode: "data", xaxis: axis, yaxis: axis, zaxis: axis, camera },
  };
  Plotly.react("cloud-plot", traces, layout(extra), { responsive: true });
}

function fill() {
  const scene = data.scenes[by("scene").value];
  const before = by("cloud").value;
  options(by("cloud"), Object.keys(scene.methods));
  if (before in scene.methods) by("cloud").value = before;
}

if (Object.keys(data.scenes).length) {
  options(by("scene"), Object.keys(data.scenes));
  options(by("colour"), [IMAGE, DISTANCE, DEPTH]);
  by("scene").addEventListener("change", () => {
    fill();
    drawCloud();
  });
  for (const id of ["cloud", "colour", "ground-truth"]) {
    by(id).addEventListener("change", drawCloud);
  }
  fill();
  drawCloud();
} else {
  by("viewer").hidden = true;
}
