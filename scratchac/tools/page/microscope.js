// The page of the microscope: sliders, numbers, and three drawings in SVG, drawn anew at every move.

const data = JSON.parse(document.getElementById("data").textContent), made = corridor(data);
const $ = (id) => document.getElementById(id);
const settings = { ...data.settings };
const SLIDERS = ["gamma", "lam", "error", "batch"], CURVE = Array.from({ length: 21 }, (_, i) => i / 20);

const fixed = (x, digits) => (Math.abs(x) < 0.5 * 10 ** -digits ? 0 : x).toFixed(digits).replace("-", "−");
const line = (kind, x1, y1, x2, y2, width = 2) =>
  `<line class="${kind}" x1="${x1}" y1="${y1}" x2="${x2}" y2="${y2}" stroke-width="${width}" stroke-linecap="round"/>`;
const text = (x, y, anchor, content, kind = "") => `<text class="${kind}" x="${x}" y="${y}" text-anchor="${anchor}">${content}</text>`;

// An arrow with a head of `size`; where it is shorter than its head, the head is smaller
function arrow(kind, x1, y1, x2, y2, width, size) {
  const length = Math.hypot(x2 - x1, y2 - y1), head = Math.min(size, length);
  if (length < 0.5) return "";
  const [ux, uy] = [(x2 - x1) / length, (y2 - y1) / length], [bx, by] = [x2 - head * ux, y2 - head * uy], half = head * 0.5;
  return line(kind, x1, y1, bx, by, width) +
    `<path class="head ${kind}" stroke="none" d="M${x2} ${y2}L${bx - half * uy} ${by + half * ux}L${bx + half * uy} ${by - half * ux}Z"/>`;
}

// The drawing area of a figure, in pixels, so that text has the same size on every screen
function area(id, height) {
  const width = Math.max($(id).clientWidth, 200);
  $(id).setAttribute("viewBox", `0 0 ${width} ${height}`);
  return width;
}

function drawPlane(seen) {
  const height = 280, width = area("plane", height), along = norm(seen.mean) * seen.cosine;
  const across = norm(seen.mean) * Math.sqrt(Math.max(0, 1 - seen.cosine ** 2)), radius = Math.sqrt(seen.variance / settings.batch);
  // At least both arrows are in view; the disc too, unless it is more than four times as long as they are.
  const reach = Math.max(seen.length, Math.hypot(along, across)), seenRadius = Math.min(radius, 4 * reach);
  const x0 = Math.min(0, along - seenRadius), x1 = Math.max(seen.length, along + seenRadius), y1 = Math.max(across + seenRadius, 0.2 * reach);
  const y0 = Math.min(0, across - seenRadius), scale = Math.min((width - 40) / (x1 - x0), (height - 48) / (y1 - y0));
  const left = (width - scale * (x1 - x0)) / 2, top = (height - scale * (y1 - y0)) / 2;
  const px = (x) => left + scale * (x - x0), py = (y) => top + scale * (y1 - y);
  $("plane").innerHTML = `<clipPath id="frame"><rect width="${width}" height="${height}"/></clipPath>` +
    `<circle class="noise" clip-path="url(#frame)" cx="${px(along)}" cy="${py(across)}" r="${scale * radius}"/>` +
    line("axis", px(x0), py(0), px(x1), py(0), 1) + arrow("exact", px(0), py(0), px(seen.length), py(0), 8, 22) +
    arrow("estimated", px(0), py(0), px(along), py(across), 4, 15);
  $("plane").setAttribute("aria-label", `The exact gradient has length ${fixed(seen.length, 3)}, the estimator's mean ` +
    `${fixed(norm(seen.mean), 3)} at an angle of ${$("angle").textContent}; a batch has the standard deviation ${fixed(radius, 3)}.`);
}

function drawStates(seen) {
  const { inner, world } = made, row = 32, top = 26, height = top + row * world.limit + 4, width = area("states", height);
  const margin = 46, column = (width - margin) / world.cells, x = (cell) => margin + column * (cell + 0.5);
  const reached = [...new Set(made.s)];                                     // at even times the middle cell only, at odd ones its neighbours
  const largest = Math.max(...reached.map((s) => Math.max(Math.abs(seen.gradient[2 * s + 1]), Math.abs(seen.mean[2 * s + 1]))));
  const scale = 0.92 * column / largest;
  let drawn = text(margin - 10, 14, "end", "t") + text(x(0), 14, "middle", `exit +${world.left_reward}`) +
    text(x(world.cells - 1), 14, "middle", `exit +${world.right_reward}`) + text(x(world.cells >> 1), 14, "middle", "start");
  for (let t = 0; t < world.limit; t++) {
    drawn += text(margin - 10, top + row * t + row / 2 + 4, "end", t) + line("axis", margin, top + row * (t + 1), width, top + row * (t + 1), 1);
  }
  for (const s of reached) {
    const cell = (s % inner) + 1, y = top + row * Math.floor(s / inner) + row / 2, cx = x(cell);
    drawn += line("here", cx, y - 12, cx, y + 12, 1);
    for (const [kind, g, dy] of [["exact", seen.gradient, -6], ["estimated", seen.mean, 6]]) {
      drawn += arrow(kind, cx, y + dy, cx + scale * g[2 * s + 1], y + dy, 3.5, 9);
    }
  }
  $("states").innerHTML = drawn;
  const agree = reached.filter((s) => seen.gradient[2 * s + 1] * seen.mean[2 * s + 1] > 0).length;
  $("states").setAttribute("aria-label", `In ${agree} of ${reached.length} states the estimator's mean points where the exact gradient does.`);
}

// bias² and the variance of one episode over λ; kept, since a move of λ or of the batch does not change them
let kept = { key: null, points: [] };
function overLambda() {
  const key = [settings.gamma, settings.error, settings.discount].join();
  if (kept.key !== key) {
    kept = { key, points: CURVE.map((lam) => {
      const { bias, length, variance } = look(made, { ...settings, lam });
      return { lam, bias2: (bias * length) ** 2, variance };
    }) };
  }
  return kept.points;
}

function drawCurve(seen) {
  const height = 282, width = area("curve", height), left = 48, bottom = height - 26, right = width - 8;
  const points = overLambda().map((one) => ({ ...one, variance: one.variance / settings.batch }));
  const total = ({ bias2, variance }) => bias2 + variance, best = points.reduce((a, b) => (total(b) < total(a) ? b : a));
  const most = Math.max(...points.map(total)) * 1.06, step = 10 ** Math.floor(Math.log10(most)), tick = most / step > 5 ? 2 * step : most / step > 2 ? step : step / 2;
  const px = (lam) => left + (right - left) * lam, py = (y) => bottom - (bottom - 10) * y / most;
  const path = (kind, f) => `<path class="${kind}" d="M${points.map((p) => `${px(p.lam)} ${py(f(p))}`).join("L")}"/>`;
  let drawn = "";
  for (let y = 0; y <= most; y += tick) drawn += line("axis", left, py(y), right, py(y), 1) + text(left - 6, py(y) + 4, "end", Number(y.toPrecision(2)));
  for (const lam of [0, 0.25, 0.5, 0.75, 1]) drawn += text(px(lam), height - 6, lam === 1 ? "end" : "middle", lam === 0 ? "λ = 0" : lam);
  drawn += line("here", px(settings.lam), 10, px(settings.lam), bottom, 1.5);
  drawn += path("bias2", (p) => p.bias2) + path("variance", (p) => p.variance) + path("total", total);
  $("curve").innerHTML = drawn + `<circle class="dot" cx="${px(best.lam)}" cy="${py(total(best))}" r="4.5"/>`;
  const now = (seen.bias * seen.length) ** 2 + seen.variance / settings.batch;
  $("best").textContent = `Squared error of a batch's gradient: ${now.toPrecision(3)} here, least ${total(best).toPrecision(3)} at λ\u00a0=\u00a0${best.lam.toFixed(2)} (dot).`;
  $("curve").setAttribute("aria-label", `Bias squared and variance of a batch over λ. ${$("best").textContent}`);
}

function draw() {
  const seen = look(made, settings);
  $("gamma-shown").value = fixed(settings.gamma, 2);
  $("lam-shown").value = fixed(settings.lam, 2);
  $("error-shown").value = fixed(settings.error, 2);
  $("batch-shown").value = settings.batch;
  $("batch").setAttribute("aria-valuetext", `${settings.batch} episodes`);
  $("bias").textContent = `${fixed(100 * seen.bias, 1)}%`;
  $("angle").textContent = `${fixed(Math.acos(Math.min(1, Math.max(-1, seen.cosine))) * 180 / Math.PI, 1)}°`;
  $("deviation").textContent = fixed(Math.sqrt(seen.variance), 3);
  $("episodes").textContent = fixed(seen.episodes, 1);
  $("facts").textContent = `${made.chance.length.toLocaleString("en")} trajectories · J = ${fixed(seen.J, 4)} · ‖∇J‖ = ${fixed(seen.length, 4)}`;
  drawPlane(seen);
  drawStates(seen);
  drawCurve(seen);
}

function listen() {
  for (const id of SLIDERS) {
    $(id).addEventListener("input", () => {
      settings[id] = id === "batch" ? Math.round(10 ** $(id).value) : Number($(id).value);
      draw();
    });
  }
  $("discount").addEventListener("change", () => { settings.discount = $("discount").checked; draw(); });
  window.addEventListener("resize", draw);
}

// Settings may be outside of a slider's range, where the command asks for that; then the slider is as far as it goes.
function label() {
  for (const id of SLIDERS) $(id).value = id === "batch" ? Math.log10(settings.batch) : settings[id];
  $("discount").checked = settings.discount;
  const key = (pairs) => pairs.map(([colour, name]) => `<span><i style="background: var(--${colour})"></i>${name}</span>`).join("");
  for (const legend of document.querySelectorAll(".legend")) legend.innerHTML = key([["blue", "∇J"], ["orange", "estimate"]]);
  $("curve-legend").innerHTML = key([["blue", "bias²"], ["orange", "variance"], ["ink", "sum"]]);
}

// For the console, and for tests
window.scratchac = { made, settings, look: (given) => look(made, { ...settings, ...given }), draw };

label();
listen();
draw();
