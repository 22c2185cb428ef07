"""Evaluation while an agent trains: which policy was the best one, and when training may end early.

Every evaluation plays the same episodes, deterministically and in environments of its own, so training goes on as without it. Their
seeds are none of those that the evaluation at the end of a run has. The best of many means is partly luck, so the best policy is
evaluated once more at the end, on the seeds of that evaluation, as the last one is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from numbers import Real
from typing import Any

from scratchac.algorithms.config import whole
from scratchac.errors import TrainingError, UserError
from scratchac.messages import tell
from scratchac.training import evaluation
from scratchac.training.agent import Agent

EPISODES = 10
FIRST_SEED = 1_000_000          # of the episodes; `schema.MOST_EPISODES` of the evaluation at the end come before it


@dataclass(frozen=True)
class Plan:
    """When to evaluate during training, and what of it ends training.

    every       environment steps between two evaluations; None for none
    stop_at     training ends with an evaluation whose mean return is at least this
    patience    training ends after so many evaluations in a row whose mean is not above the best one before
    """

    every: int | None = None
    stop_at: float | None = None
    patience: int | None = None

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "Plan":
        """The plan of arguments, or of a config.json, by their names. Raises UserError for what is out of range."""
        every, stop_at, patience = (settings.get(name) for name in ("eval_every", "stop_at", "patience"))
        if stop_at is not None and (not isinstance(stop_at, Real) or isinstance(stop_at, bool) or not isfinite(stop_at)):
            raise UserError(f"--stop-at is a mean return, a finite number, not {stop_at!r}")
        plan = cls(every if every is None else whole("--eval-every", every, 1), stop_at if stop_at is None else float(stop_at),
                   patience if patience is None else whole("--patience", patience, 1))
        if plan.every is None and plan != cls():
            raise UserError("--stop-at and --patience look at evaluations during training: they need --eval-every, too")
        return plan

    def settings(self) -> dict[str, Any]:
        """The plan as entries of config.json; none without evaluations, as in earlier versions."""
        return {} if self.every is None else {"eval_every": self.every, "stop_at": self.stop_at, "patience": self.patience}


class Evaluations:
    """The evaluations of one training up to step `target`, from step `start` on.

    saved       `state` of an earlier part of the same training
    anew        whether that part was ended early, and is extended now: patience then counts from here
    """

    def __init__(self, plan: Plan, env: Any, env_args: dict[str, Any], start: int, target: int, saved: dict[str, Any] | None = None,
                 anew: bool = False):
        assert plan.every is not None
        self.plan = plan
        self.every = plan.every
        self.env = env
        self.env_args = env_args
        self.target = target
        self.best: dict[str, Any] | None = saved["best"] if saved else None     # step, mean and std of the best evaluation
        self.without = saved["without"] if saved and not anew else 0            # evaluations since then
        self.next: float = min(saved["next"] if saved and saved["next"] else self._after(start), target)
        self.improved = False                                                   # by the last evaluation
        self.enough = False                                                     # whether training must end

    def due(self, step: int) -> bool:
        """Whether there must be an evaluation at this step: each `every` steps, and at the end."""
        return step >= self.next

    def __call__(self, agent: Agent) -> dict[str, float]:
        """Evaluate the agent; returns what a row of metrics says of it, nothing if an environment has failed, which is told."""
        self.next = min(self._after(agent.step), self.target) if agent.step < self.target else float("inf")
        self.improved = False
        try:
            returns, _ = evaluation.play(agent, self.env, self.env_args, EPISODES, FIRST_SEED, budget=evaluation.BUDGET, cuts=True)
        except (TrainingError, UserError) as error:
            if isinstance(error, UserError) and self.best is None:          # none was possible: a mistake in the environment
                raise
            tell(f"no evaluation at step {agent.step}: {error}; training goes on")
            return {}
        mean, std = float(returns.mean()), float(returns.std())
        self.improved = self.best is None or mean > self.best["mean"]
        self.without = 0 if self.improved else self.without + 1
        if self.improved:
            self.best = {"step": agent.step, "mean": mean, "std": std, "episodes": len(returns)}
        self.enough = ((self.plan.stop_at is not None and mean >= self.plan.stop_at)
                       or (self.plan.patience is not None and self.without >= self.plan.patience))
        return {"eval_mean": mean, "eval_std": std}

    def told(self, step: int, eval_mean: float, eval_std: float) -> str:
        """The last evaluation in words, and why training ends if it does."""
        best = ", the best so far" if self.improved else ""
        reached = self.plan.stop_at is not None and eval_mean >= self.plan.stop_at
        why = f"the mean has reached {self.plan.stop_at:g}" if reached else f"no better one in {self.without} evaluations"
        ends = f"; training ends: {why}" if self.enough else ""
        return f"step {step:,}: evaluated without exploration, mean return {eval_mean:.1f} ± {eval_std:.1f}{best}{ends}"

    def _after(self, step: int) -> int:
        return (step // self.every + 1) * self.every

    def state(self) -> dict[str, Any]:
        """Everything needed to continue exactly."""
        return {"next": None if self.next == float("inf") else self.next, "without": self.without, "best": self.best}
