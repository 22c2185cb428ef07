"""What happens inside a training run on LunarLander: what the policy does, and how far single updates move it.

    python demos/results/anatomy.py --seeds 500-509 --backend numba --name before --set rollout=5 envs=8

writes demos/results/anatomy/NAME.json: for each seed and each tenth of training

    deterministic, sampled   mean return of 40 new episodes, and the shares that landed, crashed and met the time limit
    training                 mean return of the last 100 training episodes, and the share that met the time limit
    kl, kl_max               KL(π before ‖ π after) between policies 1,000 steps apart, over the states seen: mean and maximum
    grad_norm_max            the largest gradient norm; and the means of entropy, critic loss, advantages' deviation, gradient norm
    saturated                with tanh: the share of outputs of the critic's last hidden layer beyond ±0.98

and, at the end, the scales of the two normalisers. Only the presets' tuning seeds are looked at.
"""

import argparse
from dataclasses import asdict
from pathlib import Path

import gymnasium as gym
import numpy as np
from files import as_script, changing, given_by, read, require_same, seeds
from run import require_honest

import kernels
import scratchac
from scratchac.distributions import log_softmax
from scratchac.environments.vector import VectorEnv
from scratchac.training.loops import train

FOLDER, ENV = Path(__file__).parent / "anatomy", "LunarLander-v3"
EPISODES, PARTS, APART = 40, 10, 1_000


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=seeds, default=range(500, 505), help="such as 500-504")
    parser.add_argument("--backend", choices=("numpy", "numba"), default="numpy", help="who computes")
    parser.add_argument("--set", nargs="*", default=[], help="hyperparameters that differ from the preset, as name=value")
    parser.add_argument("--name", required=True, help="name of the file")
    options = parser.parse_args(namespace=argparse.Namespace(algorithm="a2c", env=ENV, preset=None, tuning=True))
    require_honest(options)
    given = given_by(options.set)
    path = FOLDER / f"{options.name}.json"
    config = scratchac.make_agent("a2c", ENV, **given).config
    require_same(path, read(path), config, set=options.set, backend=options.backend)
    for seed in options.seeds:
        with kernels.using(options.backend):
            run = dissect(seed, given)
        with changing(path, set=options.set, backend=options.backend, hyperparameters=asdict(config), seeds={}) as result:
            result["seeds"][str(seed)] = run
        print(f"{options.name} seed {seed}: {[part['deterministic']['return'] for part in run['parts']]}", flush=True)


def dissect(seed, given):
    """Train with one seed and look at the policy at each tenth of training."""
    agent = scratchac.make_agent("a2c", ENV, seed, **given)
    envs = VectorEnv(ENV, agent.n_envs, seed)
    learn, metrics, moves, parts = agent.update, [], [], []
    before = None                               # states and the policy there, from at least APART steps ago

    def update(batch):
        nonlocal before
        metrics.append(learn(batch))
        if before is None or agent.step >= before[0] + APART:
            if before:
                moves.append(kl(before[2], log_policy(agent, before[1])))
            before = agent.step, batch.obs, log_policy(agent, batch.obs)
        return metrics[-1]

    def report(agent, interaction, *_):
        if agent.step >= agent.config.steps * (len(parts) + 1) / PARTS:
            recent = np.array(interaction.episodes.recent)
            parts.append({
                "step": agent.step, "deterministic": outcomes(agent, False), "sampled": outcomes(agent, True),
                "training": {"return": round(recent[:, 0].mean(), 1), "time limit": round((recent[:, 1] >= 1000).mean(), 2)},
                **{name: rounded(np.mean([row[name] for row in metrics]))
                   for name in ("entropy", "critic_loss", "advantage_std", "grad_norm")},
                "grad_norm_max": rounded(max(row["grad_norm"] for row in metrics)),
                "kl": rounded(np.mean(moves)), "kl_max": rounded(max(moves)),
                **({"saturated": rounded(saturated(agent, before[1]))} if agent.config.activation == "tanh" else {})})
            metrics.clear(), moves.clear()

    agent.update = update
    train(agent, envs, agent.config.steps, report)
    envs.close()
    scales = {"observations": agent.normaliser.std.round(3).tolist()} if agent.normaliser else {}
    return {"parts": parts, **scales, **({"rewards": rounded(agent.scaler.std.std)} if agent.scaler else {})}


def log_policy(agent, obs):
    """log π(·|s) at these observations, (B, n)."""
    return log_softmax(agent.model.policy(agent.behaviour.see(obs).reshape(-1, obs.shape[-1])))


def saturated(agent, obs):
    """The share of outputs of the critic's last hidden layer at which tanh is flat, so that hardly any gradient comes through."""
    h = agent.behaviour.see(obs).reshape(-1, obs.shape[-1])
    for i in range(1, agent.model.critic.layers):
        h = np.tanh(h @ agent.model.w[f"W{i}"] + agent.model.w[f"b{i}"])
    return (np.abs(h) > 0.98).mean()


def kl(logp, logq):
    """KL(p ‖ q) = Σ p log(p/q), the mean over rows."""
    return float((np.exp(logp) * (logp - logq)).sum(axis=1).mean())


def rounded(x):
    """Four significant digits."""
    return float(f"{x:.4g}")


class Ending(gym.Wrapper):
    """Notes how each episode of the lander ends: its last reward is +100 at rest, −100 after a crash."""

    def __init__(self, env, seen):
        super().__init__(env)
        self.seen = seen

    def step(self, action):
        """A step of the environment."""
        obs, reward, term, trunc, info = self.env.step(action)
        if term or trunc:
            self.seen.append("time limit" if not term else "landed" if reward > 0 else "crashed")
        return obs, reward, term, trunc, info


def outcomes(agent, explore):
    """Mean return of EPISODES new episodes, and how they ended; the agent's random generator stays as it is."""
    seen, generator = [], agent.rng.bit_generator.state
    returns = scratchac.evaluate(agent, lambda: Ending(gym.make(ENV), seen), EPISODES, explore=explore)
    agent.rng.bit_generator.state = generator
    return {"return": round(float(returns.mean()), 1),
            **{name: round(seen.count(name) / EPISODES, 3) for name in ("landed", "crashed", "time limit")}}


if __name__ == "__main__":
    as_script(main)
