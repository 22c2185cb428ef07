"""One file per algorithm. Each defines a frozen dataclass `Config` and an agent, whose `update` is the whole learning step.

The interface of all agents is in training/agent.py; what several agents share besides learning is in plumbing.py.
"""

from importlib import import_module
from typing import Any, NamedTuple

import gymnasium as gym

from scratchac.environments.spaces import is_picture
from scratchac.errors import unknown
from scratchac.training.agent import Agent


class Algorithm(NamedTuple):
    """The module and the class of an algorithm, and its default environment."""

    module: str
    agent: str
    env: str
    for_pictures: tuple[str, str] | None = None     # module and agent for observations that are pictures, if they differ


ALGORITHMS = {
    "reinforce": Algorithm("reinforce", "Reinforce", "CartPole-v1"),
    "reinforce-baseline": Algorithm("reinforce_baseline", "ReinforceBaseline", "CartPole-v1"),
    "actor-critic": Algorithm("actor_critic", "ActorCritic", "CartPole-v1"),
    "a2c": Algorithm("a2c", "A2C", "LunarLander-v3"),
    "a3c": Algorithm("a3c", "A3C", "CartPole-v1"),
    "ppo": Algorithm("ppo", "PPO", "CartPole-v1"),
    "ddpg": Algorithm("ddpg", "DDPG", "Pendulum-v1"),
    "td3": Algorithm("td3", "TD3", "Pendulum-v1"),
    "sac": Algorithm("sac", "SAC", "Pendulum-v1", for_pictures=("sac_pixels", "PixelSAC")),
    "discrete-sac": Algorithm("discrete_sac", "DiscreteSAC", "CartPole-v1"),
}


def spelt(name: Any) -> str:
    """The name as ALGORITHMS has it of an algorithm in capitals, or with another dash. Raises UserError for an unknown one."""
    plain = name.lower().replace("_", "-").replace(" ", "-") if isinstance(name, str) else name
    if not isinstance(plain, str) or plain not in ALGORITHMS:
        raise unknown("algorithm", plain, list(ALGORITHMS))
    return plain


def find(name: Any) -> Any:
    """The agent class of an algorithm. Raises UserError for an unknown name."""
    algorithm = ALGORITHMS[spelt(name)]
    return _load(algorithm.module, algorithm.agent)


def make(name: str, config: Any, observation_space: gym.Space, action_space: gym.Space, seed: Any = 0) -> Agent:
    """An untrained agent. Raises UserError for spaces that the algorithm does not support."""
    agent_class, pictures = find(name), ALGORITHMS[spelt(name)].for_pictures
    if pictures and is_picture(observation_space):
        agent_class = _load(*pictures)
    return agent_class(config, observation_space, action_space, seed)


def _load(module: str, agent: str) -> Any:
    return getattr(import_module(f"scratchac.algorithms.{module}"), agent)
