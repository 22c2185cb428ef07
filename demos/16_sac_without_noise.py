"""What is left of SAC without its stochasticity?

Take the noise out of SAC: ε = 0, so that actions are tanh(μ), α ≈ 0, so that entropy counts for nothing, and Gaussian noise
for exploring as TD3 has it. What remains are two critics, the smaller one in the target and a deterministic policy: TD3 without
delay and smoothing, except that SAC asks the present actor for a′, not a target actor, and lets the actor climb min(Q₁, Q₂),
not Q₁. Left: learning. Right: both make the same updates from the same weights and minibatches; how far the actions they would
take drift apart. Takes about three minutes.
"""

import numpy as np
from common import figure, learning_curves, save, train_directly

import scratchac
from scratchac.plots import COLOURS

ENV, SEEDS, STEPS = "Pendulum-v1", (0, 1, 2), 10_000
OPTIONS = {"steps": STEPS, "actor_lr": 1e-3, "critic_lr": 1e-3}
PLAIN_TD3 = {"delay": 1, "target_noise": 0.0}


def silent_sac(seed, **options):
    """SAC with σ → 0 and α → 0, exploring as TD3 does."""
    agent = scratchac.make_agent("sac", ENV, seed, alpha=1e-8, learn_alpha=False, **OPTIONS, **options)
    agent.dist.noise = lambda rng, rows: np.zeros((rows, agent.dist.features))
    agent.sample = lambda obs: np.clip(agent.greedy(obs) + 0.1 * agent.rng.standard_normal((len(obs), agent.dist.features)), -1, 1)
    return agent


def td3(seed, **options):
    return scratchac.make_agent("td3", ENV, seed, **OPTIONS, **options)


AGENTS = {
    "SAC": lambda seed: scratchac.make_agent("sac", ENV, seed, **OPTIONS),
    "SAC without noise": silent_sac,
    "TD3 without delay and smoothing": lambda seed: td3(seed, **PLAIN_TD3),
    "TD3": td3,
}

fig, (left, right) = figure("Pendulum-v1: mean and range of 3 seeds", "Same weights, same minibatches")
results = {}
for label, make in AGENTS.items():
    runs = [train_directly(make(seed), ENV, seed) for seed in SEEDS]
    results[label] = [run for run, _ in runs], [final for _, final in runs]
learning_curves(left, results)

memory = scratchac.train("td3", ENV, steps=3_000, seed=9).memory
states = memory.sample(np.random.default_rng(9), 1_000).obs
sac, plain = silent_sac(0), td3(0, **PLAIN_TD3)
sac.w.flat[:] = sac.w_target.flat[:] = plain.w.flat
A = sac.dist.features
for name, W in sac.theta.views.items():                     # SAC's last layer is [log σ | μ]; μ gets TD3's weights
    own = W[..., A:] if name.endswith(str(sac.actor.layers)) else W
    own[...] = plain.theta[name]
plain.theta_target.flat[:] = plain.theta.flat
apart, moved, start = [], [], plain.greedy(states)
rng = np.random.default_rng(10)
for _ in range(300):
    batch = memory.sample(rng, 256)
    sac.update(batch)
    plain.update(batch)
    apart.append(np.abs(sac.greedy(states) - plain.greedy(states)).mean())
    moved.append(np.abs(plain.greedy(states) - start).mean())
right.plot(moved, color=COLOURS[2], label="TD3's own change since the start")
right.plot(apart, color=COLOURS[1], label="distance between the two policies")
print(f"after 300 updates the policies are {apart[-1]:.3f} apart, TD3's has moved by {moved[-1]:.3f}")
right.set_xlabel("update")
right.set_ylabel("mean |Δa|, actions in [−1, 1]")
right.legend(fontsize=8)
save(fig, __file__)
