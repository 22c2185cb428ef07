// Two policies made of the same Q(a): exp(Q/α)/Z, and exp(αQ)/Z, a mistake that is often made.

// log πᵢ = zᵢ − max z − log Σⱼ exp(zⱼ − max z)
function logSoftmax(z) {
  const most = Math.max(...z), log = Math.log(z.reduce((sum, x) => sum + Math.exp(x - most), 0));
  return z.map((x) => x - most - log);
}

// α log Σ exp(Q/α): the largest E[Q] + αH that any policy has
function softValue(q, alpha) {
  const most = Math.max(...q);
  return most + alpha * Math.log(q.reduce((sum, x) => sum + Math.exp((x - most) / alpha), 0));
}

// Of log-probabilities: p, H = −Σ p log p, E[Q] and E[Q] + αH. Where p is 0, p log p is 0.
function judge(logp, q, alpha) {
  const p = logp.map(Math.exp), entropy = -p.reduce((sum, x, i) => sum + (x > 0 ? x * logp[i] : 0), 0);
  const expected = p.reduce((sum, x, i) => sum + x * q[i], 0);
  return { p, entropy, expected, soft: expected + alpha * entropy };
}

// Everything the page shows of one setting
function policies(q, alpha) {
  return { value: softValue(q, alpha), right: judge(logSoftmax(q.map((x) => x / alpha)), q, alpha),
           wrong: judge(logSoftmax(q.map((x) => alpha * x)), q, alpha) };
}
