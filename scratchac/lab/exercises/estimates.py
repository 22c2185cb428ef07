"""Exercises on returns and advantages, and on the transitions that a replay buffer keeps."""

from typing import Any

import gymnasium as gym
import numpy as np

from scratchac import returns
from scratchac.lab.exercises.exercise import Exercise, Training
from scratchac.training.memory import ReplayBuffer

STEPS = {
    "r": "(T, N)  rewards of T steps in N environments",
    "v": "(T, N)  V(sₜ)",
    "v_next": "(T, N)  V(s′ₜ), where s′ₜ is the observation that really followed",
    "term": "(T, N)  1 where the episode ended in a terminal state",
    "done": "(T, N)  1 where the episode ended, in a terminal state or at a time limit",
    "gamma": "number  γ",
}


def steps(rng: np.random.Generator) -> dict[str, Any]:
    """Random arrays for six steps of four environments, in which episodes end in both ways."""
    T, N = 6, 4
    term = (rng.random((T, N)) < 0.2) * 1.0
    done = np.maximum(term, rng.random((T, N)) < 0.2)
    r, v, v_next = rng.standard_normal((3, T, N))
    return {"r": r, "v": v, "v_next": v_next, "term": term, "done": done, "gamma": 0.9, "lam": 0.8, "n": int(rng.integers(2, 5))}


def some(*names: str) -> Any:
    """A function that draws these of `steps`."""
    return lambda rng: tuple(steps(rng)[name] for name in names)


def given(*names: str, **others: str) -> dict[str, str]:
    """Parameter → meaning for these of STEPS, and others."""
    return {name: STEPS[name] for name in names} | others


def discounted_return(r: np.ndarray, done: np.ndarray, gamma: float) -> np.ndarray:
    """The Monte-Carlo return without a critic: nothing is known of what follows a time limit."""
    return returns.monte_carlo(r, np.zeros_like(r), done, done, gamma)


DISCOUNTED_RETURN = Exercise(
    "discounted-return", 10, "the return of every step, from the last to the first",
    "The return of a step is the sum of all rewards from this step on, each discounted by how much later it comes. It ends with "
    "the episode: the next row belongs to another one. One pass from the last step to the first computes all returns.",
    "Gₜ = rₜ + γrₜ₊₁ + γ²rₜ₊₂ + … = rₜ + γ(1 − doneₜ)Gₜ₊₁",
    given("r", "done", "gamma"), {"g": "(T, N)"}, some("r", "done", "gamma"), discounted_return,
    "The return is a recursion",
    {
        "the rewards are not discounted": (returns.monte_carlo, "gamma * (1 - done))", "(1 - done))"),
        "the return runs on into the next episode": (returns.monte_carlo, "gamma * (1 - done))", "gamma + 0 * done)"),
        "each reward is discounted once too often: the first one is rₜ, not γrₜ": (
            returns.monte_carlo, "reverse_scan(r + ", "reverse_scan(gamma * r + "),
        "the sum runs forwards: it has the rewards before a step instead of those after it": (
            returns.reverse_scan, "range(len(x) - 1, -1, -1)", "range(len(x))"),
        "the return is multiplied by γᵗ besides": (
            returns.monte_carlo, "gamma * (1 - done))", "gamma * (1 - done)) * gamma ** np.arange(len(r))[:, None]"),
        "the last row is missing: its return is its reward, not 0": (
            discounted_return, "monte_carlo(r, ", "monte_carlo(np.concatenate([r[:-1], 0 * r[-1:]]), "),
    },
    lines=(returns.monte_carlo, returns.reverse_scan),
    training=Training("reinforce", "CartPole-v1", 30_000, returns.monte_carlo,
                      lambda mine: lambda r, v_next, term, done, gamma: mine(r, done, gamma)),
)

N_STEP = Exercise(
    "n-step", 20, "n rewards, then the bootstrap",
    "After n rewards the critic's value stands for the rest: the bootstrap. Where the episode or the rows end earlier, the sum is "
    "shorter, and the value of the observation that really followed the last reward stands for the rest. Nothing follows a "
    "terminal state. A time limit ends the sum, but the value of s′ still counts.",
    "Gₜ⁽¹⁾   = rₜ + γ(1 − termₜ)V(s′ₜ)\n"
    "Gₜ⁽ᵏ⁺¹⁾ = Gₜ⁽¹⁾ if doneₜ, and in the last row;  else rₜ + γGₜ₊₁⁽ᵏ⁾",
    given("r", "v_next", "term", "done", "gamma", n="whole number  n, at least 1"), {"g": "(T, N)"},
    some("r", "v_next", "term", "done", "gamma", "n"), returns.n_step, "The bias of k steps",
    {
        "the bootstrap is cut at `done` instead of `term`: a time limit is treated as an ending": (
            returns.n_step, "td_target(r, v_next, term, gamma)", "td_target(r, v_next, done, gamma)"),
        "the bootstrap is not cut at a terminal state": (
            returns.n_step, "td_target(r, v_next, term, gamma)", "td_target(r, v_next, 0 * term, gamma)"),
        "the sum runs on into the next episode": (
            returns.n_step, "np.where(done[:-1] > 0, one_step[:-1], r[:-1] + gamma * g[1:])", "r[:-1] + gamma * g[1:]"),
        "the sum is cut at `term` instead of `done`: it runs on into the next episode after a time limit": (
            returns.n_step, "done[:-1] > 0", "term[:-1] > 0"),
        "there is one reward too many (n + 1)": (returns.n_step, "min(n, len(r)) - 1", "min(n + 1, len(r)) - 1"),
        "there is one reward too few (n − 1)": (returns.n_step, "min(n, len(r)) - 1", "min(n, len(r)) - 2"),
        "the later rewards are not discounted": (returns.n_step, "r[:-1] + gamma * g[1:]", "r[:-1] + g[1:]"),
    },
    training=Training("a2c", "CartPole-v1", 30_000, returns.n_step, options={"advantage": "nstep"}),
)

GAE = Exercise(
    "gae", 20, "generalised advantage estimation, and its two masks",
    "The TD error δ says how much better a step was than the critic had expected. The advantage adds the later TD errors of the "
    "same episode, with weights (γλ)ᵏ. Two masks are easily confused: a terminal state cuts the bootstrap γV(s′), the critic's "
    "value in the place of all later rewards, since nothing follows; the end of an episode, of either kind, cuts the sum, since "
    "the next row belongs to another episode. The sum also ends with the rows.",
    "δₜ = rₜ + γ(1 − termₜ)V(s′ₜ) − V(sₜ)\n"
    "Âₜ = δₜ + γλ(1 − doneₜ)Âₜ₊₁,  with 0 for the Â after the last row",
    given("r", "v", "v_next", "term", "done", "gamma", lam="number  λ"), {"adv": "(T, N)"},
    some("r", "v", "v_next", "term", "done", "gamma", "lam"), returns.gae, "Two masks: terminal, and done",
    {
        "the bootstrap is cut at `done` instead of `term`: a time limit is treated as an ending": (
            returns.gae, "td_target(r, v_next, term, gamma)", "td_target(r, v_next, done, gamma)"),
        "the bootstrap is not cut at a terminal state": (
            returns.gae, "td_target(r, v_next, term, gamma)", "td_target(r, v_next, 0 * term, gamma)"),
        "the recursion is cut at `term` instead of `done`: it runs on into the next episode after a time limit": (
            returns.gae, "lam * (1 - done)", "lam * (1 - term)"),
        "λ is missing in the recursion": (returns.gae, "gamma * lam * (1 - done)", "gamma * (1 - done)"),
        "γ is missing in the recursion: the weights are (γλ)ᵏ, not λᵏ": (
            returns.gae, "gamma * lam * (1 - done)", "lam * (1 - done)"),
        "γ is missing in δ: V(s′) is not discounted": (
            returns.gae, "td_target(r, v_next, term, gamma)", "td_target(r, v_next, term, 1.0)"),
        "the recursion is not cut where an episode ends: it runs on into the next one": (
            returns.gae, "lam * (1 - done)", "lam * (1 - 0 * done)"),
        "−V(s) is missing in δ": (returns.gae, " - v\n", "\n"),
        "the last row is missing: the loop ran over T − 1 rows": (
            returns.gae, "return reverse_scan(delta, ", "delta[-1] = 0\n    return reverse_scan(delta, "),
    },
    lines=(returns.gae, returns.td_target, returns.reverse_scan),
    training=Training("a2c", "CartPole-v1", 30_000, returns.gae),
)


def replay_buffer(capacity: int, s: np.ndarray, last: np.ndarray, a: np.ndarray, r: np.ndarray, term: np.ndarray,
                  trunc: np.ndarray) -> tuple[np.ndarray, ...]:
    """A buffer after all steps have been added, one by one."""
    space = gym.spaces.Box(-np.inf, np.inf, s.shape[1:])
    buffer = ReplayBuffer(capacity, space, a.shape[1:], np.float64, np.float64)
    for t in range(len(r)):
        s2 = last[t] if term[t] or trunc[t] else s[t + 1]
        buffer.add(obs=s[t, None], actions=a[t, None], rewards=r[t, None], next_obs=s2[None], term=term[t, None],
                   trunc=trunc[t, None])
    return tuple(buffer.data[name] for name in ("obs", "actions", "rewards", "next_obs", "term"))


def a_stream(rng: np.random.Generator) -> tuple[Any, ...]:
    """Ten steps of one environment into a buffer of four."""
    T, O, A = 10, 3, 2
    term = (rng.random(T) < 0.3) * 1.0
    trunc = (rng.random(T) < 0.4) * (1 - term)
    last = rng.standard_normal((T, O)) * np.maximum(term, trunc)[:, None]
    return 4, rng.standard_normal((T + 1, O)), last, rng.uniform(-1, 1, (T, A)), rng.standard_normal(T), term, trunc


REPLAY_BUFFER = Exercise(
    "replay-buffer", 25, "a ring of transitions, each with the observation that really followed",
    "A replay buffer keeps the last C transitions: step t is stored in row t mod C, and overwrites what was there. The environment "
    "is reset as soon as an episode ends, so at the end of an episode the next row of `s` is the first observation of another one; "
    "the observation that really followed is in `last`. What is stored as `term` later cuts the bootstrap. There are more than C "
    "steps.",
    "s′ₜ = lastₜ if the episode ended at t, else sₜ₊₁        row = t mod C",
    {"capacity": "whole number  C", "s": "(T + 1, O)  observation before each step, and after the last one",
     "last": "(T, O)  the last observation of an episode that ended at step t; zeros elsewhere", "a": "(T, A)  actions",
     "r": "(T,)  rewards", "term": "(T,)  1 where the episode ended in a terminal state",
     "trunc": "(T,)  1 where a time limit ended it"},
    {"obs": "(C, O)", "actions": "(C, A)", "rewards": "(C,)", "next_obs": "(C, O)", "terminal": "(C,)"}, a_stream, replay_buffer,
    "Two masks: terminal, and done",
    {
        "the next observation is that of the next episode's start, where an episode has ended": (
            replay_buffer, "last[t] if term[t] or trunc[t] else s[t + 1]", "s[t + 1]"),
        "a time limit is stored as a terminal state": (replay_buffer, "term=term[t, None]", "term=term[t, None] + trunc[t, None]"),
        "the last observation is used at terminal states, but not at time limits": (
            replay_buffer, "if term[t] or trunc[t] else", "if term[t] else"),
        "the next observation is the one before the step": (replay_buffer, "else s[t + 1]", "else s[t]"),
        "the last C steps are in the order of time, not at row t mod C": (
            replay_buffer, "tuple(buffer.data[name] for", "tuple(np.roll(buffer.data[name], -buffer.cursor, axis=0) for"),
        "the first steps stay, and the later ones are not stored": (replay_buffer, "range(len(r))", "range(capacity)"),
        "rows are counted from 1: step t is at row (t + 1) mod C": (
            replay_buffer, "tuple(buffer.data[name] for", "tuple(np.roll(buffer.data[name], 1, axis=0) for"),
    },
    lines=(replay_buffer, ReplayBuffer.add),
)
