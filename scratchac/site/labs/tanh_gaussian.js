// The page of the tanh-Gaussian: two densities with the same ten strips of probability, and the areas under three curves.

const settings = { mu: 0.5, logStd: -0.2, a: 0.7 }, END = 6.5;              // tanh 6.5 is less than a pixel from 1
// ε at which N(0, 1) has 0.1, 0.2 … 0.9 of its probability below, by bisection of a sum of the density
const DECILES = (() => {
  const n = 16000, found = [];
  for (let i = 0, sum = 0; i < n; i++) {
    const middle = -8 + 16 * (i + 0.5) / n, next = sum + Math.exp(logNormal(middle, 0, 0)) * 16 / n;
    const level = (found.length + 1) / 10;
    if (level < 0.95 && next >= level) found.push(-8 + 16 * (i + (level - sum) / (next - sum)) / n);
    sum = next;
  }
  return found;
})();

// Points of a curve between two ends, `at` of which gives [x, y]
const points = (low, high, at, n = 80) => Array.from({ length: n + 1 }, (_, i) => at(low + (high - low) * i / n));

// Ten strips under a curve: every other one is filled stronger. `bounds` are in u, `at(u)` gives the pixel of the curve.
function strips(bounds, at, floor) {
  return bounds.slice(1).map((high, k) => {
    const edge = points(bounds[k], high, at, 50);
    return path(k % 2 ? "strip odd" : "strip", [...edge, [edge.at(-1)[0], floor], [edge[0][0], floor]], "Z");
  }).join("");
}

function drawBoth(seen) {
  const { mu, logStd, a } = settings, std = Math.exp(logStd), normal = (u) => Math.exp(logNormal(u, mu, logStd));
  const bounds = [mu - 6 * std, ...DECILES.map((eps) => mu + std * eps), mu + 6 * std];
  const reach = Math.max(3, Math.abs(mu) + 3 * std, Math.abs(seen.u) + 0.3), most = 1.12 * normal(mu);
  const c = chart("gaussian", { height: tall(270, 200), x: [-reach, reach], y: [0, most] });
  const atU = (u) => [c.px(u), c.py(normal(u))];
  const axis = (chart, low, high, name) =>
    ticks(low, high, 4).map(([x, label]) => chart.under(x, Math.abs(x) < 1e-9 ? `${name} = 0` : label)).join("");
  c.show(`<g ${c.clip}>${strips(bounds, atU, c.bottom)}${path("blue", points(-reach, reach, atU, 240))}</g>` +
    axis(c, -reach, reach, "u") + line("here", c.px(seen.u), c.top, c.px(seen.u), c.bottom) + dot("here", ...atU(seen.u), 5),
    `Density of u: a Gaussian around ${fixed(mu, 2)} with standard deviation ${fixed(std, 2)}.`);

  // Along u, so that the ends of (−1, 1) get their points. Where the density grows without end, the picture stops.
  const right = (u) => Math.exp(logNormal(u, mu, logStd) - logSlope(u));
  const inside = bounds.map((u) => Math.min(END, Math.max(-END, u)));
  const tallest = Math.max(...points(-2.2, 2.2, right, 200), normal(mu), 0.6), high = 1.12 * tallest;
  const s = chart("squashed", { height: tall(320, 230), x: [-1.02, 1.02], y: [0, high] });
  const at = (density) => (u) => [s.px(Math.tanh(u)), s.py(Math.min(density(u), 3 * high))];
  const now = right(seen.u);
  s.show(`<g ${s.clip}>${strips(inside, at(right), s.bottom)}${path("orange dashed", points(-END, END, at(normal), 700))}` +
    `${path("blue", points(-END, END, at(right), 700))}</g>` +
    axis(s, -1, 1, "a") + line("here", s.px(a), s.top, s.px(a), s.bottom) +
    dot("wrong here", s.px(a), s.py(normal(seen.u)), 5) + (now <= high ? dot("here", s.px(a), s.py(now), 5) : ""),
    `Density of a: ${fixed(now, 3)} at a = ${fixed(a, 3)}; without the correction ${fixed(normal(seen.u), 3)}.`);
}

// Both entropies over log σ; kept, since they change with μ alone
let kept = { mu: null };
function drawEntropies(now) {
  const { mu, logStd } = settings, lowest = Number($("logStd").min), highest = Number($("logStd").max);
  if (kept.mu !== mu) kept = { mu, all: points(lowest, highest, (x) => ({ x, ...areas(mu, x) }), 30) };
  const numbers = kept.all.flatMap(({ entropy, claimed }) => [entropy, claimed]);
  const y = [Math.min(...numbers) - 0.2, Math.max(...numbers) + 0.2];
  const c = chart("entropies", { height: 190, x: [lowest, highest], y, left: 32 });
  const curve = (kind, name) => path(kind, kept.all.map((one) => [c.px(one.x), c.py(one[name])])), x = c.px(logStd);
  c.show([-2, -1, 0, 1].map((value) => c.under(value, value === 0 ? "log σ = 0" : fixed(value, 0))).join("") +
    c.under(2, 2, "end") + line("mark", x, c.top, x, c.bottom) + curve("orange dashed", "claimed") + curve("blue", "entropy") +
    dot("orange policy", x, c.py(now.claimed), 5) + dot("blue policy", x, c.py(now.entropy), 5),
    `Entropy ${fixed(now.entropy, 3)}; without the correction it would seem to be ${fixed(now.claimed, 3)}.`);
}

function draw() {
  const { mu, logStd, a } = settings, seen = logDensities(a, mu, logStd), sum = areas(mu, logStd);
  for (const name of ["before", "after", "without"]) $(name).textContent = fixed(sum[name], 4);
  for (const name of ["entropy", "claimed"]) $(name).textContent = fixed(sum[name], 3);
  $("logp").textContent = fixed(seen.logp, 3);
  $("logu").textContent = fixed(seen.without, 3);
  $("slope").textContent = fixed(seen.slope, 3);
  $("sigma").textContent = `σ = ${fixed(Math.exp(logStd), 2)}`;
  for (const place of document.querySelectorAll(".at")) place.textContent = `a = ${fixed(a, 3)}`;
  for (const place of document.querySelectorAll(".at-u")) place.textContent = `u = artanh a = ${fixed(seen.u, 2)}`;
  drawBoth(seen);
  drawEntropies(sum);
}

for (const [id, digits] of [["mu", 2], ["logStd", 2], ["a", 3]]) slider(settings, id, digits, draw);
$("points").textContent = POINTS;
for (const place of document.querySelectorAll(".reach")) place.textContent = REACH;
window.addEventListener("resize", draw);
draw();

// For the console, and for tests
window.scratchac = { settings, logDensities, areas, draw, DECILES };
