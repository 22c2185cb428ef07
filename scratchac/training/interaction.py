"""The state of training besides the agent: environments, their observations, their episodes."""

from typing import Any

import numpy as np

from scratchac.errors import CheckpointError, UserError
from scratchac.messages import tell
from scratchac.training.agent import Agent
from scratchac.training.episodes import Episodes, Promises


class Interaction:
    """Environments, their current observations, and the returns of their episodes so far.

    `begin` starts new episodes, or restores those of a `state`. Asynchronous workers act in environments of their own, and the ones
    here only serve as a pattern for them: `workers` has the final state of each worker after all have ended, and is None before.
    """

    def __init__(self, agent: Agent, envs: Any):
        self.agent = agent
        self.envs = envs
        self.episodes = Episodes(envs.n)
        self.obs: Any = None                                                # (N, O)
        self.elsewhere = agent.family == "asynchronous"
        self.promises = Promises(agent, envs.n) if agent.family == "off-policy" else None       # type: ignore[arg-type]
        self.workers: list[Any] | None = None
        self.since_update = 0                                               # steps since the last round of updates (off-policy)

    def begin(self, state: dict[str, Any] | None = None) -> None:
        """Start new episodes, or continue those of `state`. Raises CheckpointError if `state` does not fit.

        With `state["new_episodes"]` all the rest of `state` is restored, but episodes in progress begin anew.
        """
        if state is None:
            self.obs = None if self.elsewhere else self.envs.reset()
            return
        try:
            self._go_on(state)
        except UserError:
            raise
        except (KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
            raise CheckpointError(f"the checkpoint's episodes cannot be continued: {type(error).__name__}: {error}") from None

    def _go_on(self, state: dict[str, Any]) -> None:
        kept, anew = state["envs"], state.get("new_episodes", False)
        lost: Any = range(self.envs.n)                                      # environments that begin a new episode
        if kept and anew:
            self.obs = self.envs.renew(kept)
        elif kept:
            self.obs, lost = self.envs.load_state(kept)
        elif not self.elsewhere:
            self.obs = self.envs.reset()
            tell("an environment had failed; all of them begin new episodes")
        elif not state["workers"]:
            tell("the checkpoint was written while the workers ran; they begin new episodes")
        self.episodes.load_state(state["episodes"])
        self.since_update = state["since_update"]
        self.workers = state["workers"]
        if self.workers and anew:
            self.workers = [x and x | {"interaction": x["interaction"] | {"new_episodes": True}} for x in self.workers]
        if self.promises:
            self.promises.load_state(state["promises"])
        for i in lost:
            if kept and not anew and self.envs.restores:
                tell(f"the same actions do not restore environment {i}; it begins a new episode")
            self.episodes.returns[i] = self.episodes.lengths[i] = 0
        self.agent.restart(np.isin(np.arange(self.envs.n), list(lost)))

    def state(self, failed: bool = False) -> dict[str, Any]:
        """Everything needed to continue. `failed`: an environment has failed, so no environment is asked for its state."""
        return {"envs": None if self.elsewhere or failed else self.envs.state(), "episodes": self.episodes.state(),
                "since_update": self.since_update, "workers": self.workers, "promises": self.promises and self.promises.state()}
