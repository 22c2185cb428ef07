"""Trains an agent with a learner's function in the place of the library's."""

from contextlib import nullcontext

from scratchac import api
from scratchac.lab.exercises.exercise import Learner, Training
from scratchac.lab.patch import Installed
from scratchac.training.agent import Agent

EPISODES = 20


def train(training: Training, learner: Learner | None, seed: int = 0, steps: int | None = None, quiet: bool = True) -> Agent:
    """An agent trained with the learner's function: the one that the library trains with that seed (None), if it is right."""
    with Installed(training.function, training.adapt(learner)) if learner else nullcontext():
        return api.train(training.algorithm, training.env, training.steps if steps is None else steps, seed, backend="numpy",
                         quiet=quiet, **training.options)


def mean_return(training: Training, agent: Agent) -> float:
    """The mean return of new episodes with sampled actions; the most likely ones of an untrained agent are good by chance."""
    return float(api.evaluate(agent, training.env, EPISODES, seed=1_000, explore=True).mean())


def before(training: Training, seed: int = 0) -> float:
    """The mean return of the agent with which the training begins."""
    return mean_return(training, api.make_agent(training.algorithm, training.env, seed, **training.options))
