"""Hindsight experience replay (Andrychowicz et al. 2017, Algorithm 1): goals reached by chance stand in for the desired one.

Where a reward is paid at the desired goal alone, an agent that never gets there learns nothing. But an episode s₀ a₀ s₁ … s_T shows
how to get to each of its own states. So when it has ended, every transition is stored k times more, as if another goal g′ had been
desired:

    g′ = m(s_j),  j ~ U{t+1, …, T}           r′ = r(m(s_{t+1}), g′)           stored: (s_t‖g′, a_t, r′, s_{t+1}‖g′)

m(s) is the `achieved_goal` of s. This is their strategy "future" (section 4.5), which takes states "observed after" the transition.
As in their program (OpenAI Baselines, her_sampler.py) s_{t+1} is one of these, so the last transition has its own end as a goal.
The desired goal does not change what follows an action, and an off-policy algorithm does not ask why an action was chosen. But g′
is chosen by what has followed. That is exact where s and a decide what follows. Where chance decides it, the transitions stored for
g′ are those in which chance led there, and Q is too large. Example: one step to +1 or −1, each with probability ½ whatever the
action is, r′ = [reached], and goals ±1. Q is ½. An episode stores, on average, ½ row for a given goal as the desired one, and half
of these rows reached it; and k/2 further rows, all of which did. Q becomes (¼ + k/2)/(½ + k/2), 0.9 for k = 4.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import DTypeLike

from scratchac.environments.flattened import Flattened, shortened
from scratchac.errors import EnvironmentFailed, UserError, one_line
from scratchac.messages import tell
from scratchac.training.memory import ReplayBuffer

Step = dict[str, np.ndarray]                    # one environment's row of each of the replay buffer's arrays


class HindsightBuffer(ReplayBuffer):
    """A replay buffer that stores the transitions of each episode that ends again, with further goals.

    `meet` has to be called before the first episode ends.

    goals       k, the further goals of a transition
    n           N, the number of environments; `add` takes one transition of each
    rng         draws the goals

    Raises UserError unless observations have an achieved and a desired goal of one shape.
    """

    compute_reward: Callable[..., Any]
    compute_terminated: Callable[..., Any] | None

    def __init__(self, capacity: int, observation_space: gym.Space, action_shape: tuple[int, ...], action_dtype: DTypeLike,
                 dtype: DTypeLike, goals: int, n: int, rng: np.random.Generator):
        self.goal_space, self.achieved, self.desired = _goals_of(observation_space)
        super().__init__(capacity, observation_space, action_shape, action_dtype, dtype)
        self.goals = goals
        self.rng = rng
        self.compared = False               # whether the rewards of an episode have been held against those of compute_reward
        # The steps of the present episodes. Of one that is longer than the buffer only the last ones are kept: no more would fit.
        self.episodes: list[deque[Step]] = [deque(maxlen=capacity) for _ in range(n)]

    def meet(self, env: gym.Env) -> None:
        """Take `compute_reward` and, if there is one, `compute_terminated` from an environment without its wrappers.

        Raises UserError unless `compute_reward(achieved_goal, desired_goal, info)` takes n goals and returns n rewards, and
        `compute_terminated` takes one goal.
        """
        name = type(env).__name__
        if not callable(getattr(env, "compute_reward", None)):
            raise UserError(f"--hindsight needs a method compute_reward(achieved_goal, desired_goal, info), and {name} has none")
        self.compute_reward = env.compute_reward  # type: ignore[attr-defined]
        self.compute_terminated = getattr(env, "compute_terminated", None)
        size = self.desired.stop - self.desired.start
        try:
            goals = np.zeros((size + 1, size))                              # another number of goals than of a goal's features
            self._rewards(goals, goals)
            self._ends(goals, goals, goals[:, 0])
        except EnvironmentFailed as error:
            raise UserError(f"--hindsight: {name}: {error}") from error

    def add(self, *, idle: np.ndarray | None = None, **rows: np.ndarray) -> None:
        """Append a transition of each environment, and those with further goals of the episodes that have ended.

        An observation that is not the one that followed before begins an episode: a resumed run may have lost the one before.
        Raises EnvironmentFailed if the rewards cannot be computed.

        idle    None: vectorised environments, which may be idle, are not trained in with further goals
        """
        assert idle is None
        super().add(**rows)
        copies = {name: np.array(rows[name], array.dtype) for name, array in self.data.items()}    # (N, …)
        for i, episode in enumerate(self.episodes):
            step = {name: x[i] for name, x in copies.items()}
            if episode and not np.array_equal(episode[-1]["next_obs"], step["obs"]):
                self._relabel(episode)
            episode.append(step)
            if step["term"] or step["trunc"]:
                self._relabel(episode)

    def _relabel(self, episode: deque[Step]) -> None:
        """Add the T transitions of an episode with k goals each, T·k in all, and forget the episode.

        Whether a transition ends at a terminal state is said by `compute_terminated`, or else it is as it was for the desired goal.
        The latter is right for terminal states that have nothing to do with goals. Where an episode ends at its goal, transitions
        that reach a further one bootstrap, although they should not, and so does the last one of an episode that was cut off:
        with rewards of −1 on the way and 0 at a goal where one can stay, the value there is 0 anyway; with a reward of 1 at the
        goal, it is too large.
        """
        T = len(episode)
        steps = {name: np.stack([step[name] for step in episode]) for name in self.data}          # (T, …)
        last = self.rng.integers(np.arange(T)[:, None], T, size=(T, self.goals)).ravel()            # j − 1 (T·k,)
        goals = steps["next_obs"][last, self.achieved]                      # (T·k, G)
        rows = {name: np.repeat(x, self.goals, axis=0) for name, x in steps.items()}                # (T·k, …)
        rows["obs"][:, self.desired] = goals
        rows["next_obs"][:, self.desired] = goals
        achieved = rows["next_obs"][:, self.achieved]
        rows["rewards"] = self._rewards(achieved, goals)
        if not self.compared:
            self._compare(steps)
        rows["term"] = self._ends(achieved, goals, rows["term"])
        episode.clear()
        super().add(**{name: x[-self.capacity:] for name, x in rows.items()})      # more would overwrite each other

    def _compare(self, steps: Step) -> None:
        """Say so if most rewards of an episode are not those of `compute_reward`: a wrapper may have changed them."""
        self.compared = True
        goals = steps["next_obs"]
        computed = self._rewards(goals[:, self.achieved], goals[:, self.desired])
        apart = ~np.isclose(computed, steps["rewards"], rtol=1e-3, atol=1e-3)
        if apart.mean() > 0.5:
            i = int(np.flatnonzero(apart)[0])
            tell(f"the environment gave a reward of {steps['rewards'][i]:g} where its compute_reward, which --hindsight uses for "
                 f"further goals, gives {computed[i]:g}: the replay buffer has both")

    def _rewards(self, achieved: np.ndarray, desired: np.ndarray) -> np.ndarray:
        """r(achieved, desired) (n,) for goals (n, G). Raises EnvironmentFailed for an error, and for anything but n numbers."""
        try:
            rewards = np.asarray(self.compute_reward(self._for_env(achieved), self._for_env(desired), {}))
        except Exception as error:
            raise EnvironmentFailed(f"compute_reward raised {one_line(error)}") from error
        if rewards.shape != (len(desired),) or rewards.dtype.kind not in "fiub":
            raise EnvironmentFailed(f"compute_reward must return {len(desired)} rewards for as many goals, and returned "
                                    f"{rewards.dtype} of shape {rewards.shape}")
        if not np.isfinite(rewards).all():
            raise EnvironmentFailed("compute_reward returned a reward that is not finite")
        return rewards

    def _ends(self, achieved: np.ndarray, desired: np.ndarray, own: np.ndarray) -> np.ndarray:
        """1 at a terminal state, for goals (n, G); `own` without `compute_terminated`. Raises EnvironmentFailed for an error."""
        if not self.compute_terminated:
            return own
        try:                                                                # Gymnasium-Robotics' takes one goal at a time
            pairs = zip(self._for_env(achieved), self._for_env(desired), strict=True)
            return np.array([bool(self.compute_terminated(*pair, {})) for pair in pairs])
        except Exception as error:
            raise EnvironmentFailed(f"compute_terminated raised {one_line(error)}") from error

    def _for_env(self, goals: np.ndarray) -> np.ndarray:
        """Goals (n, G) in the environment's own shape and dtype, (n, …)."""
        return goals.reshape(-1, *self.goal_space.shape).astype(self.goal_space.dtype)      # type: ignore[misc]

    def state(self) -> dict[str, Any]:
        """The transitions collected so far, the generator, and the steps of the present episodes with their environments."""
        steps = [(i, step) for i, episode in enumerate(self.episodes) for step in episode]
        kept = {name: np.array([step[name] for _, step in steps], array.dtype).reshape(-1, *array.shape[1:])
                for name, array in self.data.items()}
        return super().state() | {"rng": self.rng.bit_generator.state, "episodes": kept,
                                  "environments": np.array([i for i, _ in steps], np.int64)}

    def like(self, saved: Any) -> dict[str, Any]:
        """A state with as many transitions and steps as `saved`. Raises ValueError if `saved` cannot be a state of this buffer."""
        own, whose = super().like(saved), saved.get("environments")
        if not (isinstance(whose, np.ndarray) and whose.shape == (whose.size,) and whose.dtype == np.int64
                and np.isin(whose, range(len(self.episodes))).all()):
            raise ValueError(f"the replay buffer's episodes are not those of {len(self.episodes)} environments")
        return own | {"environments": whose,
                      "episodes": {name: np.empty((len(whose), *x.shape[1:]), x.dtype) for name, x in self.data.items()}}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore transitions, generator and episodes."""
        super().load_state(state)
        self.rng.bit_generator.state = state["rng"]
        for episode in self.episodes:
            episode.clear()
        for row, i in enumerate(state["environments"]):
            self.episodes[i].append({name: x[row] for name, x in state["episodes"].items()})


def _goals_of(space: gym.Space) -> tuple[gym.Space, slice, slice]:
    """The space of goals, and the places of the achieved and the desired one in an observation. Raises UserError without these."""
    parts = space.original.spaces if isinstance(space, Flattened) and isinstance(space.original, gym.spaces.Dict) else {}
    achieved, desired = parts.get("achieved_goal"), parts.get("desired_goal")
    if achieved is None or desired is None:
        raise UserError(f"--hindsight needs observations with an achieved_goal and a desired_goal (a Dict), not {shortened(space)}")
    numbers = gym.spaces.Box, gym.spaces.MultiBinary                        # a vector of these is the numbers themselves
    if not (isinstance(achieved, numbers) and isinstance(desired, numbers) and achieved.shape == desired.shape):
        raise UserError(f"--hindsight needs goals that are boxes of one shape, not {shortened(achieved)} and "
                        f"{shortened(desired)}")
    assert isinstance(space, Flattened)
    return desired, space.parts["achieved_goal"], space.parts["desired_goal"]
