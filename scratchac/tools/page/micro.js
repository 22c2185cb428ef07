// The corridor of scratchac/lab/worlds.py with all of its trajectories, and the sums of scratchac/lab/microscope.py, once more.
// Vectors of parameters are W (S, 2) row by row, then b (2), as in NumPy.

// Everything that does not depend on a slider: outcomes of actions, trajectories row by row, their probabilities under the policy.
function corridor({ world, logits, noise }) {
  const inner = world.cells - 2, S = inner * world.limit;
  const pi = logits.map((z) => {
    const e = z.map((x) => Math.exp(x - Math.max(...z)));
    return e.map((x) => x / (e[0] + e[1]));
  });

  // what may follow action a in state s: [probability, s′, r], without a slip and with one
  const outcomes = (s, a) => [false, true].map((slips) => {
    const t = Math.floor(s / inner), right = (a === 1) !== slips, cell = (s % inner) + 1 + (right ? 1 : -1);
    const ends = cell === 0 || cell === world.cells - 1;
    const r = world.step_reward + (slips ? world.slip_reward : 0) + (!ends ? 0 : right ? world.right_reward : world.left_reward);
    return [slips ? world.slip : 1 - world.slip, ends || t + 1 === world.limit ? S : (t + 1) * inner + cell - 1, r];
  });
  const next = logits.map((_, s) => [0, 1].map((a) => outcomes(s, a)));

  const start = Math.floor(world.cells / 2) - 1, first = [0], chance = [], s = [], a = [], s2 = [], r = [], path = [];
  (function walk(state, p) {
    for (const action of [0, 1]) for (const [q, after, reward] of next[state][action]) {
      path.push([state, action, reward, after]);
      if (after !== S) walk(after, p * pi[state][action] * q);
      else {
        for (const row of path) { s.push(row[0]); a.push(row[1]); r.push(row[2]); s2.push(row[3]); }
        first.push(s.length);
        chance.push(p * pi[state][action] * q);
      }
      path.pop();
    }
  })(start, 1);
  return { world, S, inner, start, pi, noise, next, first, chance, s: Int32Array.from(s), a: Int32Array.from(a),
           s2: Int32Array.from(s2), r: Float64Array.from(r) };
}

// V (S + 1), the end's 0 last, and Q (S, 2), from the last step to the first: the clock is part of the state
function exactValues({ S, next, pi }, gamma) {
  const v = new Float64Array(S + 1), q = [];
  for (let s = S - 1; s >= 0; s--) {
    q[s] = next[s].map((outcomes) => outcomes.reduce((sum, [p, s2, r]) => sum + p * (r + gamma * v[s2]), 0));
    v[s] = pi[s][0] * q[s][0] + pi[s][1] * q[s][1];
  }
  return { v, q };
}

// ∇J: for W, d(s) π(a|s) (Q(s, a) − V(s)) with d(s) = Σ_t γᵗ P(Sₜ = s)
function exactGradient({ S, start, next, pi }, { v, q }, gamma) {
  const d = new Float64Array(S + 1), g = new Float64Array(2 * S + 2);
  d[start] = 1;
  for (let s = 0; s < S; s++) for (const a of [0, 1]) {
    g[2 * s + a] = d[s] * pi[s][a] * (q[s][a] - v[s]);
    g[2 * S + a] += g[2 * s + a];
    for (const [p, s2] of next[s][a]) d[s2] += gamma * d[s] * pi[s][a] * p;
  }
  return g;
}

// Mean and variance tr Cov of ĝ = Σ_t weightᵗ Âₜ ∇log π(aₜ|sₜ), summed over all trajectories; Â is GAE(λ) with the critic v
function gaeEstimate({ S, pi, first, chance, s, a, r, s2 }, v, gamma, lam, weight) {
  const mean = new Float64Array(2 * S + 2);
  let second = 0;
  for (let m = 0; m < chance.length; m++) {
    const p = chance[m], T = first[m + 1] - first[m];
    let adv = 0, left = 0, right = 0, norm2 = 0, w = weight ** (T - 1);
    for (let i = first[m + 1] - 1; i >= first[m]; i--) {
      const state = s[i], action = a[i];
      adv = r[i] + gamma * v[s2[i]] - v[state] + gamma * lam * adv;                     // v of the end is 0
      const g0 = w * adv * ((action === 0 ? 1 : 0) - pi[state][0]), g1 = w * adv * ((action === 1 ? 1 : 0) - pi[state][1]);
      mean[2 * state] += p * g0;
      mean[2 * state + 1] += p * g1;
      left += g0;
      right += g1;
      norm2 += g0 * g0 + g1 * g1;                                                       // no state is visited twice
      w /= weight;
    }
    mean[2 * S] += p * left;
    mean[2 * S + 1] += p * right;
    second += p * (norm2 + left * left + right * right);
  }
  return { mean, variance: second - dot(mean, mean) };
}

const dot = (x, y) => x.reduce((sum, xi, i) => sum + xi * y[i], 0);
const norm = (x) => Math.sqrt(dot(x, x));

// All that the page shows for one setting. bias is relative to ‖∇J‖; episodes = variance / ‖∇J‖².
function look(made, { gamma, lam, error, discount }) {
  const values = exactValues(made, gamma), gradient = exactGradient(made, values, gamma);
  const critic = values.v.map((x, s) => x + error * made.noise[s]), weight = discount ? gamma : 1;
  const { mean, variance } = gaeEstimate(made, critic, gamma, lam, weight), length = norm(gradient);
  return { J: values.v[made.start], gradient, mean, variance, length, bias: norm(mean.map((x, i) => x - gradient[i])) / length,
           cosine: dot(mean, gradient) / (norm(mean) * length), episodes: variance / length ** 2 };
}
