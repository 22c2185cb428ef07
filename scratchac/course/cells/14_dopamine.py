# %% [markdown]
# # 14 · Dopamine
# The cells of chapter 14. Run them from top to bottom.

# %% imports
import numpy as np

from scratchac import returns
from scratchac.distributions import Categorical
from scratchac.site import figures

# %% by-hand
v = np.zeros(2)                                             # V at the cue, and V one step later; then comes the reward
for trial in (1, 2, 3):
    cue, middle, reward = 0.9 * v[0], 0.9 * v[1] - v[0], 1 - v[1]           # the state before the cue has V = 0
    print(f"trial {trial}: δ at the cue {cue:.4f}, in between {middle:.4f}, at the reward {reward:.4f}")
    v += 0.5 * np.array([middle, reward])
assert np.allclose((cue, middle, reward), (0.2025, 0.45, 0.25))

# %% conditioning
STEPS, CUE, REWARD, GAMMA = 20, 5, 15, 0.98                 # steps of a trial: the cue comes at the end of step 5


def condition(rewards, lam=0.0, first=CUE):
    """TD errors (trials, STEPS) of a critic with one number for each step from `first` on, and V = 0 before."""
    v, errors, end = np.zeros((STEPS + 1, 1)), [], np.zeros((STEPS, 1))
    end[-1] = 1                                             # each trial is an episode
    for size in rewards:
        r = np.zeros((STEPS, 1))
        r[REWARD - 1] = size
        delta = returns.gae(r, v[:-1], v[1:], end, end, GAMMA, 0.0)
        v[first:-1] += 0.4 * returns.gae(r, v[:-1], v[1:], end, end, GAMMA, lam)[first:]
        errors.append(delta[:, 0])
    return np.array(errors)


errors = condition([1.0] * 300 + [0.0])                     # the last reward is left out
figure = figures.figure(5.2, 3.2)
ax = figure.subplots()
for trial, label, style in ((1, "trial 1", "o-"), (16, "trial 16", "s-"), (300, "trial 300", "D-"), (301, "301: no reward", "v--")):
    ax.plot(np.arange(1, STEPS + 1) - REWARD, errors[trial - 1], style, ms=4, label=label)
ax.set_xticks(range(-10, 6, 5))
ax.set_xlabel("steps since the reward was due")
ax.set_ylabel("TD error δ")
ax.legend(fontsize=8)
first_reward, late_cue, late_reward = errors[0, REWARD - 1], errors[299, CUE - 1], abs(errors[299, REWARD - 1])
omitted = errors[300, REWARD - 1]
assert first_reward == 1 and abs(late_cue - GAMMA ** (REWARD - CUE)) < 1e-3 and abs(omitted + 1) < 1e-3

# %% traces
at_cue = {lam: condition([1.0] * 300, lam)[:, CUE - 1] for lam in (0.0, 0.9)}
half_without, half_with = (1 + int(np.argmax(x > x[-1] / 2)) for x in at_cue.values())
print(f"half of the error is at the cue in trial {half_without} with λ = 0, and in trial {half_with} with λ = 0.9")

# %% blocking
w = np.zeros(2)                                             # V = w · x, where x says which of the lights A and B are on
for lights, trials in (([1, 0], 50), ([1, 1], 50)):
    for _ in range(trials):
        w += 0.2 * (1 - w @ lights) * np.array(lights)
control = np.zeros(2)
for _ in range(50):
    control += 0.2 * (1 - control @ [1, 1]) * np.ones(2)
print("A first, then both:", w.round(3), "  both from the beginning:", control.round(3))
assert abs(w[1]) < 1e-3 and abs(control[1] - 0.5) < 1e-3


# %% noisy-error
def press(noise, lr, rats=200, trials=1_500):
    """One of two levers pays 1. The critic gets δ, the actor δ + noise. The probability of that lever, and V, for each rat."""
    rng, dist = np.random.default_rng(0), Categorical(2)
    y, v = np.zeros((rats, 2)), np.zeros(rats)
    for _ in range(trials):
        a = dist.sample(y, dist.noise(rng, rats))
        _, _, cache = dist.evaluate(y, a)
        delta = (a == 1) - v                                # the trial ends with the reward
        y += lr * dist.backward(cache, delta + noise * rng.standard_normal(rats), np.zeros(rats))
        v += 0.1 * delta
    return np.exp(y[:, 1]) / np.exp(y).sum(axis=1)


shares = {}
for noise, lr in ((0, 0.5), (10, 0.5), (10, 0.01)):
    p = press(noise, lr)
    shares[noise, lr] = float((p > 0.9).mean())
    print(f"noise {noise:2}, step size {lr}: {shares[noise, lr]:.0%} of the rats have found the lever, "
          f"{(p < 0.1).mean():.0%} are settled on the other one")
clean, noisy, patient = shares.values()
assert clean > 0.95 and noisy < 0.75

# %% many-critics
rewards, taus = np.array([1.0, 4.0, 7.0]), (0.2, 0.5, 0.8)
for tau in taus:
    v = 0.0
    for _ in range(2_000):                                  # the mean step over the three rewards, which are equally likely
        delta = rewards - v
        v += 0.05 * float(np.mean(np.where(delta > 0, tau, 1 - tau) * delta))
    print(f"τ = {tau}: V {v:.3f}, δ for rewards of 1, 4 and 7: {(rewards - v).round(2)}")
    assert abs(v - {0.2: 2.5, 0.5: 4.0, 0.8: 5.5}[tau]) < 1e-6

# %% announced
early = condition([1.0] * 600, first=0)[-1]                 # a weight for each step before the cue, too
print("δ at the cue", round(float(early[CUE - 1]), 3), " largest δ anywhere", round(float(abs(early).max()), 3))
assert abs(early).max() < 0.01
