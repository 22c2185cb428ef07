"""From an observation to an action and a value: networks, the distribution over actions, and one flat parameter vector.

Architectures with one interface, so that an algorithm's file does not care which it was given:

    SeparateBodies      actor  s → y            critic  s → v
    SharedBody          one network  s → [y | v], the last layer split into two heads
    SharedEncoder       pictures: an encoder  s → x, an actor  x → y and a critic  x → v

The first two mask illegal actions if told where the mask is: `masked` is the number of actions, or 0 for no mask.
"""

import numpy as np

from scratchac.conv import side_by_side
from scratchac.errors import UserError
from scratchac.nn import MLP, Parameters

ILLEGAL = -1e9              # a logit whose exp is exactly 0, in float32 too, but finite, so that 0 · log π is 0 and not NaN


def mask_illegal(y, s, n):
    """Logits y (B, n) without the illegal actions: the last n features of s (B, O) are 1 for legal ones and 0 for others.

        y′ⱼ = yⱼ if j is legal, else c        π(j) = exp(y′ⱼ) / Σᵢ exp(y′ᵢ) = exp(yⱼ) / Σ_{i legal} exp(yᵢ), or exactly 0

    for c = −10⁹ (Huang & Ontañón 2022). Multiplying y by the mask would leave an illegal action a weight of exp(0) = 1.

    Backward: ∂L/∂yⱼ = ∂L/∂y′ⱼ where j is legal, else 0, for c is constant. `Categorical.backward` gives just that, with no line
    here: its ∂H/∂y′ⱼ = −πⱼ(log πⱼ + H) has the factor πⱼ = 0, and so has ∂log π(a)/∂y′ⱼ = 1[j = a] − πⱼ, as a is legal.

    Raises UserError for a row whose mask is none.
    """
    mask = s[:, -n:]
    legal = mask == 1
    if not legal.any(axis=1).all() or not (legal | (mask == 0)).all():
        row = int(np.flatnonzero(~legal.any(axis=1) | ~(legal | (mask == 0)).all(axis=1))[0])
        raise UserError(f"row {row} of the observations: its last {n} features must be 1 for legal actions, one at least, and 0 "
                        f"for the others, not {mask[row].tolist()}")
    return np.where(legal, y, y.dtype.type(ILLEGAL))


def mask_size(config, dist, space):
    """How many features the mask of a config has, 0 without one. Raises UserError where there can be no mask."""
    if not config.action_mask:
        return 0
    if not hasattr(dist, "n"):
        raise UserError("--action-mask says which of n actions are legal, so the actions must be Discrete")
    if config.normalise_obs:
        raise UserError("--action-mask reads zeros and ones from the observations, and --normalise-obs would change them")
    if len(space.shape) != 1 or space.shape[0] < dist.n:
        raise UserError(f"--action-mask reads the last {dist.n} features of an observation, and its shape is {space.shape}")
    return dist.n


class SeparateBodies:
    """An actor and a critic that share nothing but the flat vector [θ | w] which holds both."""

    def __init__(self, inputs, dist, values, hidden, activation, initialiser, rng, dtype=np.float32, masked=0):
        self.masked = masked
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
        y = self.actor.forward(self.theta, s)[0]
        return mask_illegal(y, s, self.masked) if self.masked else y

    def value(self, s):
        return self.critic.forward(self.w, s)[0]

    def forward(self, s):
        """s (B, O) → y (B, outputs), v (B, values), cache."""
        y, actor_cache = self.actor.forward(self.theta, s)
        y = mask_illegal(y, s, self.masked) if self.masked else y
        v, critic_cache = self.critic.forward(self.w, s)
        return y, v, (actor_cache, critic_cache)

    def backward(self, cache, dy, dv):
        """Fill `grad`. The two losses meet nowhere."""
        self.actor.backward(self.theta, cache[0], dy, self.dtheta)
        self.critic.backward(self.w, cache[1], dv, self.dw)


class SharedBody:
    """One network with both heads: features are learnt once, and the two losses pull on the same weights."""

    def __init__(self, inputs, dist, values, hidden, activation, initialiser, rng, dtype=np.float32, masked=0):
        self.outputs, self.masked = dist.outputs, masked
        mean_outputs = dist.outputs - dist.constants
        self.net = MLP((inputs, *hidden, mean_outputs + values), activation, constants=dist.constants)
        self.params = Parameters(self.net.shapes(), dtype)
        self.grads = self.params.zeros_like()
        self.flat, self.grad = self.params.flat, self.grads.flat
        self.groups = (slice(None),)
        gains = np.array([0.01] * mean_outputs + [1.0] * values)                # one gain per output: small for the policy
        self.net.initialise(self.params, rng, initialiser, output_gain=gains)

    def policy(self, s):
        y = self.net.forward(self.params, s)[0][:, : self.outputs]
        return mask_illegal(y, s, self.masked) if self.masked else y

    def value(self, s):
        return self.net.forward(self.params, s)[0][:, self.outputs :]

    def forward(self, s):
        """s (B, O) → y (B, outputs), v (B, values), cache."""
        out, cache = self.net.forward(self.params, s)
        y, v = out[:, : self.outputs], out[:, self.outputs :]
        return mask_illegal(y, s, self.masked) if self.masked else y, v, cache

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
    shape        of one observation
    normaliser   ObservationNormaliser, or None
    """

    def __init__(self, dist, policy, shape, rng, normaliser=None, dtype=np.float32):
        self.dist, self.policy, self.observation_shape, self.rng = dist, policy, shape, rng
        self.normaliser, self.dtype = normaliser, dtype

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
    greedy unless `explore`. Raises UserError for observations of another shape.
    """
    obs, shape = np.asarray(obs), agent.observation_shape
    several = obs.ndim == len(shape) + 1
    if obs.shape[several:] != shape or obs.dtype.kind not in "fiub":
        raise UserError(f"observations are numbers of shape {shape}, or several of these, not {obs.dtype} of shape {obs.shape}")
    actions = agent.to_env((agent.sample if explore else agent.greedy)(obs if several else obs[None]))
    return actions if several else actions[0]
