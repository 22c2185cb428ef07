"""Witnesses: each calls the library's functions in the place of a bug, and returns a number that can be told by hand."""

from typing import Any

import numpy as np

from scratchac import api, distributions, losses, nn, optim, returns
from scratchac.environments.vector import VectorEnv
from scratchac.lab.museum import worlds
from scratchac.training import loops
from scratchac.training.memory import Batch

ONES, ROW = np.ones(1), np.ones((1, 1))


# -- small agents and their data ----------------------------------------------------------------------------------------


def replaying(algorithm: str, env: Any = worlds.Inside, **settings: Any) -> Any:
    """An untrained off-policy agent with little memory."""
    small: dict[str, Any] = {"hidden": (8,), "buffer_size": 100, "batch_size": 8, "learning_starts": 50, "steps": 1_000}
    return api.make_agent(algorithm, env, 0, **(small | settings))


def stored(env: Any, steps: int) -> dict[str, np.ndarray]:
    """What the off-policy loop stores of its first steps."""
    agent = replaying("ddpg", env)
    loops.train(agent, VectorEnv(env, 1, 0), steps, lambda *_: False)
    return {name: array[:steps] for name, array in agent.memory.data.items()}


def arrived(env: Any, steps: int) -> Batch:
    """The Batch that the on-policy loop hands to an agent."""
    agent = api.make_agent("a2c", env, 0, rollout=steps, envs=1, hidden=(8,))
    seen: list[Batch] = []

    def update(batch: Batch) -> dict[str, Any]:
        seen.append(batch)
        agent.step += steps
        return {}

    agent.update = update  # type: ignore[method-assign]
    loops.train(agent, VectorEnv(env, 1, 0), steps, lambda *_: False)
    return seen[0]


def stopped(env: Any = worlds.TurnedCounter) -> float:
    """Terms that the off-policy loop stores for a time limit."""
    return float(stored(env, 3)["term"].sum())


# -- data ---------------------------------------------------------------------------------------------------------------


def terms_of_a_limit() -> float:
    """Terms that the on-policy loop hands on for a time limit."""
    return float(arrived(worlds.Counter, 3).term.sum())


def largest_step_stored() -> float:
    """The largest s′ − s that the off-policy loop stores of a Counter."""
    rows = stored(worlds.TurnedCounter, 5)
    return float((rows["next_obs"] - rows["obs"]).max())


def step_handed_on() -> float:
    """s′ − s of a Counter, in what the on-policy loop hands on."""
    batch = arrived(worlds.Counter, 2)
    return float((batch.next_obs - batch.obs).mean())


def actions_not_taken() -> float:
    """The share of actions handed on that are not the ones that the environment was given."""
    batch = arrived(worlds.Echo, 40)
    return float((batch.actions != batch.next_obs[..., 0]).mean())


def reward_handed_on() -> float:
    """The reward of an Echo, which is 10, in what the on-policy loop hands on."""
    return float(arrived(worlds.Echo, 1).rewards[0, 0])


def different_seeds() -> float:
    """The number of different seeds of four environments."""
    return len(set(VectorEnv(worlds.Match, 4, 0).seeds))


def largest_action() -> float:
    """The sample of N(0, 1) for ε = 3."""
    box = np.array([-1.0], np.float32), np.array([1.0], np.float32)
    return float(distributions.Gaussian(*box).sample(np.zeros((1, 2)), np.array([[3.0]]))[0, 0])


# -- estimates ------------------------------------------------------------------------------------------------------------


def target_at_the_end() -> float:
    """The target of a terminal step with r = 1, V(s′) = 10 and γ = 0.9."""
    return float(returns.td_target(ROW, 10 * ROW, ROW, 0.9)[0, 0])


def last_advantage() -> float:
    """GAE's last row of two, with r = 1, V = ½ everywhere and γ = 0.9: δ = 1 + 0.45 − 0.5."""
    ones, zeros = np.ones((2, 1)), np.zeros((2, 1))
    return float(returns.gae(ones, ones / 2, ones / 2, zeros, zeros, 0.9, 0.95)[-1, 0])


def endless_clock(gamma: float = 0.99) -> float:
    """V after 2,000 backups V ← 1 + γV of a Clock."""
    v = np.zeros((1, 1))
    for _ in range(2_000):
        v = returns.td_target(ROW, v, 0 * ROW, gamma)
    return float(v[0, 0])


def _actor_critic() -> Any:
    agent: Any = api.make_agent("actor-critic", worlds.Levers, 0, hidden=(8,), actor_lr=0.1, critic_lr=0.1, gamma=0.9)
    agent.model.w["W2"][:] = 0
    return agent


def _one_step(reward: float) -> Batch:
    return Batch(np.ones((1, 1, 1)), np.zeros((1, 1), int), reward * ROW, np.ones((1, 1, 1)), 0 * ROW, 0 * ROW, 0 * ROW)


def actor_follows_delta() -> float:
    """How much longer the actor's step is for r = 2 than for r = 1, where V = 0."""
    sizes = []
    for reward in (1.0, 2.0):
        agent = _actor_critic()
        before = agent.model.theta.flat.copy()
        agent.update(_one_step(reward))
        sizes.append(np.linalg.norm(agent.model.theta.flat - before))
    return float(sizes[1] / sizes[0])


def critic_step_of_its_bias() -> float:
    """The step of the critic's last bias, divided by η δ, where s′ = s and γ = 0.9."""
    agent = _actor_critic()
    agent.update(_one_step(1.0))
    return float(agent.model.w["b2"][0] / 0.1)


# -- losses -----------------------------------------------------------------------------------------------------------------


def gradient_of_the_first_row() -> float:
    """∂L/∂log π of the first row of two, with advantages 1 and −1."""
    return float(losses.policy_gradient(np.zeros(2), np.array([1.0, -1.0]))[1][0]) + 0.0


def gradient_of_one_of_four() -> float:
    """∂L/∂log π of the first row of four, with advantages 1."""
    return float(losses.policy_gradient(np.zeros(4), np.ones(4))[1][0])


def loss_of_a_perfect_critic() -> float:
    """The largest ∂L/∂q of two critics that give exactly their targets, 0 and 1."""
    q = np.array([[0.0, 1.0], [0.0, 1.0]])
    return float(losses.stacked_mse(q, q[0])[1].max())


def entropy_gradient() -> float:
    """∂L/∂H of one row, with the coefficient 0.1."""
    return float(losses.entropy_bonus(ONES, 0.1)[1][0])


def surrogate_of_a_bad_action() -> float:
    """∂L/∂log π for ρ = 2 and A = −1, where the clip does not bind."""
    return float(losses.clipped_surrogate(np.log(2 * ONES), 0 * ONES, -ONES, 0.2)[1][0])


def surrogate_of_a_good_action() -> float:
    """∂L/∂log π for ρ = 2 and A = 1, where the clip binds."""
    return float(losses.clipped_surrogate(np.log(2 * ONES), 0 * ONES, ONES, 0.2)[1][0])


def deviation_of_advantages() -> float:
    """The standard deviation of the advantages 0 and 20 when they reach the loss."""
    agent: Any = api.make_agent("ppo", worlds.Levers, 0, hidden=(8,), rollout=8, envs=1, batch_size=8)
    seen: list[np.ndarray] = []

    def keep(*rows: Any) -> dict[str, Any]:
        seen.append(rows[4])
        return {}

    two = np.zeros(2, np.float32)
    agent.minibatch_step(np.ones((2, 1), np.float32), np.zeros(2, int), two, two, np.array([0.0, 20.0]), agent.schedules(0), keep)
    return float(seen[0].std())


# -- networks ---------------------------------------------------------------------------------------------------------------


def sum_of_the_score() -> float:
    """Σⱼ ∂log π(a)/∂yⱼ of a softmax, which is 1 − Σⱼ πⱼ."""
    dist = distributions.Categorical(3)
    cache = dist.evaluate(np.array([[1.0, 2.0, 3.0]]), np.array([1]))[2]
    return round(float(dist.backward(cache, np.ones(1), np.zeros(1)).sum()), 12) + 0.0


def different_units() -> float:
    """The number of different hidden units, of eight, after initialisation."""
    net = nn.MLP((4, 8, 2))
    params = nn.Parameters(net.shapes(), np.float64)
    net.initialise(params, np.random.default_rng(0))
    return np.unique(params["W1"], axis=1).shape[1]


def slope_at_two() -> float:
    """∂L/∂x of y = tanh(x) at x = 2, from ∂L/∂y = 1: 1 − tanh²(2)."""
    x = 2 * ROW
    y = nn.linear(x, ROW, 0 * ONES, "tanh")
    dx = nn.linear_backward(ROW, x, y, ROW, "tanh", np.zeros((1, 1)), np.zeros(1))
    assert dx is not None
    return float(dx[0, 0])


def bias_of_three_rows() -> float:
    """∂L/∂b of three rows, each with ∂L/∂z = 1."""
    db = np.zeros(1)
    nn.linear_backward(np.ones((3, 1)), np.ones((3, 1)), None, ROW, "identity", np.zeros((1, 1)), db)
    return float(db[0])


def second_backward() -> float:
    """∂L/∂W of the same batch a second time, divided by that of the first time."""
    dW, db, x = np.zeros((1, 1)), np.zeros(1), np.ones((3, 1))
    seen = []
    for _ in range(2):
        nn.linear_backward(np.ones((3, 1)), x, None, ROW, "identity", dW, db)
        seen.append(float(dW[0, 0]))
    return seen[1] / seen[0]


def first_step_of_adam() -> float:
    """The size of Adam's first step, with the learning rate 1."""
    p = np.zeros(1)
    optim.Adam(p).step(ONES, 1.0)
    return float(-p[0])


def target_moves(tau: float = 0.005) -> float:
    """A target network's parameter after one update, from 0 towards 1."""
    target = np.zeros(1)
    optim.polyak(target, ONES, tau)
    return float(target[0])
