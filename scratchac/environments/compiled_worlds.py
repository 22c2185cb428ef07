"""Five of Gymnasium's environments whose physics is compiled, N worlds a call: the interface of `VectorEnv`, without its copies.

The compiled code (kernels/numba_worlds.py) repeats Gymnasium's: the same seeds and actions give the same observations, rewards and
endings. Evaluation stays on Gymnasium's own environments.
"""

from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium.utils import seeding

import kernels
from scratchac.environments.make import close, make, name_of
from scratchac.errors import UserError

STOCK = 64                      # first states that are drawn at a time for each world
TRIAL = 40                      # steps by which a registered environment is compared with the compiled one


class Physics(NamedTuple):
    """One of the environments: its number in numba_worlds, its state's size, and the bounds of its first states."""

    code: int
    size: int                   # S
    low: tuple[float, ...]      # of what is drawn; the rest of a first state is 0
    high: tuple[float, ...]
    dtype: str                  # of a first state


_CART, _LINKS, _ANGLE = (0.05,) * 4, (0.1,) * 4, (np.pi, 1.0)
PHYSICS = {
    "CartPole-v1": Physics(0, 4, tuple(-x for x in _CART), _CART, "float64"),
    "Acrobot-v1": Physics(1, 4, tuple(-x for x in _LINKS), _LINKS, "float32"),
    "Pendulum-v1": Physics(2, 2, tuple(-x for x in _ANGLE), _ANGLE, "float64"),
    "MountainCar-v0": Physics(3, 2, (-0.6,), (-0.4,), "float64"),
    "MountainCarContinuous-v0": Physics(4, 2, (-0.6,), (-0.4,), "float64"),
}


def why_not(env: Any, settings: dict[str, Any]) -> str | None:
    """Why an environment with these settings of a run cannot be compiled, in words; None if it can.

    settings    `randomise`, `env_args` and `step_timeout`, as in config.json
    """
    if not isinstance(env, str) or env not in PHYSICS:
        return f"{name_of(env)} is none of {', '.join(PHYSICS)}"
    for name, flag in (("env_args", "--env-args"), ("randomise", "--randomise"), ("step_timeout", "--step-timeout")):
        if settings.get(name):
            return f"it takes no {flag}"
    try:
        kernels.load("numba")
    except kernels.BackendError as error:
        return str(error)
    return None


class CompiledWorlds:
    """N worlds of an environment of PHYSICS, with their own seeds, as `VectorEnv` would give them.

    Each world has a stock of first states, drawn by a generator of its own in the order of Gymnasium's resets. What is drawn and
    not used belongs to the future: `state` has the generator as it was before that.

    Raises UserError for an environment or settings that are not compiled, and for a registered one that does something else.
    """

    workers = None                      # all in this process
    quiet = True                        # nothing is repeated to restore a state
    restores = True
    idle = None                         # every world takes every step
    members: tuple[Any, ...] = ()       # there are no environments of Gymnasium's

    def __init__(self, env: Any, n: int, seed: Any, **options: Any):
        if reason := why_not(env, options):
            raise UserError(f"--vector compiled: {reason}")
        from kernels.numba_worlds import Worlds  # Numba is optional

        self.seeds = [int(x) for x in np.random.SeedSequence(seed).generate_state(n)]
        self.n = n
        self.physics = PHYSICS[env]
        made = make(env)
        self.observation_space = made.observation_space
        self.action_space = made.action_space
        S, O, P = self.physics.size, int(np.prod(made.observation_space.shape or ())), STOCK
        self.generators = [np.random.default_rng(0)] * n
        limit = int(made.spec.max_episode_steps or 0) if made.spec else 0
        self.worlds = Worlds(self.physics.code, limit, 2.0, np.zeros((n, S)), np.zeros(n, np.int64), np.zeros((n, O), np.float32),
                             np.zeros((n, P, S)), np.zeros((n, P, O), np.float32), np.zeros(n, np.int64))
        same = limit > 0 and _is_gymnasiums(made) and _agree(self, made)
        close(made)
        if not same:
            raise UserError(f"--vector compiled: the registered {env} does not do what the compiled one does")

    def reset(self) -> np.ndarray:
        """Begin new episodes from the seeds; returns the first observations (N, O)."""
        self.generators = [seeding.np_random(seed)[0] for seed in self.seeds]
        self.worlds.used[:] = STOCK
        self.refill()
        self.worlds.state[:], self.worlds.obs[:] = self.worlds.starts[:, 0], self.worlds.first[:, 0]
        self.worlds.used[:], self.worlds.elapsed[:] = 1, 0
        return self.worlds.obs.copy()

    def refill(self) -> None:
        """Draw new first states for the worlds that have used all of theirs."""
        for i in np.flatnonzero(self.worlds.used >= STOCK):
            low, high = np.array(self.physics.low), np.array(self.physics.high)
            drawn = self.generators[i].uniform(low, high, (STOCK, len(low))).astype(self.physics.dtype)
            self.worlds.starts[i, :, : len(low)] = drawn
            self.worlds.first[i] = _first_observations(self.physics.code, drawn, self.worlds.first.shape[2])
            self.worlds.used[i] = 0

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return (obs, reward, next_obs, term, trunc), as `VectorEnv.step` does."""
        from kernels.numba_worlds import step_worlds

        self.refill()
        rewards, (term, trunc) = np.empty(self.n), np.empty((2, self.n), bool)
        next_obs = np.empty_like(self.worlds.obs)
        step_worlds(tuple(self.worlds), np.asarray(actions, np.float64).reshape(self.n), next_obs, rewards, term, trunc)
        return self.worlds.obs.copy(), rewards, next_obs, term, trunc

    def state(self) -> dict[str, Any]:
        """The worlds' physics, steps and observations, and the generators from which their next first states come."""
        return {"state": self.worlds.state.copy(), "elapsed": self.worlds.elapsed.copy(), "obs": self.worlds.obs.copy(),
                "generators": [self._before_unused(i) for i in range(self.n)]}

    def _before_unused(self, i: int) -> Any:
        """The state of generator i before it drew the first states that have not been used."""
        bits: Any = np.random.PCG64()
        bits.state = self.generators[i].bit_generator.state
        bits.advance(-int(STOCK - self.worlds.used[i]) * len(self.physics.low))         # modulo its period, so it goes back
        return bits.state

    def load_state(self, state: Any) -> tuple[np.ndarray, list[int]]:
        """Restore the worlds; returns (observations, []), for each of them can be restored."""
        self.worlds.state[:], self.worlds.elapsed[:], self.worlds.obs[:] = state["state"], state["elapsed"], state["obs"]
        for i, saved in enumerate(state["generators"]):
            self.generators[i] = np.random.Generator(np.random.PCG64(0))
            self.generators[i].bit_generator.state = saved
        self.worlds.used[:] = STOCK
        self.refill()
        return self.worlds.obs.copy(), []

    def renew(self, state: Any) -> np.ndarray:
        """Begin new episodes instead of those of a `state`, of which nothing is kept; returns the first observations (N, O)."""
        return self.reset()

    def metrics(self) -> dict[str, float]:
        """Environments have no metrics."""
        return {}

    def close(self) -> None:
        """Nothing is open."""


def _first_observations(code: int, starts: np.ndarray, features: int) -> np.ndarray:
    """Observations (K, O) float32 of first states (K, what is drawn), by NumPy and in their dtype, as Gymnasium's resets do."""
    obs = np.zeros((len(starts), features), np.float32)
    if code == 1:                                                           # the acrobot: sines and cosines of float32
        angles = starts[:, :2]
        obs[:, 0:4:2], obs[:, 1:4:2], obs[:, 4:] = np.cos(angles), np.sin(angles), starts[:, 2:]
    elif code == 2:
        obs[:, 0], obs[:, 1], obs[:, 2] = np.cos(starts[:, 0]), np.sin(starts[:, 0]), starts[:, 1]
    else:
        obs[:, : starts.shape[1]] = starts
    return obs


def _is_gymnasiums(env: gym.Env) -> bool:
    """Whether an environment is Gymnasium's own as it is: a change of its end, such as another goal, is not seen in a few steps."""
    spec = env.spec
    return (type(env.unwrapped).__module__.startswith("gymnasium.envs.classic_control.") and spec is not None
            and not spec.additional_wrappers and not spec.kwargs.keys() - {"render_mode"})


def _agree(worlds: CompiledWorlds, env: gym.Env) -> bool:
    """Whether an environment does, to rounding, what the first of these worlds does, in some steps with the same actions."""
    rng = np.random.default_rng(0)
    discrete = isinstance(env.action_space, gym.spaces.Discrete)
    obs, seen = worlds.reset()[0], env.reset(seed=worlds.seeds[0])[0]
    for _ in range(TRIAL):
        if seen.shape != obs.shape or not np.allclose(obs, seen, atol=1e-4):
            return False
        action = (rng.integers(env.action_space.n) if discrete                          # type: ignore[attr-defined]
                  else rng.uniform(-1, 1, 1).astype(np.float32))
        came = worlds.step(np.repeat(action, worlds.n))
        seen, *rest = map(np.asarray, env.step(action)[:4])
        if not np.allclose([x[0] for x in came[1:2] + came[3:]], rest, atol=1e-4):
            return False
        obs, over = came[0][0], rest[1] or rest[2]
        seen = env.reset()[0] if over else seen
    return True
