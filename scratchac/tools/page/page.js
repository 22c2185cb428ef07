// The page: one game, played by the policy, drawn as it goes, and disturbed by whoever watches.

const policy = JSON.parse(document.getElementById("policy").textContent);
const world = physics[policy.env], picture = pictures[policy.env], head = policy.head;
const $ = (id) => document.getElementById(id);
const WINDOW = 200;                                     // steps that the curves show
const calm = matchMedia("(prefers-reduced-motion: reduce)");

const settings = { ...policy.env_args, gravity: policy.env_args.g ?? world.gravity, push: [0, 0] };
const trainedWith = settings.gravity, asked = settings.max_episode_steps ?? world.limit, limit = asked < 0 ? Infinity : asked;
const game = { paused: false, speed: 1, sampled: false, ticks: 0, returns: [], history: [] };
let hand = null;                                        // who pushes: {direction} by key, or {point} by pointer; until: the last step

const normal = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());

// -- playing ----------------------------------------------------------------------------------------------------------

function restart() {
  Object.assign(game, { state: world.start(Math.random), steps: 0, return: 0, over: null, waited: 0, noise: head.low?.map(() => 0), first: true });
  game.previous = game.state;
  game.motor = 0;
  $("verdict").textContent = "";
}

// What moves a sampled action: as in training, with the inertia of Ornstein-Uhlenbeck noise where θ is below 1
function drawNoise() {
  if (!game.sampled) return null;
  if (head.kind === "categorical") return Math.random();
  if (head.kind !== "tanh") return head.low.map(normal);
  game.noise = game.noise.map((x) => (1 - head.noise.theta) * x + head.noise.scale * normal());
  return game.noise;
}

function pushNow() {
  if (!hand) return [0, 0];
  if (hand.point) {
    const at = picture.hold(game.state), [x0, x1] = picture.view;
    const [dx, dy] = [hand.point[0] - at[0], hand.point[1] - at[1]];
    const pull = picture.strength / Math.max(Math.hypot(dx, dy), (x1 - x0) / 5);              // full force from there on
    return [dx * pull, dy * pull];
  }
  return [hand.direction * picture.strength, 0];
}

function step() {
  if (game.over) return;
  const obs = world.observe(game.state), { raw, env } = act(policy, obs, drawNoise());
  settings.push = pushNow();
  const pushed = hand !== null;
  if (hand && game.ticks >= hand.until) hand = null;
  const { state, reward, terminated } = world.step(game.state, env, settings);
  const transition = { obs, raw, reward, next: world.observe(state), terminated };
  game.previous = game.state;
  game.state = state;
  game.steps += 1;
  game.ticks += 1;
  game.return += reward;
  game.env = env;
  game.motor = picture.motor(env);
  game.history.push({
    tick: game.ticks, first: game.first, pushed, ...distribution(policy, obs), env,
    value: policy.critic ? value(policy, obs, raw) : game.return,
    delta: policy.critic && tdError(policy, transition, head.low?.map(normal)),
  });
  game.first = false;
  if (game.history.length > WINDOW) game.history.shift();
  if (terminated || game.steps >= limit) finish(terminated);
}

function finish(terminated) {
  game.over = terminated ? picture.ended : "stopped at the time limit";
  game.returns = [game.return, ...game.returns].slice(0, 5);
  $("verdict").textContent = `${game.over} after ${game.steps} steps, return ${short(game.return)}`;
}

// -- showing ----------------------------------------------------------------------------------------------------------

const short = (x) => decimals(x, Number.isInteger(x) ? 0 : Math.abs(x) < 1 ? 3 : Math.abs(x) < 10 ? 2 : 1);

// between the last two states, the shorter way round where it is an angle
function between(a, b, part) {
  return a.map((x, i) => {
    const way = b[i] - x;
    return x + part * (picture.angles.includes(i) ? wrap(way) : way);
  });
}

function drawWorld(part) {
  const canvas = $("world"), { ctx } = prepare(canvas), at = camera(canvas, picture.view);
  const state = between(game.previous, game.state, part);
  ctx.save();
  ctx.translate(at.x, at.y);
  ctx.scale(at.scale, -at.scale);
  picture.draw(ctx, state, game.motor);
  if (hand) {
    const from = picture.hold(state), unit = (picture.view[1] - picture.view[0]) / 100;
    const way = hand.point ? [hand.point[0] - from[0], hand.point[1] - from[1]] : [hand.direction * 16 * unit, 0];
    disc(ctx, from, unit, colours.green);
    arrow(ctx, from, way, colours.green, 0.8 * unit);
  }
  ctx.restore();
}

const SERIES = world.actions?.length === 3 ? ["blue", "muted", "orange"] : ["blue", "orange"];

function drawThoughts() {
  const { history } = game, last = history.at(-1), pick = (f) => history.map(f);
  drawCurves($("value"), { lines: [{ values: pick((s) => s.value), colour: colours.blue }] }, history, WINDOW);
  if (policy.critic) drawCurves($("delta"), { lines: [{ values: pick((s) => s.delta), colour: colours.orange }] }, history, WINDOW);
  if (head.kind === "categorical") {
    const shares = world.actions.map((_, i) => ({ values: pick((s) => s.probabilities[i]), colour: colours[SERIES[i]] }));
    const steps = stepsOfColumn($("actions"), WINDOW);
    drawCurves($("actions"), { shares, steps }, history, WINDOW, [0, 1]);
    $("means").textContent = `π: means of ${steps} steps`;
  } else {
    const lines = [{ values: pick((s) => s.env[0]), colour: colours.orange }];
    if (head.kind === "gaussian") {
      const [low, high] = head.scaled ? [head.low[0], head.high[0]] : [-1, 1];      // μ and σ in the environment's units
      const mu = pick((s) => 0.5 * (low + high) + 0.5 * (high - low) * s.mu[0]);
      lines.unshift({ values: mu, band: pick((s) => 0.5 * (high - low) * Math.exp(s.logSigma[0])), colour: colours.blue });
    } else {
      lines.unshift(bandOfTanh(pick((s) => s)));
    }
    drawCurves($("actions"), { lines }, history, WINDOW, [head.low[0], head.high[0]]);
  }
  if (!last) return;
  $("value-shown").textContent = short(last.value);
  $("delta-shown").textContent = policy.critic ? short(last.delta) : "";
}

// tanh(μ ± σ) in the environment's units: its middle and half its width, since tanh bends it
function bandOfTanh(samples) {
  const ends = samples.map(({ mu: [m], logSigma }) => {
    const sigma = logSigma ? Math.exp(logSigma[0]) : 0;
    return [m - sigma, m + sigma].map((u) => toEnv(head, [Math.tanh(u)])[0]);
  });
  return { values: ends.map(([a, b]) => (a + b) / 2), band: ends.map(([a, b]) => (b - a) / 2), colour: colours.blue };
}

function showNumbers() {
  $("steps").textContent = `${game.steps} / ${limit < Infinity ? limit : "∞"}`;
  $("return").textContent = short(game.return);
  $("action").textContent = game.env === undefined ? "–" : world.actions?.[game.env] ?? short(game.env[0]);
  $("returns").textContent = game.returns.map(short).join("  ") || "–";
}

// -- time -------------------------------------------------------------------------------------------------------------

let before = null, due = 0;                             // due: steps that should have been taken by now

function frame(now) {
  const passed = before === null ? 0 : Math.min((now - before) / 1000, 0.1);        // a tab that was away does not catch up
  before = now;
  if (!game.paused) {
    if (game.over) {
      game.waited += passed;
      if (game.waited > 1.4) restart();
    } else {
      for (due += passed * world.fps * game.speed; due >= 1 && !game.over; due -= 1) step();
    }
  }
  show();
  requestAnimationFrame(frame);
}

function show() {
  drawWorld(game.over || game.paused || calm.matches ? 1 : Math.min(due, 1));
  drawThoughts();
  showNumbers();
}

// -- controls ---------------------------------------------------------------------------------------------------------

function setPaused(paused) {
  game.paused = paused;
  if (!paused && !game.over) $("verdict").textContent = "";
  $("pause").textContent = paused ? "Play" : "Pause";
}

function setGravity(gravity) {
  settings.gravity = gravity;
  $("gravity").value = gravity;
  $("gravity-shown").textContent = policy.env.startsWith("Mountain") ? gravity.toFixed(4) : `${gravity.toFixed(1)} m/s²`;
  $("gravity-default").disabled = gravity === trainedWith;
}

function setSpeed(power) {
  game.speed = 2 ** power;
  $("speed-shown").textContent = power < 0 ? `1/${2 ** -power} ×` : `${2 ** power} ×`;
  $("speed").setAttribute("aria-valuetext", $("speed-shown").textContent);
}

function hold(held) {
  hand = { ...held, until: Infinity };
  if (game.paused) setPaused(false);
}

function release() {
  if (hand) hand.until = game.ticks + 3;                                           // a tap is a push of a few steps
  for (const id of ["left", "right"]) $(id).classList.remove("held");
}

function pointAt(event) {
  const bounds = $("world").getBoundingClientRect(), at = camera($("world"), picture.view);
  return { point: [(event.clientX - bounds.left - at.x) / at.scale, (at.y - event.clientY + bounds.top) / at.scale] };
}

function listen() {
  $("pause").addEventListener("click", () => setPaused(!game.paused));
  $("restart").addEventListener("click", restart);
  $("gravity").addEventListener("input", () => setGravity(Number($("gravity").value)));
  $("gravity-default").addEventListener("click", () => setGravity(trainedWith));
  $("speed").addEventListener("input", () => setSpeed(Number($("speed").value)));
  $("sampled").addEventListener("change", () => { game.sampled = $("sampled").checked; });

  const canvas = $("world");
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    hold(pointAt(event));
  });
  canvas.addEventListener("pointermove", (event) => { if (canvas.hasPointerCapture(event.pointerId)) hold(pointAt(event)); });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, release);

  for (const [id, direction] of [["left", -1], ["right", 1]]) {
    const button = $(id), start = () => { button.classList.add("held"); hold({ direction }); };
    button.addEventListener("pointerdown", start);
    for (const end of ["pointerup", "pointercancel", "pointerleave"]) button.addEventListener(end, release);
    button.addEventListener("click", (event) => { if (event.detail === 0) { start(); release(); } });         // by Enter or Space
  }

  const arrows = { ArrowLeft: "left", ArrowRight: "right" };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const on = event.target.closest("input, button");                              // these have a use of their own for some keys
    if (event.key === " " && !on) {
      event.preventDefault();
      if (!event.repeat) setPaused(!game.paused);
    } else if (event.key.toLowerCase() === "r" && !event.repeat) {
      restart();
    } else if (arrows[event.key] && !on?.matches("[type=range]")) {
      event.preventDefault();
      const id = arrows[event.key];
      $(id).classList.add("held");
      hold({ direction: id === "left" ? -1 : 1 });
    }
  });
  document.addEventListener("keyup", (event) => { if (arrows[event.key]) release(); });
  window.addEventListener("blur", release);             // whoever leaves with a key held down pushes no longer
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", readColours);
}

function equation({ kind, gamma, alpha, reward_scale: scale }) {
  const r = scale === 1 ? "r" : `${scale.toPrecision(3)} r`, g = Number(gamma.toPrecision(4));
  if (kind === "V(s)") return `δ = ${r} + γ V(s′) − V(s), with γ = ${g}.`;
  return `δ = ${r} + γ V(s′) − Q(s, a), with γ = ${g}; V(s′) is that of the agent's own target${alpha ? ", entropy included" : ""}, by these networks instead of target networks.`;
}

function label() {
  const slider = $("gravity"), fine = policy.env.startsWith("Mountain");
  Object.assign(slider, { min: 0, max: fine ? 0.006 : 30, step: fine ? 0.0001 : 0.1 });
  const [x0, x1, y0, y1] = picture.view;
  $("world").style.setProperty("--shape", (x1 - x0) / (y1 - y0));
  $("world").setAttribute("aria-label", `${picture.text}. The left and right arrow keys push.`);
  const kind = policy.critic?.kind;
  $("value-name").textContent = { "V(s)": "Value V(s)", "Q(s)": "Value Q(s, a)", "Q(s, a)": "Value Q(s, a)" }[kind] ?? "Return so far";
  $("delta-figure").hidden = !policy.critic;
  $("policy-name").textContent = head.kind === "categorical" ? "π(a|s)" : "Action";
  const names = head.kind === "categorical" ? world.actions : [head.kind === "tanh" ? "π(s)" : head.kind === "gaussian" ? "μ ± σ" : "tanh(μ ± σ)", "played"];
  $("legend").innerHTML = names.map((name, i) => `<span><i style="background: var(--${SERIES[i]})"></i>${name}</span>`).join("");
  if (head.kind === "tanh") $("sampled-label").textContent = "Add the noise of training";
  if (policy.critic) $("equation").textContent = equation(policy.critic);
  for (const [id, what] of [["value", $("value-name").textContent], ["actions", $("policy-name").textContent], ["delta", "TD error"]]) {
    $(id).setAttribute("aria-label", `${what} over the last ${WINDOW} steps`);
  }
}

// For the console, and for tests: the mathematics, the game, and what moves it.
window.scratchac = { policy, distribution, act, value, prospect, tdError, physics, settings, game, restart, step, hold, release };

readColours();
label();
setGravity(trainedWith);
setSpeed(0);
restart();
setPaused(calm.matches);
if (calm.matches) $("verdict").textContent = "Paused, since less motion is asked for";
listen();
requestAnimationFrame(frame);
