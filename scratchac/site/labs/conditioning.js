// Cue and reward: scratchac/lab/conditioning.py once more, for one critic. Steps count from 0 here, as in an array.

const noWeights = ({ steps }) => new Array(steps + 1).fill(0);

// Rewards of a trial: 1 at the end of this step, counted from 1 as in Python; 0 for none at all
const rewardAt = ({ steps }, step) => Array.from({ length: steps }, (_, t) => (t === step - 1 ? 1 : 0));

// One trial, from the last step to the first: δₜ = rₜ + γ V(t+1) − V(t), and the step of TD(λ), Σₖ (γλ)ᵏ δₜ₊ₖ.
// Returns δ, V before the trial, and the weights after it; before the cue the critic has none.
function trial({ steps, cue }, w, r, { lr, lam, gamma }) {
  const delta = new Array(steps), after = w.slice();
  let step = 0;
  for (let t = steps - 1; t >= 0; t--) {
    delta[t] = r[t] + (t + 1 < steps ? gamma * w[t + 1] : 0) - w[t];                    // the trial ends: no V behind it
    step = delta[t] + gamma * lam * step;
    if (t >= cue) after[t] = w[t] + lr * step;
  }
  return { delta, v: w.slice(0, steps), after };
}
