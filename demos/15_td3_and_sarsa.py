# %% [markdown]
# # Is TD3 close to SARSA?
#
# Q-learning bootstraps from the best action, SARSA from the one that the agent itself takes next. TD3 looks like Q-learning with an
# actor for its argmax. Yet it bootstraps from π′(s′) plus noise, and its agent acts by π(s) plus noise: nearly SARSA's next action.
# Left: along one run of TD3, how far its targets are from those with the agent's own next action, and from those with the best of
# 16 actions, all by the same critics. Right: agents that learn from each kind of target. Takes about three minutes.

# %%
import numpy as np
from common import figure, kept, learning_curves, save, train_directly

import scratchac
from scratchac import style
from scratchac.experiments.plots import COLOURS

ENV, SEEDS, STEPS = "Pendulum-v1", (0, 1, 2), 10_000
rng = np.random.default_rng(0)

# %% [markdown]
# Three choices of the next action, and the value that the target critics give it.

# %%
def smoothed(agent, s):
    """TD3: π′(s′) + clipped noise."""
    noise = np.clip(0.2 * rng.standard_normal((len(s), 1)), -0.5, 0.5)
    return np.clip(np.tanh(agent.actor.forward(agent.theta_target, s)[0]) + noise, -1, 1)


def own(agent, s):
    """SARSA: what the agent would do now, π(s′) + exploration noise."""
    return np.clip(agent.greedy(s) + 0.1 * rng.standard_normal((len(s), 1)), -1, 1)


def best(agent, s, candidates=16):
    """Q-learning: of 16 random actions the one that the target critics value most."""
    a = rng.uniform(-1, 1, (len(s), candidates))
    q = value(agent, np.repeat(s, candidates, axis=0), a.reshape(-1, 1)).reshape(a.shape)
    return a[np.arange(len(s)), q.argmax(axis=1)][:, None]


def value(agent, s, a):
    """min_k Q′ₖ(s, a): what every target here is made of."""
    return agent.critic.forward(agent.w_target, np.concatenate([s, a], axis=1, dtype=s.dtype))[0].min(axis=0)[:, 0]


def td3_with(next_action, seed):
    """A TD3 agent whose target is Q′(s′, next_action(s′))."""
    agent = scratchac.make_agent("td3", ENV, seed, steps=STEPS, target_noise=0.0)
    pi = agent.pi
    agent.pi = lambda params, s: ((next_action(agent, s).astype(s.dtype), None) if params is agent.theta_target else pi(params, s))
    return agent

# %% [markdown]
# How far the targets are from each other along one run.

# %%
gaps = {"SARSA's": [], "Q-learning's": [], "TD3's with other noise": []}


def measure(agent):
    """Add to `gaps`, every 100 updates."""
    if agent.updates[0] % 100 == 0:
        s = agent.memory.sample(rng, 256).next_obs
        target = value(agent, s, smoothed(agent, s))
        for gap, other in zip(gaps.values(), (own, best, smoothed), strict=True):
            gap.append(agent.config.gamma * np.sqrt(np.mean((target - value(agent, s, other(agent, s))) ** 2)))


@kept
def learn(next_action):
    """Curves and final returns, seed by seed, with targets of that action, and the gaps along TD3's first run."""
    watch = (lambda agent: None, measure)
    runs = [train_directly(td3_with(next_action, seed), ENV, seed, watch[next_action is smoothed and seed == 0]) for seed in SEEDS]
    return *zip(*runs, strict=True), np.array(list(gaps.values()))

# %%
results = {label: learn(next_action) for label, next_action in
           {"TD3's target": smoothed, "SARSA's": own, "Q-learning's": best}.items()}
fig, (left, right) = figure("Distance of TD3's targets from others'", "Pendulum-v1: mean and range of 3 seeds")
for label, values, colour in zip(gaps, results["TD3's target"][2], (COLOURS[1], COLOURS[2], "grey"), strict=True):
    left.plot(100 * np.arange(len(values)), values, color=colour, label=label)
    print(f"TD3's targets differ from {label} by {np.mean(values[len(values) // 2:]):.2f} in the second half (root mean square)")
left.set_xlabel("updates")
left.xaxis.set_major_formatter(style.InFull())
left.set_ylabel("root mean square difference")
learning_curves(right, {label: result[:2] for label, result in results.items()})
save(fig, "15_td3_and_sarsa")
