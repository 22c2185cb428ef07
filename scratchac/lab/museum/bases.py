"""What the exhibits train: an algorithm, an environment, hyperparameters and seeds under which the right version learns."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from scratchac.lab.museum import worlds

Env = str | Callable[..., Any]


@dataclass(frozen=True)
class Base:
    """A training that the right and the wrong version share.

    task        the environment in words
    test        the environment of the evaluation, if it is another one
    seconds     about how long one seed takes on one core, in processor time
    """

    algorithm: str
    env: Env
    task: str
    steps: int
    settings: dict[str, Any] = field(default_factory=dict)
    seeds: tuple[int, ...] = (0, 1, 2)
    test: Env | None = None
    seconds: int = 10

    @property
    def title(self) -> str:
        """Algorithm, task and steps."""
        return f"{self.algorithm} on {self.task}, {self.steps:,} steps"


FIVE = (0, 1, 2, 3, 4)
ADAM = {"optimiser": "adam", "actor_lr": "linear:1e-3:0", "critic_lr": "linear:3e-3:0"}
SMALL = {"hidden": (32,)}
SHORT = {"hidden": (64, 64), "learning_starts": 500, "batch_size": 100}
SOFT = SHORT | {"actor_lr": 1e-3, "critic_lr": 1e-3, "alpha_lr": 1e-3}
LITTLE = {"hidden": (32, 32), "learning_starts": 200, "batch_size": 64, "gamma": 0.9, "actor_lr": 1e-3, "critic_lr": 1e-3}
CART, PENDULUM, INSIDE = "CartPole-v1", "Pendulum-v1", "Inside (ten steps of −4(a − 0.3)²)"
SHORT_TASK = "Pendulum-v1 in episodes of 25 steps, tested over 200"
MATCH = "Match (the sign of a product of four)"

BASES: dict[str, Base] = {
    "a2c": Base("a2c", CART, CART, 100_000, ADAM, seconds=6),
    "a2c-match": Base("a2c", worlds.Match, MATCH, 60_000, SMALL | {
        "rollout": 1, "envs": 16, "optimiser": "adam", "actor_lr": 1e-3, "critic_lr": 1e-3}, seconds=4),
    "a2c-sea": Base("a2c", worlds.Sea, "Sea (a prize behind eight costly steps)", 60_000, SMALL | {
        "rollout": 8, "entropy_coef": 0.1, "gamma": 1.0, "actor_lr": 3e-3, "critic_lr": 3e-3}, FIVE, seconds=2),
    "a2c-clock": Base("a2c", worlds.Clock, "Clock (1 at every step, cut after 20)", 40_000, {
        "rollout": 20, "actor_lr": 1e-3, "critic_lr": 1e-2, "max_grad_norm": 0.0}, seconds=2),
    "a2c-wager": Base("a2c", worlds.Wager, "Wager (1 for sure, or 10 in half of the cases)", 10_000, SMALL | {
        "rollout": 5, "optimiser": "adam", "actor_lr": 1e-2, "critic_lr": 1e-2}, FIVE, seconds=1),
    "actor-critic": Base("actor-critic", CART, CART, 20_000, {
        "discount_actor": False, "actor_lr": "linear:1e-4:0", "critic_lr": "linear:5e-4:0"}, seconds=10),
    "actor-critic-match": Base("actor-critic", worlds.Match, MATCH, 20_000, SMALL | {"actor_lr": 1e-2, "critic_lr": 1e-2},
                               seconds=5),
    "ppo": Base("ppo", CART, CART, 50_000, {
        "rollout": 32, "epochs": 20, "batch_size": 256, "gamma": 0.98, "lam": 0.8, "clip": "linear:0.2:0", "lr": "linear:1e-3:0"},
        seconds=4),
    "ppo-pendulum": Base("ppo", PENDULUM, PENDULUM, 50_000, {"gamma": 0.9, "lr": "linear:1e-3:0", "scale_rewards": True},
                         seconds=6),
    "ppo-match": Base("ppo", worlds.Match, MATCH, 20_000, SMALL | {"lr": 3e-3}, seconds=3),
    "sac": Base("sac", PENDULUM, PENDULUM, 5_000, SOFT, seconds=12),
    "sac-inside": Base("sac", worlds.Inside, INSIDE, 3_000, LITTLE | {"alpha_lr": 3e-3}, seconds=4),
    "sac-cold": Base("sac", worlds.Inside, f"{INSIDE} with α = 0.05", 3_000, LITTLE | {"alpha": 0.05, "learn_alpha": False},
                     seconds=4),
    "ddpg": Base("ddpg", PENDULUM, PENDULUM, 5_000, SHORT, seconds=7),
    "ddpg-25": Base("ddpg", worlds.short_pendulum, SHORT_TASK, 5_000, SHORT, test=PENDULUM, seconds=7),
    "ddpg-inside": Base("ddpg", worlds.Inside, INSIDE, 3_000, LITTLE, seconds=3),
    "td3": Base("td3", PENDULUM, PENDULUM, 8_000, SHORT | {"actor_lr": 1e-3, "critic_lr": 1e-3}, seconds=9),
    "td3-inside": Base("td3", worlds.Inside, INSIDE, 3_000, LITTLE, seconds=3),
}

# The base of each exhibit → another one of the same algorithm, for the return on a second task.
SECOND = {
    "a2c": "a2c-sea", "a2c-match": "a2c", "a2c-sea": "a2c", "a2c-clock": "a2c", "a2c-wager": "a2c",
    "actor-critic": "actor-critic-match", "ppo": "ppo-match", "ppo-pendulum": "ppo", "sac": "sac-inside", "sac-inside": "sac",
    "sac-cold": "sac", "ddpg": "ddpg-inside", "ddpg-25": "ddpg", "td3": "td3-inside",
}
