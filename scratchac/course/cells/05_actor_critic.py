# %% [markdown]
# # Actor-critic: the numbers and figures of chapter 5

# %%
import numpy as np
from matplotlib.figure import Figure

from scratchac import returns
from scratchac.distributions import Categorical
from scratchac.lab.exact import a_split

# %% without-delta
dist = Categorical(3)
y = np.array([[0.4, -0.3, 0.1]])  # logits of one state
pi = np.exp(y - y.max()) / np.exp(y - y.max()).sum()
q = np.array([5.0, -2.0, 1.0])  # what the three actions are worth
_, _, cache = dist.evaluate(y.repeat(3, axis=0), np.arange(3))
g = dist.backward(cache, np.ones(3), np.zeros(3))  # row a: ∇log π(a)
without = pi[0] @ g  # the mean step without δ
with_delta = pi[0] @ ((q - pi[0] @ q)[:, None] * g)  # δ = Q − V, as for the true V
print("mean step without δ", without.round(6) + 0.0)
print("mean step with δ   ", with_delta.round(3))
assert abs(without).max() < 1e-12 < with_delta[0]

# %% a-split-by-hand
def squared(a, b, c):
    """E[½δ²] over an episode: A to B or C, each half of the time; B ends with 1, C with 0."""
    return 0.5 * (0.5 * (b - a) ** 2 + 0.5 * (c - a) ** 2 + 0.5 * (1 - b) ** 2 + 0.5 * (0 - c) ** 2)


at_truth, at_full = squared(0.5, 1.0, 0.0), squared(0.5, 0.75, 0.25)
assert (at_truth, at_full) == (0.125, 0.0625)
assert np.allclose(a_split(through_target=False), [0.5, 1, 0])
assert np.allclose(a_split(through_target=True), [0.5, 0.75, 0.25], atol=1e-6)

# %% a-split
figure = Figure(figsize=(5.8, 3), layout="constrained")
steps = range(31)
for ax, through, title in zip(figure.subplots(1, 2, sharey=True), (False, True), ("semi-gradient", "full gradient"), strict=True):
    v = np.array([a_split(through, n) for n in steps])
    for name, values, truth in zip("ABC", v.T, (0.5, 1, 0), strict=True):
        line = ax.plot(steps, values, label=f"V({name})")[0]
        ax.axhline(truth, color=line.get_color(), lw=0.8, ls=":")
    ax.set(title=title, xlabel="gradient steps")
ax.legend(fontsize=8)

# %% gamma-t
gamma = 0.99
for t in (0, 50, 100, 200, 400):
    print(f"t = {t:3}   γᵗ = {gamma**t:.3f}")
at_200 = gamma**200

# %% trace-by-hand
delta, g_hand, decay = np.array([1.0, -1.0, 2.0]), np.array([1.0, 2.0, 1.0]), 0.5  # γλ = ½
z, traces = 0.0, []
for g_t in g_hand:
    z = decay * z + g_t
    traces.append(float(z))
backward = float(delta @ np.array(traces))
none = np.zeros((3, 1))
# With V = 0 the TD error is the reward.
advantage = returns.gae(delta[:, None], none, none, none, none, 1.0, decay)[:, 0]
forward = float(advantage @ g_hand)
print("z", traces, "   Σ δ z =", backward)
print("Â", advantage.tolist(), "   Σ Â g =", forward)
assert traces == [1.0, 2.5, 2.25] and advantage.tolist() == [1.0, 0.0, 2.0]
assert backward == forward == 3.0

# %% online
def one_episode(lr, online, lam=0.8, gamma=0.95, states=6):
    """Change of a table V by TD(λ) in one walk 0, 1, 0, 1, 2 … 5 that ends with a reward of 1."""
    s = np.array([0, 1, 0, 1, 2, 3, 2, 3, 4, 5])
    r, v, z, change = np.zeros(len(s)), np.linspace(0.5, 0, states), np.zeros(states), np.zeros(states)
    r[-1], start = 1.0, np.linspace(0.5, 0, states)
    for t in range(len(s)):
        values = v if online else start  # the forward view holds V fixed
        bootstrap = values[s[t + 1]] if t + 1 < len(s) else 0.0
        error = r[t] + gamma * bootstrap - values[s[t]]
        z *= gamma * lam
        z[s[t]] += 1
        change += lr * error * z
        v = start + change
    return change


for lr in (0.4, 0.04, 0.004):
    exact, moving = one_episode(lr, False), one_episode(lr, True)
    print(f"step size {lr:5}: the two changes differ by {np.linalg.norm(moving - exact) / np.linalg.norm(exact):.1%}")
largest, smallest = (np.linalg.norm(one_episode(lr, True) - one_episode(lr, False)) / np.linalg.norm(one_episode(lr, False))
                     for lr in (0.4, 0.004))

# %% walk
CELLS, RATS, LIMIT = 10, 100, 300


def learn(lam, episodes, lr_actor=0.4, lr_critic=0.1, gamma=0.95, seed=0):
    """Tables of 100 learners that start in cell 0; cell 9 ends with a reward of 1: lengths of episodes, and V after the first."""
    rng, rats = np.random.default_rng(seed), np.arange(RATS)
    theta, v, lengths = np.zeros((RATS, CELLS)), np.zeros((RATS, CELLS)), np.zeros((episodes, RATS))
    first = v
    for episode in range(episodes):
        s, awake, z_v, z_pi = np.zeros(RATS, int), np.ones(RATS), np.zeros_like(v), np.zeros_like(v)
        for t in range(LIMIT):
            right = 1 / (1 + np.exp(-theta[rats, s]))
            a = rng.random(RATS) < right
            s2 = np.clip(s + np.where(a, 1, -1), 0, CELLS - 1)
            term = s2 == CELLS - 1
            delta = awake * (returns.td_target(1.0 * term, v[rats, s2], term, gamma) - v[rats, s])
            z_v *= gamma * lam
            z_pi *= gamma * lam
            z_v[rats, s] += 1
            z_pi[rats, s] += gamma**t * (a - right)                 # γᵗ ∇log π
            v = v + lr_critic * delta[:, None] * z_v
            theta = theta + lr_actor * delta[:, None] * z_pi
            lengths[episode] += awake
            awake = awake * ~term
            s = np.where(awake > 0, s2, s)
            if not awake.any():
                break
        if episode == 0:
            first = v
    return lengths, first


figure = Figure(figsize=(5.8, 3), layout="constrained")
left, right = figure.subplots(1, 2)
means = {}
for lam in (0.0, 0.9):
    lengths, first = learn(lam, 30)
    means[lam] = lengths.mean(axis=1)
    left.plot(np.arange(CELLS - 1), first[:, :-1].mean(axis=0), marker=".", label=f"λ = {lam:g}")
    right.plot(np.arange(1, 31), means[lam], label=f"λ = {lam:g}")
left.set(xlabel="cell", ylabel="V, mean of 100 learners", title="after the first episode")
right.set(xlabel="episode", ylabel="steps to the goal, mean", title="lengths of episodes", ylim=(0, None))
left.legend(fontsize=8)
right.legend(fontsize=8)
one_step_early, traces_early = means[0.0][:20].sum(), means[0.9][:20].sum()
one_step_late, traces_late = means[0.0][-5:].mean(), means[0.9][-5:].mean()
assert traces_early < one_step_early
