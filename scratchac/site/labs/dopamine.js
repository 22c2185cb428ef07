// The page of conditioning: buttons run trials, and four drawings show δ and V.

const world = JSON.parse($("data").textContent);
const settings = { lam: 0, lr: 0.2, gamma: world.gamma }, ROWS = 400, BEFORE = new Array(world.steps).fill(0);
let w, trials;                                                              // weights; δ and kind of every trial

function startAgain() {
  w = noWeights(world);
  trials = [];
  draw();
}

// `kind` is "reward", "omitted" or "early"
function run(kind, count = 1) {
  const r = rewardAt(world, { reward: world.reward, omitted: 0, early: world.early }[kind]);
  for (let i = 0; i < count; i++) {
    const { delta, v, after } = trial(world, w, r, settings);
    trials.push({ delta, v, kind, limit: settings.gamma ** (world.reward - world.cue) });
    w = after;
  }
  draw();
}

// Dashed lines at the cue and at the reward, with their names above the chart
function events({ px, top, bottom }, kind) {
  const names = [[world.cue, "cue"], [world.reward, kind === "omitted" ? "no reward" : kind === "early" ? "due" : "reward"]];
  if (kind === "early") names.push([world.early, "reward"]);
  return names.map(([step, name]) =>
    line("mark", px(step), top, px(step), bottom) + text(px(step), top - 6, "middle", name, "strong")).join("");
}

const steps = (c) => [1, 5, 10, 15, 20].map((t) => c.under(t, t === 1 ? "step 1" : t)).join("");

function drawDelta(now, past) {
  const all = [...now.delta, ...past], y = [Math.min(-1.15, ...all) - 0.05, Math.max(1.15, ...all) + 0.05];
  const c = chart("delta", { height: tall(290, 230), x: [0.2, world.steps + 0.6], y, top: 24 });
  const at = (delta) => delta.map((x, t) => [c.px(t + 1), c.py(x)]);
  const sticks = at(now.delta).map(([x, top], t) => {
    const kind = now.delta[t] < 0 ? "orange" : "blue", size = Math.abs(now.delta[t]);
    return (size > 1e-9 ? line(kind, x, c.py(0), x, top) : "") + dot(kind, x, top, size > 0.02 ? 4.5 : 2.5);
  });
  const before = at(past).map(([x, y], t) =>
    (Math.abs(past[t] - now.delta[t]) < 0.02 ? "" : line("ghost", x - 6, y, x + 6, y))).join("");
  c.show(events(c, now.kind) + steps(c) + before + sticks.join(""),
         `TD error in the last trial: ${fixed(now.delta[world.cue - 1], 3)} at the cue, ` +
         `${fixed(now.delta[world.reward - 1], 3)} where the reward is due.`);
}

function drawValue(now) {
  const all = [...w, ...now.v], y = [Math.min(-0.05, ...all), Math.max(1.1, ...all) + 0.05];
  const c = chart("value", { height: tall(280, 210), x: [0.2, world.steps + 0.6], y, top: 24 });
  // V(t) holds during step t, which begins where the step before ends
  const stairs = (v) => v.slice(0, world.steps).flatMap((x, t) => [[c.px(t + (t ? 0 : 0.2)), c.py(x)], [c.px(t + 1), c.py(x)]]);
  c.show(events(c, now.kind) + steps(c) + path("ghost", stairs(now.v)) + path("green", stairs(w)),
         `Value of each step: ${fixed(w[world.cue], 3)} right after the cue, ` +
         `${fixed(w[world.reward - 1], 3)} before the reward is due.`);
}

function drawHistory() {
  const cue = trials.map(({ delta }) => delta[world.cue - 1]), reward = trials.map(({ delta }) => delta[world.reward - 1]);
  const most = Math.max(trials.length, 20), y = [Math.min(-1.15, ...reward) - 0.05, Math.max(1.15, ...cue, ...reward) + 0.05];
  const c = chart("history", { height: tall(290, 220), x: [1, most], y });
  const at = (numbers) => numbers.map((x, i) => [c.px(i + 1), c.py(x)]), curve = (kind, numbers) =>
    path(kind, at(numbers)) + (numbers.length < 30 ? at(numbers).map(([x, y]) => dot(kind, x, y, 3)).join("") : "");
  const unusual = trials.map(({ kind }, i) =>
    (kind === "reward" ? "" : line("mark", c.px(i + 1), c.top, c.px(i + 1), c.bottom))).join("");
  const round = ticks(1, most, 4).filter(([x]) => x > 1 && Number.isInteger(x) && c.px(x) < c.right - 76);
  const names = c.under(1, 1) + round.map(([x, label]) => c.under(x, label)).join("") + c.under(most, `trial ${most}`, "end");
  const drawn = trials.length ? curve("orange", reward) + curve("blue", cue)
    : text((c.left + c.right) / 2, c.py(0) - 12, "middle", "no trial yet");
  c.show(unusual + names + drawn,
         `TD error at the cue and where the reward is due, over ${trials.length} trials.`);
}

function drawMap() {
  const shown = trials.slice(-ROWS), first = trials.length - shown.length, rows = Math.max(shown.length, 20);
  const c = chart("map", { height: tall(280, 230), x: [0.5, world.steps + 0.5], y: [rows, 0], top: 24, right: 14, count: 0 });
  const edge = (t) => Math.round(c.px(t + 0.5)), row = (i) => Math.round(c.py(i));         // whole pixels: no seams
  const cells = shown.flatMap(({ delta }, i) => delta.map((x, t) => (Math.abs(x) < 0.01 ? "" :
    `<rect class="${x < 0 ? "square orange" : "square blue"}" x="${edge(t)}" y="${row(i)}" width="${edge(t + 1) - edge(t)}" ` +
    `height="${Math.max(row(i + 1) - row(i), x < 0 ? 2 : 0)}" opacity="${Math.min(1, Math.sqrt(Math.abs(x))).toFixed(2)}"/>`)));
  const numbers = ticks(first + 1, first + rows, 4).map(([x, label]) => text(c.left - 7, c.py(x - first - 0.5) + 4, "end", label));
  c.show(cells.join("") + numbers.join("") + events(c, "reward") + steps(c),
         `TD error at each step of the last ${shown.length} trials.`);
}

function draw() {
  const now = trials.at(-1) ?? { delta: BEFORE, v: BEFORE, kind: "reward" }, past = trials.at(-2)?.delta ?? BEFORE;
  const half = trials.findIndex(({ delta, limit }) => delta[world.cue - 1] > limit / 2);
  $("trials").textContent = trials.length;
  $("at-cue").textContent = fixed(now.delta[world.cue - 1], 3);
  $("at-reward").textContent = fixed(now.delta[world.reward - 1], 3);
  $("power").innerHTML = `γ<sup>${world.reward - world.cue}</sup>`;
  $("limit").textContent = fixed(settings.gamma ** (world.reward - world.cue), 3);
  $("half").textContent = half < 0 ? "not yet" : half + 1;
  const kind = { reward: "", omitted: ", no reward", early: `, reward ${world.reward - world.early} steps early` }[now.kind];
  $("kind").textContent = trials.length ? `trial ${trials.length}${kind}` : "no trial yet";
  drawDelta(now, past);
  drawValue(now);
  drawHistory();
  drawMap();
}

for (const [id, kind, count] of [["one", "reward", 1], ["twenty", "reward", 20], ["omit", "omitted", 1], ["early", "early", 1]]) {
  $(id).addEventListener("click", () => run(kind, count));
}
$("again").addEventListener("click", startAgain);
for (const [id, digits] of [["lam", 2], ["lr", 2], ["gamma", 2]]) slider(settings, id, digits, draw);
window.addEventListener("resize", draw);
startAgain();

// For the console, and for tests
window.scratchac = { world, settings, run, startAgain, trial, rewardAt, noWeights, state: () => ({ w, trials }) };
