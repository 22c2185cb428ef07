// A Gaussian u ~ N(μ, σ²) and a = tanh u: the densities of both, and the mistake of taking u's density for a's.

const HALF_LOG_2PI = 0.5 * Math.log(2 * Math.PI), POINTS = 4001, REACH = 8;

// log N(u; μ, σ²), the density before tanh, and log(1 − tanh² u) = 2 (log 2 − u − softplus(−2u)), exact for every u
const logNormal = (u, mu, logStd) => -0.5 * ((u - mu) / Math.exp(logStd)) ** 2 - logStd - HALF_LOG_2PI;
const logSlope = (u) => 2 * (Math.LN2 - u - Math.max(-2 * u, 0) - Math.log1p(Math.exp(-2 * Math.abs(u))));

// Of the action a: u, log π(a), and the same without the correction
function logDensities(a, mu, logStd) {
  const u = Math.atanh(a), without = logNormal(u, mu, logStd), slope = logSlope(u);
  return { u, logp: without - slope, without, slope };
}

// Areas under the three curves, and the mean of −log π over the actions that are really taken: with log π as it is (the entropy),
// and as the mistake computes it. Sums over u = μ + σε, ε from −REACH to REACH: a strip du of u is a strip (1 − tanh² u) du of a.
function areas(mu, logStd) {
  const std = Math.exp(logStd), du = std * 2 * REACH / (POINTS - 1);
  const sum = { before: 0, after: 0, without: 0, entropy: 0, claimed: 0 };
  for (let i = 0; i < POINTS; i++) {
    const u = mu + std * (-REACH + 2 * REACH * i / (POINTS - 1));
    const logu = logNormal(u, mu, logStd), slope = logSlope(u), da = Math.exp(slope) * du, logp = logu - slope;
    sum.before += Math.exp(logu) * du;
    sum.after += Math.exp(logp) * da;
    sum.without += Math.exp(logu) * da;
    sum.entropy -= logp * Math.exp(logp) * da;
    sum.claimed -= logu * Math.exp(logp) * da;
  }
  return sum;
}
