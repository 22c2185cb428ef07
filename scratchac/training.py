"""The training loop and evaluation. They know no algorithm by name: an agent is whatever acts and updates."""

import sys
import time
from collections import deque

import numpy as np
from threadpoolctl import threadpool_limits

import kernels
from scratchac.envs import make
from scratchac.errors import TrainingError
from scratchac.memory import Rollout

# Products of this size are too small to share: with 64-64 networks two BLAS threads make two thirds of the updates that one does,
# with 256-256 they gain a third while the machine is idle and lose a fifth when it is not.
one_blas_thread = threadpool_limits.wrap(limits=1, user_api="blas")


class Episodes:
    """Returns and lengths of the episodes of N environments, from their rewards."""

    def __init__(self, n, window=100):
        self.returns, self.lengths = np.zeros(n), np.zeros(n, np.int64)     # of the episodes under way
        self.finished = 0
        self.recent = deque(maxlen=window)                                  # (return, length) of the last ones finished

    def add(self, rewards, done):
        self.returns += rewards
        self.lengths += 1
        for i in np.flatnonzero(done):
            self.end(i)

    def end(self, i):
        self.recent.append((float(self.returns[i]), int(self.lengths[i])))
        self.returns[i] = self.lengths[i] = 0
        self.finished += 1

    def state(self):
        return {"returns": self.returns, "lengths": self.lengths, "finished": self.finished, "recent": np.array(self.recent)}

    def load_state(self, state):
        self.returns[:], self.lengths[:], self.finished = state["returns"], state["lengths"], state["finished"]
        self.recent.extend((float(total), int(length)) for total, length in state["recent"])


class Promises:
    """What the critic said of each episode at its start, Q(s₀, a₀), and the discounted return that came of it.

    A critic that is fitted to its own maximum promises too much. Where a time limit cut the episode off, Q at the last
    observation stands for the rest, as it does in the critic's targets. A soft critic's Q also holds the entropy to come.
    """

    def __init__(self, agent, n):
        self.agent, self.gamma = agent, agent.schedules(1).gamma
        self.said, self.came, self.weight = np.zeros(n), np.zeros(n), np.ones(n)
        self.kept = deque(maxlen=20)                                        # (said, came) of the last episodes

    def begin(self, starting, obs, actions):
        if starting.any():
            self.said[starting] = self.agent.value(obs[starting], actions[starting])
            self.came[starting], self.weight[starting] = 0, 1

    def add(self, rewards, next_obs, term, done):
        self.came += self.weight * rewards
        self.weight *= self.gamma
        for i in np.flatnonzero(done):
            if not term[i]:
                last = next_obs[i : i + 1]
                self.came[i] += self.weight[i] * self.agent.value(last, self.agent.greedy(last))[0]
            self.kept.append((self.said[i], self.came[i]))

    def metrics(self):
        return dict(zip(("q_promised", "q_realised"), map(float, np.mean(self.kept, axis=0)), strict=True)) if self.kept else {}

    def state(self):
        return {"said": self.said, "came": self.came, "weight": self.weight, "kept": np.array(self.kept)}

    def load_state(self, state):
        self.said[:], self.came[:], self.weight[:] = state["said"], state["came"], state["weight"]
        self.kept.extend(map(tuple, state["kept"]))


class Play:
    """What is under way in training besides the agent: environments, where they are, and what their episodes have brought so far.

    `begin` starts new episodes, or brings back those that `state` was taken of. Asynchronous workers play elsewhere: then the
    environments here only serve as models, and none of theirs is brought back.
    """

    def __init__(self, agent, envs):
        self.envs, self.episodes, self.obs, self.elsewhere = envs, Episodes(envs.n), None, agent.loop == "asynchronous"
        self.promises = Promises(agent, envs.n) if agent.loop == "off-policy" else None
        self.since_update = 0                                               # steps since the last round of updates (off-policy)

    def begin(self, state=None):
        lost, kept = range(self.envs.n), state and state["envs"]            # lost: whose episodes begin anew
        if kept:
            self.obs, lost = self.envs.load_state(kept)
        elif not self.elsewhere:
            self.obs = self.envs.reset()
        if not state:
            return
        self.episodes.load_state(state["episodes"])
        self.since_update = state["since_update"]
        if self.promises:
            self.promises.load_state(state["promises"])
        for i in lost:
            if kept:
                print(f"scratchac: the same actions do not lead environment {i} back; it begins a new episode", file=sys.stderr)
            self.episodes.returns[i] = self.episodes.lengths[i] = 0

    def state(self, failed=False):
        """`failed`: an environment is no longer to be asked."""
        return {"envs": None if self.elsewhere or failed else self.envs.state(), "episodes": self.episodes.state(),
                "since_update": self.since_update, "promises": self.promises and self.promises.state()}


@one_blas_thread
def train(agent, envs, steps, report, under_way=None):
    """Train by the loop that the agent names, or by a quicker one of the backend's that does the same.

    under_way   `Play.state` of an earlier stretch of the same training, to go on exactly there
    """
    loop, play = kernels.backend.compiled_loop(agent, envs) or LOOPS[agent.loop], Play(agent, envs)
    play.begin(under_way)
    loop(agent, play, steps, report)


def train_on_policy(agent, play, steps, report):
    """Alternate between a rollout with the present policy and one update from it, until `steps` environment steps.

    agent    has `sample(obs)`, `to_env(actions)`, `update(batch)`, `step`, and `horizon`: steps per rollout, or None for
             "until the episode ends" (with a single environment)
    play     a Play that has begun
    report   called after every update as report(agent, play, metrics, update_seconds, updates); a true answer ends training

    Raises TrainingError when a value is no longer a number.
    """
    envs, episodes, rollout = play.envs, play.episodes, Rollout(agent.dtype)
    while agent.step < steps:
        complete = False
        while not complete:
            t = episodes.lengths.copy()
            actions = agent.sample(play.obs)
            next_start, rewards, next_obs, term, trunc = envs.step(agent.to_env(actions))
            rollout.add(play.obs, actions, rewards, next_obs, term, trunc, t)
            done = term | trunc
            episodes.add(rewards, done)
            play.obs = next_start
            complete = done.all() if agent.horizon is None else len(rollout) == agent.horizon
        batch = rollout.take()
        require_finite(batch, agent.step)
        started = time.perf_counter()
        try:
            metrics = agent.update(batch)
        except FloatingPointError as error:
            raise TrainingError(f"at step {agent.step}: {error}") from None
        if report(agent, play, metrics, time.perf_counter() - started, 1):
            break


def train_off_policy(agent, play, steps, report):
    """Store every transition; every `train_every` steps make `gradient_steps` updates from minibatches of the memory.

    agent    has `sample(obs)`, `random(rows)`, `to_env(actions)`, `update(batch)`, `restart(done)`, `step`, `memory`, `batch_rng`
             and a `config` with learning_starts, train_every, gradient_steps and batch_size
    play     a Play that has begun
    report   as for `train_on_policy`; before learning starts it is called without metrics

    Raises TrainingError when a value is no longer a number.
    """
    config, envs, episodes, promises = agent.config, play.envs, play.episodes, play.promises
    while agent.step < steps:
        warming_up = agent.step < config.learning_starts
        obs = play.obs
        actions = agent.random(envs.n) if warming_up else agent.sample(obs)
        promises.begin(episodes.lengths == 0, obs, actions)
        next_start, rewards, next_obs, term, trunc = envs.step(agent.to_env(actions))
        if not (np.isfinite(rewards).all() and np.isfinite(next_obs).all() and np.isfinite(actions).all()):
            bad = next(i for i in range(envs.n) if not np.isfinite([rewards[i], next_obs[i].sum(), actions[i].sum()]).all())
            raise TrainingError(f"environment {bad}: an action, reward or observation is not finite at step {agent.step}")
        agent.memory.add(obs=obs, actions=actions, rewards=rewards, next_obs=next_obs, term=term, trunc=trunc)
        done = term | trunc
        promises.add(rewards, next_obs, term, done)
        episodes.add(rewards, done)
        agent.restart(done)
        agent.step += envs.n
        play.obs = next_start
        play.since_update += envs.n
        metrics, updates, started = {}, 0, time.perf_counter()
        if agent.step >= config.learning_starts and play.since_update >= config.train_every:
            play.since_update = 0
            for _ in range(config.gradient_steps):
                try:
                    metrics = agent.update(agent.memory.sample(agent.batch_rng, config.batch_size))
                except FloatingPointError as error:
                    raise TrainingError(f"at step {agent.step}: {error}") from None
                updates += 1
            metrics |= promises.metrics()
        if report(agent, play, metrics, time.perf_counter() - started if updates else 0.0, updates):
            break


def train_asynchronous(agent, play, steps, report):
    """The agent has workers that play in environments of their own, made like those of `play`."""
    agent.train(play, steps, report)


LOOPS = {"on-policy": train_on_policy, "off-policy": train_off_policy, "asynchronous": train_asynchronous}


def require_finite(batch, step):
    """Raise TrainingError naming the environment and the step of the first NaN or infinity in a batch."""
    with np.errstate(over="ignore", invalid="ignore"):      # the usual case, quickly: a sum is finite only if all its terms are
        if np.isfinite(batch.obs.sum() + batch.actions.sum() + batch.rewards.sum() + batch.next_obs.sum()):
            return
    for name in ("obs", "actions", "rewards", "next_obs"):
        values = getattr(batch, name)
        if not np.isfinite(values).all():
            t, env = np.argwhere(~np.isfinite(values))[0][:2]
            raise TrainingError(f"{name} of environment {env} is not finite after about {step + t * values.shape[1]} steps")


@one_blas_thread
def evaluate(agent, env, episodes=100, seed=0, explore=False, parallel=10, **kwargs):
    """Play `episodes` fresh episodes, episode i seeded with seed + i, and return their returns in that order.

    The environments are new, and nothing in the agent changes but, with `explore`, its random generator. Each of `parallel`
    environments plays a fixed share of the episodes to their end: taking the first ones to *finish* would favour short ones.
    """
    todo = deque(range(episodes))
    envs = [make(env, **kwargs) for _ in range(min(parallel, episodes))]
    returns = np.zeros(episodes)
    playing = []                                                            # [env, episode, observation]
    for e in envs:
        i = todo.popleft()
        playing.append([e, i, e.reset(seed=seed + i)[0]])
    while playing:
        actions = agent.act(np.stack([obs for _, _, obs in playing]), explore)
        for slot, action in zip(list(playing), actions, strict=True):
            e, i, _ = slot
            slot[2], reward, term, trunc, _ = e.step(action)
            returns[i] += reward
            if term or trunc:
                if todo:
                    slot[1] = todo.popleft()
                    slot[2] = e.reset(seed=seed + slot[1])[0]
                else:
                    playing.remove(slot)
    for e in envs:
        e.close()
    return returns
