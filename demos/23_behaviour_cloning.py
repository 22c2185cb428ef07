# %% [markdown]
# # Can a few episodes of somebody who knows how replace the beginning of learning?
#
# Behaviour cloning is the policy gradient with an advantage of 1 for every recorded action, L = −mean log π(a|s): it needs no
# rewards and no environment. PPO then goes on from the parameters (`init`). Takes about two minutes.
#
#     python demos/23_behaviour_cloning.py            the episodes are those of a trained agent
#     python demos/23_behaviour_cloning.py FILE       or yours: scratchac play --env CartPole-v1 --record FILE

# %%
from functools import cache

import numpy as np
from common import arguments, curves, figure, kept, learning_curves, sample_episodes, save

import scratchac
from scratchac import losses, optim, returns
from scratchac.errors import UserError

ENV, SEEDS, EVERY, UPDATES = "CartPole-v1", (0, 1, 2), 20, 300

# %% [markdown]
# The recorded steps, and an agent that imitates them.

# %%
@cache
def recorded(seed):
    """Observations (T, O), actions (T,) and discounted returns (T,) of every twentieth step of an episode, or of a file's."""
    if arguments():
        try:
            with np.load(arguments()[0], allow_pickle=False) as file:
                obs, actions, rewards, done = (file[name] for name in ("obs", "actions", "rewards", "done"))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{arguments()[0]} is no file of scratchac play --record: {error}") from None
    else:
        agent = scratchac.train("ppo", ENV, 60_000, seed=100 + seed, quiet=True)
        columns = zip(*((b.obs[:, 0], b.actions[:, 0], b.rewards[:, 0], b.done[:, 0])
                        for b in sample_episodes(agent, ENV, 1, 100 + seed)), strict=True)
        obs, actions, rewards, done = map(np.concatenate, columns)
    zeros = np.zeros_like(rewards)
    g = returns.monte_carlo(rewards, zeros, zeros, done.astype(float), 0.99)
    return obs.astype(np.float32)[::EVERY], actions[::EVERY], g.astype(np.float32)[::EVERY]


def cloned(seed, with_critic):
    """An agent that imitates the recorded actions, and whose critic predicts the recorded returns if `with_critic`."""
    agent, rng, (obs, actions, g) = scratchac.make_agent("ppo", ENV, seed), np.random.default_rng(seed), recorded(seed)
    adam = optim.Adam(agent.model.flat)
    for _ in range(UPDATES):
        rows = rng.integers(len(obs), size=64)
        y, v, cache = agent.model.forward(obs[rows])
        logp, _, dist_cache = agent.dist.evaluate(y, actions[rows])
        _, dlogp = losses.policy_gradient(logp, np.ones_like(logp))
        _, dv = losses.mse(v[:, 0], g[rows])
        dy = agent.dist.backward(dist_cache, dlogp, np.zeros_like(logp))
        agent.model.backward(cache, dy, dv[:, None] * with_critic)
        adam.step(agent.model.grad, 3e-3)
    return agent


@kept
def fine_tuned(seed, with_critic):
    """PPO's curve and final return from a cloned agent on."""
    agent = cloned(seed, with_critic)
    print(f"seed {seed}, critic cloned: {with_critic}, {scratchac.evaluate(agent, ENV).mean():.0f} before fine-tuning")
    (metrics,), (final,) = curves("ppo", ENV, (seed,), init=agent)
    return metrics, final

# %%
recorded(SEEDS[0])                                      # first, so that a file that cannot be read is noticed at once
results = {"from scratch": curves("ppo", ENV, SEEDS)}
for label, with_critic in (("actor cloned", False), ("actor and critic cloned", True)):
    results[f"{label}, then PPO"] = list(zip(*(fine_tuned(seed, with_critic) for seed in SEEDS), strict=True))
fig, (ax,) = figure(f"{ENV}: mean and range of 3 seeds")
learning_curves(ax, results)
save(fig, "23_behaviour_cloning")
