// The critic's values of states and actions, and the TD error.

// The outputs of the critic; of two critics, the smaller one for each output
function ask({ critic, activation }, x) {
  const outputs = critic.networks.map((layers) => network(layers, activation, x));
  return outputs[0].map((_, i) => Math.min(...outputs.map((y) => y[i])));
}

// V(s), or Q(s, a) for the raw action a
function value(policy, obs, raw) {
  const s = see(policy, obs), kind = policy.critic.kind;
  if (kind === "V(s)") return ask(policy, s)[0];
  return kind === "Q(s)" ? ask(policy, s)[raw] : ask(policy, [...s, ...raw])[0];
}

// The value of a state as in the algorithm's own target, but by the networks that are exported, not by target networks:
//   V(s);   Σᵢ πᵢ (Qᵢ − α log πᵢ);   Q(s, a) − α log π(a|s) with a ~ π, where ε ~ N(0, 1) is given; a tanh actor has α = 0
function prospect(policy, obs, eps) {
  const { kind, alpha } = policy.critic;
  if (kind === "V(s)") return value(policy, obs);
  const { probabilities, logSigma } = distribution(policy, obs);
  if (kind === "Q(s)") {
    const q = ask(policy, see(policy, obs));
    return probabilities.reduce((sum, p, i) => sum + (p > 0 ? p * (q[i] - alpha * Math.log(p)) : 0), 0);
  }
  const { raw, u } = act(policy, obs, logSigma ? eps : null);
  const logp = logSigma ? logProbability(u, logSigma, eps) : 0;
  return value(policy, obs, raw) - alpha * logp;
}

// log π(tanh u) = Σ [−½ε² − log σ − ½ log 2π − log(1 − tanh² u)], the last term in a form that is exact for large u
function logProbability(u, logSigma, eps) {
  const softplus = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
  const terms = u.map((ui, i) => -0.5 * eps[i] ** 2 - logSigma[i] - 0.5 * Math.log(2 * Math.PI) - 2 * (Math.LN2 - ui - softplus(-2 * ui)));
  return terms.reduce((a, b) => a + b);
}

// δ = c r + γ (1 − terminated) V(s′) − V(s), with Q(s, a) instead of V(s) if the critic is a Q. A time limit is not a terminal
// state: the bootstrap is kept there. c is 1 unless the agent learnt from scaled rewards.
function tdError(policy, { obs, raw, reward, next, terminated }, eps) {
  const { gamma, reward_scale } = policy.critic;
  return reward_scale * reward + (terminated ? 0 : gamma * prospect(policy, next, eps)) - value(policy, obs, raw);
}
