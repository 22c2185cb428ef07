// The policy's forward pass for one observation, as in scratchac/normalise.py, nn.py and distributions.py.

const clip = (x, low, high) => Math.min(Math.max(x, low), high);
const activations = { tanh: Math.tanh, relu: (z) => Math.max(z, 0) };

// x W + b for x (I), W (I, H), b (H)
const linear = ({ W, b }, x) => b.map((bias, j) => x.reduce((sum, xi, i) => sum + xi * W[i][j], bias));

// x → f(x W₁ + b₁) → … → x W_L + b_L, the last layer linear
const network = (layers, activation, x) =>
  layers.reduce((x, layer, i) => (i === 0 ? linear(layer, x) : linear(layer, x.map(activations[activation]))), x);

// s ↦ clip((s − mean)/std, ±10) if the agent normalises
const see = ({ normaliser: n }, obs) => (n ? obs.map((x, i) => clip((x - n.mean[i]) / n.std[i], -10, 10)) : obs);

// The policy's distribution at an observation: {probabilities} of discrete actions, or {mu, logSigma} of continuous ones.
function distribution(policy, obs) {
  const head = policy.head;
  const y = network(policy.actor, policy.activation, see(policy, obs));
  if (head.kind === "categorical") {
    const highest = Math.max(...y);                       // subtracted, so that exp cannot overflow
    const weights = y.map((yi) => Math.exp(yi - highest));
    const sum = weights.reduce((a, b) => a + b);
    return { probabilities: weights.map((w) => w / sum) };
  }
  const mu = y.slice(-head.low.length);
  const raw = y.slice(0, head.low.length);                // a network's own log σ comes before its μ
  if (head.kind === "tanh") return { mu };
  if (head.kind === "gaussian") return { mu, logSigma: head.log_std ?? raw };
  return { mu, logSigma: raw.map((r) => (head.log_std === "tanh" ? -5 + 3.5 * (Math.tanh(r) + 1) : clip(r, -20, 2))) };
}

// erf(x), to 1.5e-7 (Abramowitz & Stegun 1964, 7.1.26)
function erf(x) {
  const t = 1 / (1 + 0.3275911 * Math.abs(x));
  const sum = [1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592].reduce((s, c) => (s + c) * t, 0);
  return Math.sign(x) * (1 - sum * Math.exp(-x * x));
}

// E[max(x − ε, 0)] and E[clip(μ + σε, low, high)] for ε ~ N(0, 1)
const meanExcess = (x) => 0.5 * x * (1 + erf(x / Math.SQRT2)) + Math.exp(-0.5 * x * x) / Math.sqrt(2 * Math.PI);
const meanOfClipped = (mu, sigma, low, high) => mu + sigma * (meanExcess((low - mu) / sigma) - meanExcess((mu - high) / sigma));

// The action, as an input of the critic (raw) and of the environment (env). Without noise it is the most likely one, or of a Gaussian
// the mean of what the environment gets;
// noise is a number u in [0, 1) for discrete actions, otherwise a vector: ε ~ N(0, 1), or the noise added to a tanh actor's action.
function act(policy, obs, noise = null) {
  const { head } = policy, { probabilities, mu, logSigma } = distribution(policy, obs);
  if (head.kind === "categorical") {
    let raw = probabilities.indexOf(Math.max(...probabilities));
    if (noise !== null) for (raw = 0; raw < probabilities.length - 1 && noise >= probabilities[raw]; raw++) noise -= probabilities[raw];
    return { raw, env: raw };                             // the page's environments count their actions from 0, too
  }
  const u = noise && logSigma ? mu.map((m, i) => m + Math.exp(logSigma[i]) * noise[i]) : mu;
  if (head.kind === "gaussian") {
    const raw = noise ? u : mu.map((m, i) => meanOfClipped(m, Math.exp(logSigma[i]), ...(head.scaled ? [-1, 1] : [head.low[i], head.high[i]])));
    return { raw, env: head.scaled ? toEnv(head, raw) : raw.map((x, i) => clip(x, head.low[i], head.high[i])) };
  }
  const raw = u.map((x, i) => (noise && !logSigma ? clip(Math.tanh(x) + noise[i], -1, 1) : Math.tanh(x)));
  return { raw, env: toEnv(head, raw), u };
}

// [−1, 1] → [low, high]
const toEnv = ({ low, high }, a) => a.map((x, i) => clip(low[i] + 0.5 * (x + 1) * (high[i] - low[i]), low[i], high[i]));
