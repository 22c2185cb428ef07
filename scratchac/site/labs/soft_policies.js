// The page of soft policies: three values to drag, two policies, and E[Q] + αH of every policy as a triangle.

const settings = { alpha: 0.3, q1: 1, q2: 0.6, q3: -0.8 }, NAMES = ["a₁", "a₂", "a₃"];
const PAIR = [["right", "blue"], ["wrong", "orange"]];
const ALPHAS = Array.from({ length: 81 }, (_, i) => 10 ** (-1.3 + 0.025 * i)), CELLS = 36;
const LEVELS = [0.15, 0.3, 0.45, 0.6, 0.7, 0.8, 0.88, 0.94, 0.98];              // from the worst policy, 0, to the best, 1
const values = () => [settings.q1, settings.q2, settings.q3];

function drawQ(q) {
  const c = chart("q", { height: tall(250, 210), x: [-0.5, 2.5], y: [-2.2, 2.2] });
  c.show(q.map((x, i) => line("stem", c.px(i), c.py(0), c.px(i), c.py(x)) + dot("handle", c.px(i), c.py(x), 9) +
    `<circle class="grip" data-action="${i}" cx="${c.px(i)}" cy="${c.py(x)}" r="24"/>` +
    c.under(i, NAMES[i], "middle", "strong")).join(""),
    `Values of the three actions: ${q.map((x) => fixed(x, 2)).join(", ")}.`);
  drawQ.at = (y) => 2.2 - 4.4 * (y - c.top) / (c.bottom - c.top);           // pixels to Q
}

function drawP(seen) {
  const c = chart("p", { height: tall(250, 210), x: [-0.5, 2.5], y: [0, 1.12], count: 5 });
  const wide = Math.min(44, 0.38 * (c.px(1) - c.px(0)));
  const bar = (kind, x, p) =>
    `<rect class="${kind}" x="${x}" y="${c.py(p)}" width="${wide}" height="${c.bottom - c.py(p)}" rx="2"/>` +
    text(x + wide / 2, c.py(p) - 5, "middle", fixed(p, 2), wide < 30 ? `small ${kind}` : kind);
  c.show(NAMES.map((name, i) => bar("blue", c.px(i) - wide - 2, seen.right.p[i]) + bar("orange", c.px(i) + 2, seen.wrong.p[i]) +
    c.under(i, name, "middle", "strong")).join(""),
    [["exp(Q/α)", seen.right], ["exp(αQ)", seen.wrong]].map(([name, { p }]) =>
      `${name}: ${p.map((x) => fixed(x, 2)).join(", ")}`).join("; "));
}

// Small triangles, coloured by E[Q] + αH from the worst policy to the best, and lines where it has the same height
function drawTriangle(q, seen) {
  const svg = $("triangle"), width = Math.max(svg.clientWidth, 240), side = Math.min(width - 64, 330), top = 24;
  const across = side * Math.sqrt(3) / 2, height = top + across + 12;
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("height", height);
  const corners = [[(width - side) / 2, top + across], [width / 2, top], [(width + side) / 2, top + across]];
  const at = (p) => [0, 1].map((k) => p.reduce((sum, x, i) => sum + x * corners[i][k], 0));
  const low = Math.min(...q), reach = seen.value - low, cells = [], contours = [];
  const level = (i, j) => (judge([i, j, CELLS - i - j].map((n) => Math.log(n / CELLS)), q, settings.alpha).soft - low) / reach;
  const place = (i, j) => at([i / CELLS, j / CELLS, 1 - (i + j) / CELLS]);
  for (let i = 0; i < CELLS; i++) for (let j = 0; j < CELLS - i; j++) for (const up of i + j < CELLS - 1 ? [0, 1] : [0]) {
    const three = up ? [[i + 1, j + 1], [i + 1, j], [i, j + 1]] : [[i, j], [i + 1, j], [i, j + 1]];
    const xy = three.map(([a, b]) => place(a, b)), high = three.map(([a, b]) => level(a, b));
    const mean = (high[0] + high[1] + high[2]) / 3, opacity = (0.05 + 0.75 * Math.max(0, mean) ** 2).toFixed(3);
    cells.push(`<path class="cell" opacity="${opacity}" d="M${joined(xy)}Z"/>`);
    for (const c of LEVELS) {                                               // it crosses two edges, or none
      const cuts = [[0, 1], [1, 2], [2, 0]].filter(([a, b]) => (high[a] < c) !== (high[b] < c)).map(([a, b]) => {
        const way = (c - high[a]) / (high[b] - high[a]);
        return [0, 1].map((k) => xy[a][k] + way * (xy[b][k] - xy[a][k]));
      });
      if (cuts.length === 2) contours.push(`M${joined(cuts)}`);
    }
  }
  const ways = PAIR.map(([name, kind]) => path(`${kind} way`, ALPHAS.map((alpha) => at(policies(q, alpha)[name].p))));
  const dots = [...PAIR].reverse().map(([name, kind]) => dot(`${kind} policy`, ...at(seen[name].p), name === "right" ? 8 : 6));
  const names = [["end", -9, 4], ["middle", 0, -9], ["start", 9, 4]].map(([anchor, dx, dy], i) =>
    text(corners[i][0] + dx, corners[i][1] + dy, anchor, NAMES[i], "strong"));
  const heights = `<path class="contour" d="${contours.join("")}"/>`;
  svg.innerHTML = [...cells, path("edge", corners, "Z"), heights, ...ways, ...dots, ...names].join("");
  svg.setAttribute("aria-label", `All policies over three actions. E[Q] + αH is largest, ` +
    `${fixed(seen.value, 3)}, at exp(Q/α)/Z; at exp(αQ)/Z it is ${fixed(seen.wrong.soft, 3)}.`);
}

function drawCurve(q, seen) {
  const all = ALPHAS.map((alpha) => policies(q, alpha)), numbers = all.flatMap(({ right, wrong }) => [right.soft, wrong.soft]);
  const low = Math.min(...numbers), high = Math.max(...numbers), room = Math.max(0.05 * (high - low), 0.1);
  const c = chart("curve", { height: tall(310, 240), x: [-1.3, 0.7], y: [low - room, high + room] });
  const at = (name) => all.map((one, i) => [c.px(Math.log10(ALPHAS[i])), c.py(one[name].soft)]);
  const x = c.px(Math.log10(settings.alpha));
  c.show([0.1, 0.3, 1, 3].map((alpha) => c.under(Math.log10(alpha), alpha === 0.1 ? "α = 0.1" : alpha)).join("") +
    line("mark", c.px(0), c.top, c.px(0), c.bottom) + line("here", x, c.top, x, c.bottom) +
    path("orange", at("wrong")) + path("blue", at("right")) +
    dot("orange policy", x, c.py(seen.wrong.soft), 5) + dot("blue policy", x, c.py(seen.right.soft), 5),
    `E[Q] + αH over α; here ${fixed(seen.right.soft, 3)} for exp(Q/α) and ${fixed(seen.wrong.soft, 3)} for exp(αQ).`);
}

function draw() {
  const q = values(), seen = policies(q, settings.alpha);
  for (const [name] of PAIR) {
    seen[name].p.forEach((x, i) => { $(`${name}-${i}`).textContent = fixed(x, 4); });
    for (const row of ["entropy", "expected", "soft"]) $(`${name}-${row}`).textContent = fixed(seen[name][row], 4);
  }
  $("value").textContent = fixed(seen.value, 4);
  $("gap").textContent = fixed(seen.value - seen.wrong.soft, 4);
  drawQ(q);
  drawP(seen);
  drawTriangle(q, seen);
  drawCurve(q, seen);
}

slider(settings, "alpha", 2, draw, (x) => 10 ** x, Math.log10);
const set = ["q1", "q2", "q3"].map((id) => slider(settings, id, 2, draw));

let dragged = null;                                                         // number of the action
$("q").addEventListener("pointerdown", (event) => {
  dragged = event.target.dataset.action ?? null;
  if (dragged !== null) $("q").setPointerCapture(event.pointerId);
});
$("q").addEventListener("pointermove", (event) => {
  if (dragged === null) return;
  const value = drawQ.at(event.clientY - $("q").getBoundingClientRect().top);
  set[dragged](Math.round(20 * Math.min(2, Math.max(-2, value))) / 20);
  draw();
});
for (const end of ["pointerup", "pointercancel"]) $("q").addEventListener(end, () => { dragged = null; });
window.addEventListener("resize", draw);
draw();

// For the console, and for tests
window.scratchac = { settings, policies, draw };
