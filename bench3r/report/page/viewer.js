/* Points of a scene on a canvas. Coordinates are base64 uint16 steps between bounds, cameras
   float32, colours and recursion depths uint8. */
function decode(text, type) {
  return new type(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
}

/* Numbers [N, C] of quantised ones. */
function numbers({ low, step, data: text }) {
  const width = low.length;
  return Float32Array.from(
    decode(text, Uint16Array),
    (v, i) => low[i % width] + v * step[i % width],
  );
}

const IMAGE = "image";
const DISTANCE = "distance to ground truth";
const DEPTH = "recursion depth";
const GREY = [150, 160, 170];
const RAMP = [
  [47, 111, 208],
  [127, 147, 181],
  [185, 179, 154],
  [255, 210, 63],
]; // blue to yellow
const TRUE_CAMERAS = "#9aa5b1";
const CAMERAS = "#ff8c42";

/* A colour of the ramp for a share of 0 to 1. */
function ramp(share) {
  const at = Math.min(1, Math.max(0, share)) * (RAMP.length - 1);
  const from = Math.min(RAMP.length - 2, Math.floor(at));
  return RAMP[from].map((c, i) => Math.round(c + (RAMP[from + 1][i] - c) * (at - from)));
}

/* The distance that ends the scale: the same for all methods of a scene, above most of theirs. */
function largest(scene) {
  const ends = Object.values(scene.methods).map((cloud) => {
    const sorted = numbers(cloud.error).sort();
    return sorted[Math.floor(0.95 * (sorted.length - 1))];
  });
  return Math.max(...ends);
}

const view = { turn: 0.25, tilt: -0.35, zoom: 1, shown: null };

function chosenCloud() {
  const scenes = data("scenes");
  const scene = scenes[Object.keys(scenes)[Number(by("scene").value)]];
  const name = Object.keys(scene.methods)[Number(by("cloud").value)];
  return { scene, name, cloud: scene.methods[name] };
}

function colourOf(scene, cloud, colour) {
  if (colour === IMAGE) {
    const rgb = decode(scene.rgb, Uint8Array);
    return (i) => rgb.subarray(3 * i, 3 * i + 3);
  }
  if (colour === DISTANCE) {
    const error = numbers(cloud.error);
    const end = (scene.end ||= largest(scene)) || 1;
    return (i) => ramp(error[i] / end);
  }
  const depth = decode(cloud.depth, Uint8Array);
  const most = Math.max(2, ...depth);
  return (i) => ramp((depth[i] - 1) / (most - 1));
}

/* All that a choice shows: points [N, 3] with colours, and lines of cameras. */
function gather() {
  const { scene, name, cloud } = chosenCloud();
  const colour = by("colour").selectedOptions[0].textContent;
  const layers = [{ xyz: numbers(cloud.xyz), colour: colourOf(scene, cloud, colour), alpha: 1 }];
  if (by("ground-truth").checked) {
    layers.push({ xyz: numbers(scene.ground_truth.xyz), colour: () => GREY, alpha: 0.55 });
  }
  const lines = [{ flat: decode(cloud.cameras, Float32Array), colour: CAMERAS }];
  if (by("ground-truth").checked) {
    lines.push({ flat: decode(scene.cameras, Float32Array), colour: TRUE_CAMERAS });
  }
  const points = [];
  for (const { xyz, colour: of, alpha } of layers) {
    for (let i = 0; i < xyz.length / 3; i++) {
      points.push({
        at: xyz.subarray(3 * i, 3 * i + 3),
        fill: `rgb(${of(i).join(" ")} / ${alpha})`,
      });
    }
  }
  const truth = numbers(scene.ground_truth.xyz);
  const cameras = decode(scene.cameras, Float32Array).filter((v) => !Number.isNaN(v));
  const middle = middleOf(truth);
  const reach = Math.max(reachOf(truth, middle, 0.97), 0.9 * reachOf(cameras, middle, 1));
  view.shown = { points, lines, middle, reach };
  writeKey(scene, cloud, colour);
  const label = `Points predicted by ${name} and of the ground truth; arrow keys turn, + and - zoom`;
  by("cloud-plot").setAttribute("aria-label", label);
  drawCloud();
}

/* The middle of points [N, 3]. */
function middleOf(xyz) {
  return [0, 1, 2].map((axis) => {
    const own = xyz.filter((_, i) => i % 3 === axis).sort();
    return own[own.length >> 1];
  });
}

/* How far a share of points [N, 3] reach from the middle. */
function reachOf(xyz, middle, share) {
  const far = [];
  for (let i = 0; i < xyz.length; i += 3) {
    far.push(Math.hypot(xyz[i] - middle[0], xyz[i + 1] - middle[1], xyz[i + 2] - middle[2]));
  }
  far.sort((a, b) => a - b);
  return far[Math.floor(share * (far.length - 1))] || 1;
}

/* From the world (x right, y down, z ahead) to pixels and a depth behind them. */
function projection(width, height) {
  const { middle, reach } = view.shown;
  const [st, ct] = [Math.sin(view.turn), Math.cos(view.turn)];
  const [si, ci] = [Math.sin(view.tilt), Math.cos(view.tilt)];
  const away = (2.2 * reach) / view.zoom;
  const focal = 1.05 * Math.min(width, height);
  return (x, y, z) => {
    const [a, b, c] = [x - middle[0], y - middle[1], z - middle[2]];
    const across = ct * a + st * c;
    const ahead = -st * a + ct * c;
    const down = ci * b + si * ahead;
    const deep = -si * b + ci * ahead + away;
    return deep < 0.05 * reach
      ? null
      : [width / 2 + (focal * across) / deep, height / 2 + (focal * down) / deep, deep];
  };
}

function drawCloud() {
  if (!view.shown) return;
  const canvas = by("cloud-plot");
  const ratio = devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  const project = projection(width, height);
  const seen = [];
  for (const point of view.shown.points) {
    const at = project(...point.at);
    if (at) seen.push([at, point.fill]);
  }
  seen.sort((a, b) => b[0][2] - a[0][2]);
  const size = (7 * view.shown.reach) / view.zoom;
  for (const [[x, y, deep], fill] of seen) {
    const side = Math.min(9, Math.max(1.4, size / deep));
    pen.fillStyle = fill;
    pen.fillRect(x - side / 2, y - side / 2, side, side);
  }
  for (const line of view.shown.lines) drawCameras(pen, project, line);
}

/* Lines between points [N, 3]; NaN ends one. */
function drawCameras(pen, project, { flat, colour }) {
  pen.strokeStyle = colour;
  pen.lineWidth = 1.6;
  pen.beginPath();
  let inside = false;
  for (let i = 0; i < flat.length; i += 3) {
    const at = Number.isNaN(flat[i]) ? null : project(flat[i], flat[i + 1], flat[i + 2]);
    if (at && inside) pen.lineTo(at[0], at[1]);
    else if (at) pen.moveTo(at[0], at[1]);
    inside = Boolean(at);
  }
  pen.stroke();
}

/* What colours mean. */
function writeKey(scene, cloud, colour) {
  const entry = (background, text, className) => {
    const sample = make("i", { className: className || "" });
    sample.style.background = background;
    return make("span", {}, sample, text);
  };
  const stops = RAMP.map((c) => `rgb(${c.join(" ")})`);
  const gradient = `linear-gradient(90deg, ${stops.join(", ")})`;
  const parts = [];
  if (colour === DISTANCE) {
    parts.push(
      entry(
        gradient,
        `0 to ${digits(scene.end)} ${scene.unit} or more, the same for all methods`,
        "scale",
      ),
    );
  }
  if (colour === DEPTH) {
    const most = Math.max(2, ...decode(cloud.depth, Uint8Array));
    for (let depth = 1; depth <= most; depth++) {
      parts.push(
        entry(`rgb(${ramp((depth - 1) / (most - 1)).join(" ")})`, `recursion depth ${depth}`),
      );
    }
  }
  parts.push(entry(CAMERAS, "predicted cameras"));
  if (by("ground-truth").checked) {
    parts.push(entry(`rgb(${GREY.join(" ")})`, "ground-truth points and cameras"));
  }
  by("cloud-key").replaceChildren(...parts);
}

function keep(select, names) {
  const before = select.selectedOptions[0]?.textContent;
  options(select, names);
  if (names.includes(before)) select.value = names.indexOf(before);
}

/* Methods of the scene; colours by recursion depth only where the method has one. */
function fillClouds() {
  const scenes = data("scenes");
  const scene = scenes[Object.keys(scenes)[Number(by("scene").value)]];
  keep(by("cloud"), Object.keys(scene.methods));
  const { cloud } = chosenCloud();
  keep(by("colour"), cloud.depth ? [IMAGE, DISTANCE, DEPTH] : [IMAGE, DISTANCE]);
  gather();
}

function turn(across, down) {
  view.turn += across;
  view.tilt = Math.min(1.5, Math.max(-1.5, view.tilt + down));
  drawCloud();
}

function zoom(times) {
  view.zoom = Math.min(12, Math.max(0.3, view.zoom * times));
  drawCloud();
}

function reset() {
  Object.assign(view, { turn: 0.25, tilt: -0.35, zoom: 1 });
  drawCloud();
}

function steer(canvas) {
  const keys = {
    ArrowLeft: () => turn(-0.1, 0),
    ArrowRight: () => turn(0.1, 0),
    ArrowUp: () => turn(0, -0.1),
    ArrowDown: () => turn(0, 0.1),
    "+": () => zoom(1.2),
    "=": () => zoom(1.2),
    "-": () => zoom(1 / 1.2),
    0: reset,
  };
  canvas.addEventListener("keydown", (event) => {
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });
  canvas.addEventListener("pointerdown", (event) => canvas.setPointerCapture(event.pointerId));
  canvas.addEventListener("pointermove", (event) => {
    if (event.buttons) turn(-event.movementX * 0.008, event.movementY * 0.008);
  });
  canvas.addEventListener(
    "wheel",
    (event) => {
      if (document.activeElement !== canvas && !event.ctrlKey) return;
      event.preventDefault();
      zoom(Math.exp(-event.deltaY * 0.0012));
    },
    { passive: false },
  );
  by("closer").addEventListener("click", () => zoom(1.2));
  by("farther").addEventListener("click", () => zoom(1 / 1.2));
  by("back").addEventListener("click", reset);
  new ResizeObserver(drawCloud).observe(canvas);
}

if (by("viewer")) {
  whenSeen(by("viewer"), () => {
    options(by("scene"), Object.keys(data("scenes")));
    for (const id of ["scene", "cloud"]) by(id).addEventListener("change", fillClouds);
    for (const id of ["colour", "ground-truth"]) by(id).addEventListener("change", gather);
    steer(by("cloud-plot"));
    fillClouds();
  });
}
