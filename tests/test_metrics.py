"""What off-policy updates report, by hand: critics and policies that give the same numbers everywhere.

There are two transitions, with the rewards 1 and 2; the second one ends at a terminal state, and γ = ½. So the targets of the
critics are 1 + ½V and 2, where V is the value of any state for the target networks. The rate of the critics is next to nothing.
"""

import math

import gymnasium as gym
import numpy as np
import pytest

from scratchac import algorithms
from scratchac.algorithms.sac_pixels import PixelSAC
from scratchac.training.memory import Transitions

SMALL = {"hidden": (4,), "batch_size": 2, "learning_starts": 2, "buffer_size": 2, "gamma": 0.5, "critic_lr": 1e-12}
VECTORS, PICTURES = gym.spaces.Box(-1, 1, (3,)), gym.spaces.Box(0, 255, (3, 16, 16), np.uint8)
BOX, DISCRETE = gym.spaces.Box(-1, 1, (2,)), gym.spaces.Discrete(3)
SURE = 3 - math.log(2 * math.pi)            # the log-density of tanh(0) for two features, where μ = 0 and log σ = −5 + 3.5 = −1.5


def make(algorithm, observations=VECTORS, actions=BOX, **options):
    cls = PixelSAC if observations is PICTURES else algorithms.find(algorithm)
    return cls(cls.config_class(**SMALL, **options), observations, actions, seed=0, dtype=np.float64)


def always(params, values):
    """Make these outputs those of a network, or of each network of a stack, whatever it is given."""
    params.flat[:] = 0
    params["b2"][:] = values


def update(agent, actions):
    """The metrics of an update on the two transitions."""
    obs, next_obs = (np.stack([agent.observation_space.low, agent.observation_space.high])[order] for order in ([0, 1], [1, 0]))
    metrics = agent.update(Transitions(obs, actions, np.array([1.0, 2.0]), next_obs, np.array([0.0, 1.0])))
    assert metrics.keys() == set(agent.metrics) - {"q_promised", "q_realised"}
    return metrics


def steps_of_alpha(agent):
    """A list to which each step of log α adds its gradient and its rate, in the place of a step."""
    steps = []
    agent.alpha_optimiser.step = lambda grad, lr: steps.append((grad[0], lr))
    return steps


def test_ddpg():
    """The critic says 4 and its targets are 1 + ½·8 = 5 and 2, so it is wrong by 1 and 2."""
    agent = make("ddpg")
    always(agent.w, 4)
    always(agent.w_target, 8)
    assert update(agent, np.zeros((2, 2))) == pytest.approx(
        {"critic_loss": (1 + 4) / 2 / 2, "q": 4, "td_error": 1.5, "actor_loss": -4})


def test_td3():
    """The critics say 3 and 5, and the smaller target critic 8: they are wrong by 2 and 1, and by 0 and 3.

    The loss of the actor is −Q₁, and 0 until its first step.
    """
    agent = make("td3", delay=2)
    always(agent.w, [[3], [5]])
    for actor_loss in (0, -3, -3):
        always(agent.w_target, [[10], [8]])
        assert update(agent, np.zeros((2, 2))) == pytest.approx(
            {"critic_loss": (4 + 1) / 4 + (0 + 9) / 4, "q": 4, "td_error": (2 + 1 + 0 + 3) / 4, "actor_loss": actor_loss})


@pytest.mark.parametrize("observations", [VECTORS, PICTURES], ids=["vectors", "pictures"])
def test_sac(observations, monkeypatch):
    """Without noise the log-density of each action is `SURE`, so V = 8 − α SURE and the loss of the actor α SURE − 3.

    The entropy −SURE is above H̄ = −2, and ∂L/∂log α = α(−SURE + 2).
    """
    agent = make("sac", observations, alpha=0.5, alpha_lr=0.1)
    monkeypatch.setattr(agent.dist, "noise", lambda rng, rows: np.zeros((rows, 2)))
    always(agent.theta, 0)
    always(agent.w, [[3], [5]])
    always(agent.w_target, [[10], [8]])
    steps = steps_of_alpha(agent)
    target = 1 + (8 - SURE / 2) / 2
    assert update(agent, np.zeros((2, 2))) == pytest.approx({
        "critic_loss": ((3 - target) ** 2 + (5 - target) ** 2 + 1 + 9) / 4, "q": 4,
        "td_error": (abs(3 - target) + abs(5 - target) + 1 + 3) / 4, "actor_loss": SURE / 2 - 3, "entropy": -SURE, "alpha": 0.5})
    assert steps == [(pytest.approx(0.5 * (2 - SURE)), 0.1)]


def test_discrete_sac():
    """The policy is (¼, ¼, ½), with the entropy H = 1.5 log 2. The actions are the first and the last one.

    The smaller values are (8, 10, 8) for the target critics, on average 8.5, and (4, 5, 4) for the critics, on average 4.25. With
    H̄ = ¼ log 3, ∂L/∂log α = α(H − H̄).
    """
    agent = make("discrete-sac", actions=DISCRETE, alpha=0.5, alpha_lr=0.1, entropy_target=0.25)
    always(agent.theta, np.log([1, 1, 2]))
    always(agent.w, [[4, 5, 6], [6, 5, 4]])
    always(agent.w_target, [[8, 12, 8], [9, 10, 8]])
    steps, entropy = steps_of_alpha(agent), 1.5 * math.log(2)
    target = 1 + (8.5 + entropy / 2) / 2
    assert update(agent, np.array([0, 2])) == pytest.approx({
        "critic_loss": ((4 - target) ** 2 + (6 - target) ** 2 + (6 - 2) ** 2 + (4 - 2) ** 2) / 4, "q": 5,
        "td_error": (abs(4 - target) + abs(6 - target) + 4 + 2) / 4, "actor_loss": -entropy / 2 - 4.25, "entropy": entropy,
        "alpha": 0.5})
    assert steps == [(pytest.approx(0.5 * (entropy - 0.25 * math.log(3))), 0.1)]
