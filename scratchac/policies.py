"""From an observation to an action and a value: networks, the distribution over actions, and one flat parameter vector.

Architectures with one interface, so that an algorithm's file does not care which it was given:

    SeparateBodies      actor  s → y            critic  s → v
    SharedBody          one network  s → [y | v], the last layer split into two heads
    SharedEncoder       pictures: an encoder  s → x, an actor  x → y and a critic  x → v
"""

import numpy as np

from scratchac.conv import side_by_side
from scratchac.nn import MLP, Parameters


class SeparateBodies:
    """An actor and a critic that share nothing but the flat vector [θ | w] which holds both."""

    def __init__(self, inputs, dist, values, hidden, activation, initialiser, rng, dtype=np.float32):
        self.actor = MLP((inputs, *hidden, dist.outputs - dist.constants), activation, constants=dist.constants)
        self.critic = MLP((inputs, *hidden, values), activation)
        shapes = self.actor.shapes(), self.critic.shapes()
        a, c = (Parameters(s, dtype) for s in shapes)
        self.flat, self.grad = (np.zeros(a.flat.size + c.flat.size, dtype) for _ in range(2))
        self.groups = slice(0, a.flat.size), slice(a.flat.size, None)           # (actor, critic) in the flat vector
        self.theta, self.w = (Parameters(s, flat=self.flat[g]) for s, g in zip(shapes, self.groups, strict=True))
        self.dtheta, self.dw = (Parameters(s, flat=self.grad[g]) for s, g in zip(shapes, self.groups, strict=True))
        # A small last layer of the actor: the first policy is near uniform, whatever the state.
        self.actor.initialise(self.theta, rng, initialiser, output_gain=0.01)
        self.critic.initialise(self.w, rng, initialiser)

    def policy(self, s):
        return self.actor.forward(self.theta, s)[0]

    def value(self, s):
        return self.critic.forward(self.w, s)[0]

    def forward(self, s):
        """s (B, O) → y (B, outputs), v (B, values), cache."""
        y, actor_cache = self.actor.forward(self.theta, s)
        v, critic_cache = self.critic.forward(self.w, s)
        return y, v, (actor_cache, critic_cache)

    def backward(self, cache, dy, dv):
        """Fill `grad`. The two losses meet nowhere."""
        self.actor.backward(self.theta, cache[0], dy, self.dtheta)
        self.critic.backward(self.w, cache[1], dv, self.dw)


class SharedBody:
    """One network with both heads: features are learnt once, and the two losses pull on the same weights."""

    def __init__(self, inputs, dist, values, hidden, activation, initialiser, rng, dtype=np.float32):
        self.outputs = dist.outputs
        mean_outputs = dist.outputs - dist.constants
        self.net = MLP((inputs, *hidden, mean_outputs + values), activation, constants=dist.constants)
        self.params = Parameters(self.net.shapes(), dtype)
        self.grads = self.params.zeros_like()
        self.flat, self.grad = self.params.flat, self.grads.flat
        self.groups = (slice(None),)
        gains = np.array([0.01] * mean_outputs + [1.0] * values)                # one gain per output: small for the policy
        self.net.initialise(self.params, rng, initialiser, output_gain=gains)

    def policy(self, s):
        return self.net.forward(self.params, s)[0][:, : self.outputs]

    def value(self, s):
        return self.net.forward(self.params, s)[0][:, self.outputs :]

    def forward(self, s):
        """s (B, O) → y (B, outputs), v (B, values), cache."""
        out, cache = self.net.forward(self.params, s)
        return out[:, : self.outputs], out[:, self.outputs :], cache

    def backward(self, cache, dy, dv):
        """Fill `grad`: ∂L/∂body is the sum of what both heads send down."""
        self.net.backward(self.params, cache, np.concatenate([dy, dv], axis=-1), self.grads)


class SharedEncoder:
    """An encoder of pictures that both losses train, and on its features an actor and a critic of their own: [φ | θ | w]."""

    def __init__(self, encoder, dist, values, hidden, activation, initialiser, rng, dtype=np.float32):
        self.encoder = encoder
        self.actor = MLP((encoder.features, *hidden, dist.outputs - dist.constants), activation, constants=dist.constants)
        self.critic = MLP((encoder.features, *hidden, values), activation)
        parts = [network.shapes() for network in (encoder, self.actor, self.critic)]
        self.flat, (self.phi, self.theta, self.w) = side_by_side(parts, dtype)
        self.grad, (self.dphi, self.dtheta, self.dw) = side_by_side(parts, dtype)
        self.groups = (slice(None),)
        encoder.initialise(self.phi, rng, initialiser)
        self.actor.initialise(self.theta, rng, initialiser, output_gain=0.01)
        self.critic.initialise(self.w, rng, initialiser)

    def policy(self, s):
        return self.actor.forward(self.theta, self.encoder.forward(self.phi, s)[0])[0]

    def value(self, s):
        return self.critic.forward(self.w, self.encoder.forward(self.phi, s)[0])[0]

    def forward(self, s):
        """s (B, C, H, W) → y (B, outputs), v (B, values), cache."""
        x, seen = self.encoder.forward(self.phi, s)
        y, actor_cache = self.actor.forward(self.theta, x)
        v, critic_cache = self.critic.forward(self.w, x)
        return y, v, (seen, actor_cache, critic_cache)

    def backward(self, cache, dy, dv):
        """Fill `grad`: ∂L/∂features is the sum of what both heads send down."""
        dx = self.actor.backward(self.theta, cache[1], dy, self.dtheta, input_gradient=True)
        dx = dx + self.critic.backward(self.w, cache[2], dv, self.dw, input_gradient=True)
        self.encoder.backward(self.phi, cache[0], dx, self.dphi)


class Behaviour:
    """How an agent acts: normalise what it sees, ask the network, draw from the distribution.

    policy       function from normalised observations (B, O) to distribution parameters (B, outputs)
    normaliser   ObservationNormaliser, or None
    """

    def __init__(self, dist, policy, rng, normaliser=None, dtype=np.float32):
        self.dist, self.policy, self.rng, self.normaliser, self.dtype = dist, policy, rng, normaliser, dtype

    def see(self, obs):
        """Observations of any leading shape, normalised if the agent normalises, in the dtype of the networks; pictures as they
        are, for an encoder to scale.
        """
        if self.normaliser is not None:
            obs = self.normaliser(obs)
        return np.asarray(obs, np.uint8 if obs.dtype == np.uint8 else self.dtype)

    def sample(self, obs):
        """Raw actions for N observations (N, O), as an on-policy agent stores them."""
        return self.dist.sample(self.policy(self.see(obs)), self.dist.noise(self.rng, len(obs)))

    def greedy(self, obs):
        """The most likely raw actions for N observations (N, O)."""
        return self.dist.mode(self.policy(self.see(obs)))

    def to_env(self, actions):
        return self.dist.to_env(actions)

    def act(self, obs, explore=True):
        return act(self, obs, explore)


def act(agent, obs, explore=True):
    """Actions an environment accepts, for one observation, (O,) or a picture of three axes, or several, one axis more: sampled, or
    greedy unless `explore`.
    """
    obs = np.asarray(obs)
    several = obs.ndim in (2, 4)
    actions = agent.to_env((agent.sample if explore else agent.greedy)(obs if several else obs[None]))
    return actions if several else actions[0]
