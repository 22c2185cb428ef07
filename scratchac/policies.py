"""From an observation to an action and a value: networks, the distribution over actions, and one flat parameter vector.

Three architectures have one interface (`Model`), so that an algorithm's file does not depend on which of them it uses:

    SeparateBodies      actor  s → y            critic  s → v
    SharedBody          one network  s → [y | v], the last layer split into two heads
    SharedEncoder       pictures: an encoder  s → x, an actor  x → y and a critic  x → v

The first two mask illegal actions if the observations contain a mask: `masked` is its `Mask`, or None.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import DTypeLike

from scratchac.conv import Encoder
from scratchac.distributions import Deterministic, Distribution, TanhGaussian
from scratchac.errors import UserError
from scratchac.nn import MLP, Parameters, side_by_side
from scratchac.normalise import ObservationNormaliser

ILLEGAL = -1e9              # a logit whose exp is exactly 0, in float32 too, but finite, so that 0 · log π is 0 and not NaN


class Mask(NamedTuple):
    """Where observations say which actions are legal: 1 for a legal one, 0 for others."""

    features: slice             # of an observation
    sizes: tuple[int, ...]      # the number of actions or, for several factors, of each factor's choices


def mask_illegal(y: np.ndarray, s: np.ndarray, masked: Mask) -> np.ndarray:
    """Logits y (B, n) without the illegal actions, which the masks in s (B, O) name.

        y′ⱼ = yⱼ if j is legal, else c        π(j) = exp(y′ⱼ) / Σᵢ exp(y′ᵢ) = exp(yⱼ) / Σ_{i legal} exp(yᵢ), or exactly 0

    with c = −10⁹ (Huang & Ontañón 2022). Multiplying y by the mask would give an illegal action a weight of exp(0) = 1. Several
    factors have their logits, and their masks, side by side.

    Backward: ∂L/∂yⱼ = ∂L/∂y′ⱼ where j is legal, else 0, since c is constant. `Categorical.backward` already gives this, so there is
    no code for it here: for an illegal j, πⱼ = 0 makes ∂H/∂y′ⱼ = −πⱼ(log πⱼ + H) zero, and ∂log π(a)/∂y′ⱼ = 1[j = a] − πⱼ as well,
    since a is legal.

    Raises UserError for a row whose features are not a mask.
    """
    mask = s[:, masked.features]
    legal = mask == 1
    starts = np.cumsum((0, *masked.sizes[:-1]))
    sound = (legal | (mask == 0)).all(axis=1) & np.logical_or.reduceat(legal, starts, axis=1).all(axis=1)
    if not sound.all():
        row = int(np.flatnonzero(~sound)[0])
        each = "" if len(masked.sizes) == 1 else f" of each of the factors of {', '.join(map(str, masked.sizes))} choices"
        raise UserError(f"row {row} of the observations: the mask must be 1 for legal actions, one at least{each}, and 0 for the "
                        f"others, not {mask[row].tolist()}")
    return np.where(legal, y, y.dtype.type(ILLEGAL))


class Networks(NamedTuple):
    """An agent's actor and critic as plain networks, for code outside the agent: export, self-play, tests."""

    actor: MLP
    theta: Parameters
    critic: MLP | None
    w: Parameters | None
    values: Literal["V(s)", "Q(s)", "Q(s, a)"] = "V(s)"
    policy_outputs: slice = slice(None)     # the columns of the actor's outputs (without constants) that are the policy's
    value_outputs: slice = slice(0, 1)      # the columns of the critic's outputs that are values


class Settings(Protocol):
    """The fields of an algorithm's config that a model reads."""

    @property
    def hidden(self) -> tuple[int, ...]:
        """Sizes of the hidden layers."""
    @property
    def activation(self) -> str:
        """Activation of the hidden layers."""
    @property
    def initialiser(self) -> str:
        """Initialiser of the weights."""


class Model(Protocol):
    """Actor and critic over one flat vector."""

    flat: np.ndarray                        # parameters (P,)
    grad: np.ndarray                        # ∂L/∂flat (P,)
    groups: tuple[slice, ...]               # slices of the flat vector: (actor, critic), or one for everything

    def policy(self, s: np.ndarray) -> np.ndarray:
        """y (B, outputs): the distribution's parameters at s (B, O)."""

    def value(self, s: np.ndarray) -> np.ndarray:
        """v (B, values) at s (B, O)."""

    def forward(self, s: np.ndarray) -> tuple[np.ndarray, np.ndarray, Any]:
        """y (B, outputs), v (B, values), and the cache for `backward`."""

    def backward(self, cache: Any, dy: np.ndarray, dv: np.ndarray) -> None:
        """Fill `grad` from ∂L/∂y and ∂L/∂v."""

    def networks(self) -> Networks:
        """Actor and critic as plain networks."""


class SeparateBodies:
    """An actor and a critic that share only the flat vector [θ | w], which holds the parameters of both."""

    def __init__(self, inputs: int, dist: Distribution, values: int, config: Settings, rng: np.random.Generator,
                 dtype: DTypeLike = np.float32, masked: Mask | None = None):
        self.masked = masked
        self.actor = MLP((inputs, *config.hidden, dist.outputs - dist.constants), config.activation, constants=dist.constants)
        self.critic = MLP((inputs, *config.hidden, values), config.activation)
        parts = [self.actor.shapes(), self.critic.shapes()]
        self.flat, (self.theta, self.w) = side_by_side(parts, dtype)
        self.grad, (self.dtheta, self.dw) = side_by_side(parts, dtype)
        self.groups: tuple[slice, ...] = slice(0, self.theta.flat.size), slice(self.theta.flat.size, None)
        # The actor's last layer is small, so that the first policy is nearly uniform in every state.
        self.actor.initialise(self.theta, rng, config.initialiser, output_gain=0.01)
        self.critic.initialise(self.w, rng, config.initialiser)

    def policy(self, s: np.ndarray) -> np.ndarray:
        """y (B, outputs) at s (B, O)."""
        y = self.actor.forward(self.theta, s)[0]
        return mask_illegal(y, s, self.masked) if self.masked else y

    def value(self, s: np.ndarray) -> np.ndarray:
        """v (B, values) at s (B, O)."""
        return self.critic.forward(self.w, s)[0]

    def forward(self, s: np.ndarray) -> tuple[np.ndarray, np.ndarray, Any]:
        """s (B, O) → y (B, outputs), v (B, values), cache."""
        y, actor_cache = self.actor.forward(self.theta, s)
        y = mask_illegal(y, s, self.masked) if self.masked else y
        v, critic_cache = self.critic.forward(self.w, s)
        return y, v, (actor_cache, critic_cache)

    def backward(self, cache: Any, dy: np.ndarray, dv: np.ndarray) -> None:
        """Fill `grad`. The two losses have no parameters in common."""
        self.actor.backward(self.theta, cache[0], dy, self.dtheta)
        self.critic.backward(self.w, cache[1], dv, self.dw)

    def networks(self) -> Networks:
        """Actor and critic as plain networks."""
        return Networks(self.actor, self.theta, self.critic, self.w)


class SharedBody:
    """One network with two heads: they share the features, and the gradients of both losses add up in the shared weights."""

    def __init__(self, inputs: int, dist: Distribution, values: int, config: Settings, rng: np.random.Generator,
                 dtype: DTypeLike = np.float32, masked: Mask | None = None):
        self.outputs = dist.outputs
        self.masked = masked
        mean_outputs = dist.outputs - dist.constants
        self.net = MLP((inputs, *config.hidden, mean_outputs + values), config.activation, constants=dist.constants)
        self.params = Parameters(self.net.shapes(), dtype)
        self.grads = self.params.zeros_like()
        self.flat = self.params.flat
        self.grad = self.grads.flat
        self.groups: tuple[slice, ...] = (slice(None),)
        gains = np.array([0.01] * mean_outputs + [1.0] * values)                # one gain per output: small for the policy
        self.net.initialise(self.params, rng, config.initialiser, output_gain=gains)

    def policy(self, s: np.ndarray) -> np.ndarray:
        """y (B, outputs) at s (B, O)."""
        y = self.net.forward(self.params, s)[0][:, : self.outputs]
        return mask_illegal(y, s, self.masked) if self.masked else y

    def value(self, s: np.ndarray) -> np.ndarray:
        """v (B, values) at s (B, O)."""
        return self.net.forward(self.params, s)[0][:, self.outputs :]

    def forward(self, s: np.ndarray) -> tuple[np.ndarray, np.ndarray, Any]:
        """s (B, O) → y (B, outputs), v (B, values), cache."""
        out, cache = self.net.forward(self.params, s)
        y, v = out[:, : self.outputs], out[:, self.outputs :]
        return mask_illegal(y, s, self.masked) if self.masked else y, v, cache

    def backward(self, cache: Any, dy: np.ndarray, dv: np.ndarray) -> None:
        """Fill `grad`: ∂L/∂body is the sum of the gradients from both heads."""
        self.net.backward(self.params, cache, np.concatenate([dy, dv], axis=-1), self.grads)

    def networks(self) -> Networks:
        """Actor and critic: the same network, with separate output columns for each head."""
        heads = self.outputs - self.net.constants
        return Networks(self.net, self.params, self.net, self.params, "V(s)", slice(heads), slice(heads, heads + 1))


class SharedEncoder:
    """An encoder of pictures, trained by both losses, with a separate actor and critic on its features: [φ | θ | w]."""

    def __init__(self, encoder: Encoder, dist: Distribution, values: int, config: Settings, rng: np.random.Generator,
                 dtype: DTypeLike = np.float32):
        self.encoder = encoder
        self.actor = MLP((encoder.features, *config.hidden, dist.outputs - dist.constants), config.activation,
                         constants=dist.constants)
        self.critic = MLP((encoder.features, *config.hidden, values), config.activation)
        parts = [encoder.shapes(), self.actor.shapes(), self.critic.shapes()]
        self.flat, (self.phi, self.theta, self.w) = side_by_side(parts, dtype)
        self.grad, (self.dphi, self.dtheta, self.dw) = side_by_side(parts, dtype)
        self.groups: tuple[slice, ...] = (slice(None),)
        encoder.initialise(self.phi, rng, config.initialiser)
        self.actor.initialise(self.theta, rng, config.initialiser, output_gain=0.01)
        self.critic.initialise(self.w, rng, config.initialiser)

    def policy(self, s: np.ndarray) -> np.ndarray:
        """y (B, outputs) at pictures s (B, C, H, W)."""
        return self.actor.forward(self.theta, self.encoder.forward(self.phi, s)[0])[0]

    def value(self, s: np.ndarray) -> np.ndarray:
        """v (B, values) at pictures s (B, C, H, W)."""
        return self.critic.forward(self.w, self.encoder.forward(self.phi, s)[0])[0]

    def forward(self, s: np.ndarray) -> tuple[np.ndarray, np.ndarray, Any]:
        """s (B, C, H, W) → y (B, outputs), v (B, values), cache."""
        x, encoder_cache = self.encoder.forward(self.phi, s)
        y, actor_cache = self.actor.forward(self.theta, x)
        v, critic_cache = self.critic.forward(self.w, x)
        return y, v, (encoder_cache, actor_cache, critic_cache)

    def backward(self, cache: Any, dy: np.ndarray, dv: np.ndarray) -> None:
        """Fill `grad`: ∂L/∂features is the sum of the gradients from actor and critic."""
        dx = self.actor.backward(self.theta, cache[1], dy, self.dtheta, input_gradient=True)
        dx = dx + self.critic.backward(self.w, cache[2], dv, self.dw, input_gradient=True)
        self.encoder.backward(self.phi, cache[0], dx, self.dphi)

    def networks(self) -> Networks:
        """Actor and critic as plain networks, whose inputs are features."""
        return Networks(self.actor, self.theta, self.critic, self.w)


class Behaviour:
    """How an on-policy agent acts: it normalises observations, evaluates the network and samples from the distribution.

    policy       function from normalised observations (B, O) to distribution parameters (B, outputs)
    normaliser   ObservationNormaliser, or None
    """

    def __init__(self, dist: Distribution, policy: Callable[[np.ndarray], np.ndarray], rng: np.random.Generator,
                 normaliser: ObservationNormaliser | None = None, dtype: DTypeLike = np.float32):
        self.dist = dist
        self.policy = policy
        self.rng = rng
        self.normaliser = normaliser
        self.dtype = dtype

    def see(self, obs: np.ndarray) -> np.ndarray:
        """Observations of any leading shape, normalised if there is a normaliser, in the dtype of the networks.

        Pictures stay uint8; the encoder scales them.
        """
        if self.normaliser is not None:
            obs = self.normaliser(obs)
        return np.asarray(obs, np.uint8 if obs.dtype == np.uint8 else self.dtype)

    def sample(self, obs: np.ndarray) -> np.ndarray:
        """Raw actions for N observations (N, O), as an on-policy agent stores them."""
        return self.dist.sample(self.policy(self.see(obs)), self.dist.noise(self.rng, len(obs)))

    def greedy(self, obs: np.ndarray) -> np.ndarray:
        """Raw actions for N observations (N, O), without chance."""
        return self.dist.greedy(self.policy(self.see(obs)))


class Actor(Protocol):
    """What `act` needs of an agent."""

    observation_shape: tuple[int, ...]

    @property
    def dist(self) -> Distribution | Deterministic | TanhGaussian:
        """Maps outputs of the network to actions."""

    def explore(self, obs: np.ndarray) -> np.ndarray:
        """Raw actions for N observations, with exploration, outside of training."""

    def greedy(self, obs: np.ndarray) -> np.ndarray:
        """Raw actions for N observations, without chance."""


def act(agent: Actor, obs: Any, explore: bool = True) -> np.ndarray:
    """Actions that the environment accepts, sampled if `explore` and greedy otherwise.

    obs     one observation, (O,) or a picture of three axes, or several of them with one axis more

    Raises UserError for observations of another shape, and for values that are not finite.
    """
    try:
        obs, shape = np.asarray(obs), agent.observation_shape
    except ValueError as error:                                             # lists of different lengths
        raise UserError(f"observations are numbers of shape {agent.observation_shape}, or several of these: {error}") from None
    several = obs.ndim == len(shape) + 1
    if obs.shape[several:] != shape or obs.dtype.kind not in "fiub":
        raise UserError(f"observations are numbers of shape {shape}, or several of these, not {obs.dtype} of shape {obs.shape}")
    if obs.dtype.kind == "f" and not np.isfinite(obs).all():
        raise UserError("an observation has values that are not finite")
    raw = (agent.explore if explore else agent.greedy)(obs if several else obs[None])
    actions = agent.dist.to_env(raw)
    return actions if several else actions[0]
