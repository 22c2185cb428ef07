"""PPO in JAX, rollouts and environments in one compiled program, with the structure and the settings of PureJaxRL, on gymnax.

This code is only timed. Reference: Lu et al. 2022, "Discovered policy optimisation", github.com/luchris429/purejaxrl, ppo.py.
"""

from itertools import pairwise
from typing import Any, NamedTuple

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import optax

HIDDEN = 64, 64
STEPS = 500_000                         # of a training
GAMMA, LAM, CLIP, ENTROPY_COEF, VALUE_COEF, MAX_GRAD_NORM, LR = 0.99, 0.95, 0.2, 0.01, 0.5, 0.5, 2.5e-4


class Rollout(NamedTuple):
    """What T steps of N environments give, each (T, N, …)."""

    obs: Any
    action: Any
    logp: Any
    value: Any
    reward: Any
    done: Any


class Training:
    """A training of one environment.

    envs, rollout, epochs, minibatches    the field's names
    """

    def __init__(self, env, seed, envs=4, rollout=128, epochs=4, minibatches=4):
        self.env, self.params = gymnax.make(env)
        self.envs, self.rollout, self.epochs, self.minibatches = envs, rollout, epochs, minibatches
        self.steps = 0
        updates = STEPS // (envs * rollout)
        rate = optax.linear_schedule(LR, 0.0, updates * epochs * minibatches)
        self.optimiser = optax.chain(optax.clip_by_global_norm(MAX_GRAD_NORM), optax.adam(rate, eps=1e-5))
        key, actor, critic, first = jax.random.split(jax.random.key(seed), 4)
        shape, n = self.env.observation_space(self.params).shape, self.env.action_space(self.params).n
        inputs = int(np.prod(shape))
        theta = {"actor": network(actor, (inputs, *HIDDEN, n), 0.01), "critic": network(critic, (inputs, *HIDDEN, 1), 1.0)}
        obs, state = jax.vmap(self.env.reset, (0, None))(jax.random.split(first, envs), self.params)
        self.carry = theta, self.optimiser.init(theta), state, obs, key
        self.run = jax.jit(lambda carry, n: jax.lax.scan(lambda x, _: (self.update(x), None), carry, None, n)[0], static_argnums=1)

    def advance(self, updates):
        """Make some updates, each with a rollout of its own; another number of updates is compiled anew."""
        self.carry = jax.block_until_ready(self.run(self.carry, updates))
        self.steps += updates * self.envs * self.rollout

    def act(self, obs, explore=False):
        """The actions for several observations, the most probable ones."""
        x = np.asarray(obs, np.float32)
        return np.argmax(np.asarray(forward(self.carry[0]["actor"], x)), axis=-1)

    def update(self, carry):
        """A rollout, and the epochs on it."""
        theta, moments, state, obs, key = carry
        (state, obs, key), seen = jax.lax.scan(lambda x, _: self.step(theta, x), (state, obs, key), None, self.rollout)
        advantages = estimate(seen, forward(theta["critic"], obs)[:, 0])
        batch = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), (seen, advantages))

        def epoch(carry, _):
            theta, moments, key = carry
            key, mine = jax.random.split(key)
            order = jax.random.permutation(mine, self.envs * self.rollout)
            shuffled = jax.tree.map(lambda x: x[order].reshape(self.minibatches, -1, *x.shape[1:]), batch)
            (theta, moments), _ = jax.lax.scan(self.learn, (theta, moments), shuffled)
            return (theta, moments, key), None

        (theta, moments, key), _ = jax.lax.scan(epoch, (theta, moments, key), None, self.epochs)
        return theta, moments, state, obs, key

    def step(self, theta, carry):
        """One step of all environments."""
        state, obs, key = carry
        key, draw, move = jax.random.split(key, 3)
        logits = forward(theta["actor"], obs)
        action = jax.random.categorical(draw, logits)
        logp = jnp.take_along_axis(jax.nn.log_softmax(logits), action[:, None], 1)[:, 0]
        value = forward(theta["critic"], obs)[:, 0]
        keys = jax.random.split(move, self.envs)
        next_obs, state, reward, term, trunc, _ = jax.vmap(self.env.step, (0, 0, 0, None))(keys, state, action, self.params)
        return (state, next_obs, key), Rollout(obs, action, logp, value, reward, term | trunc)

    def learn(self, carry, batch):
        """One step of gradient descent on a minibatch."""
        theta, moments = carry
        gradient = jax.grad(loss)(theta, *batch)
        change, moments = self.optimiser.update(gradient, moments, theta)
        return (optax.apply_updates(theta, change), moments), None


def train(env, seed, watch):
    """Train until `watch(steps, agent)` says that the environment is solved, or to the end of the budget."""
    training = Training(env, seed)
    updates = watch.every // (training.envs * training.rollout) + 1         # one number for all, since each is compiled
    while training.steps < watch.budget:
        training.advance(updates)
        if watch(training.steps, training):
            return


def network(key, sizes, last):
    """Weights and biases, orthogonal, with gain √2 but for the last layer."""
    gains = [2**0.5] * (len(sizes) - 2) + [last]
    keys = jax.random.split(key, len(gains))
    return [(jax.nn.initializers.orthogonal(gain)(key, shape), jnp.zeros(shape[1]))
            for key, gain, shape in zip(keys, gains, pairwise(sizes), strict=True)]


def forward(layers, x):
    """An MLP with tanh."""
    for W, b in layers[:-1]:
        x = jnp.tanh(x @ W + b)
    W, b = layers[-1]
    return x @ W + b


def estimate(seen, last):
    """Generalised advantages (T, N); as in PureJaxRL, a time limit counts as an end."""
    def back(carry, row):
        later, next_value = carry
        _, _, _, value, reward, done = row
        goes_on = GAMMA * (1 - done)
        advantage = reward + goes_on * next_value - value + goes_on * LAM * later
        return (advantage, value), advantage
    return jax.lax.scan(back, (jnp.zeros_like(last), last), seen, reverse=True)[1]


def loss(theta, seen, advantages):
    """The clipped objective, the clipped error of values, and the entropy."""
    log_pi = jax.nn.log_softmax(forward(theta["actor"], seen.obs))
    value = forward(theta["critic"], seen.obs)[:, 0]
    ratio = jnp.exp(jnp.take_along_axis(log_pi, seen.action[:, None], 1)[:, 0] - seen.logp)
    returns = advantages + seen.value
    near = seen.value + jnp.clip(value - seen.value, -CLIP, CLIP)
    error = 0.5 * jnp.maximum((value - returns) ** 2, (near - returns) ** 2).mean()
    advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    gain = jnp.minimum(ratio * advantages, jnp.clip(ratio, 1 - CLIP, 1 + CLIP) * advantages).mean()
    entropy = -(jnp.exp(log_pi) * log_pi).sum(-1).mean()
    return VALUE_COEF * error - gain - ENTROPY_COEF * entropy
