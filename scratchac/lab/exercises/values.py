"""Exercises on critics and deterministic policies: their networks, the steps of DDPG, the target of TD3.

The solutions run the library's own methods, with a stand-in for the agent that has the learner's functions in place of networks.
"""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from scratchac import nn
from scratchac.algorithms.ddpg import DDPG
from scratchac.algorithms.td3 import TD3
from scratchac.distributions import Deterministic
from scratchac.lab.exercises.exercise import Exercise
from scratchac.nn import MLP, Parameters
from scratchac.training.memory import Transitions


class Seen:
    """Stands in for a network: its parameters are a function, and it keeps the gradient that would train them.

    back    (s, a, dq) → ∂L/∂a, for a critic that passes a gradient on to its action
    """

    def __init__(self, O: int, back: Callable[..., Any] = lambda s, a, dq: None):
        self.O = O
        self.back = back
        self.gradient: Any = None

    def forward(self, function: Callable[..., Any], sa: np.ndarray) -> tuple[np.ndarray, Any]:
        """Q (B, 1) or (2, B, 1) of observations and actions side by side."""
        s, a = sa[:, : self.O], sa[:, self.O :]
        return function(s, a)[..., None], (s, a)

    def backward(self, function: Any, cache: Any, dy: np.ndarray, grads: Any, input_gradient: bool = False) -> Any:
        """Keep ∂L/∂output or, without `grads`, return ∂L/∂[s | a], whose first part no actor needs."""
        if grads is not None:
            self.gradient = dy
            return None
        da = self.back(*cache, dy[..., 0])
        return np.concatenate([np.full((*da.shape[:-1], self.O), np.nan), da], axis=-1)


def stand_in(A: int, **parts: Any) -> Any:
    """An agent that computes gradients and changes nothing."""
    optimiser, gradient = SimpleNamespace(step=lambda grad, lr: None), SimpleNamespace(flat=None)
    return SimpleNamespace(dist=Deterministic(-np.ones(A), np.ones(A)), critic_optimiser=optimiser, actor_optimiser=optimiser,
                           pi=lambda policy, s: (policy(s), None), dw=gradient, dtheta=gradient, upload=lambda x: x, **parts)


def q_network(s: np.ndarray, a: np.ndarray, W1: np.ndarray, b1: np.ndarray, W2: np.ndarray, b2: np.ndarray) -> np.ndarray:
    """Q(s, a) of a network with one hidden layer of ReLU."""
    net = MLP((len(W1), len(W2), 1), "relu")
    params = Parameters(net.shapes(), flat=np.concatenate([W1.ravel(), b1, W2.ravel(), b2]))
    q, _ = net.forward(params, np.concatenate([s, a], axis=1))
    return q[:, 0]


Q_NETWORK = Exercise(
    "q-network", 10, "a critic of continuous actions: Q(s, a) as one network",
    "For continuous actions the action is an input of the critic: observation and action stand side by side, in this order. One "
    "hidden layer of ReLU, one linear output. The result is a vector: (B, 1) would broadcast against (B,) to a matrix (B, B).",
    "Q(s, a) = relu([s | a]W₁ + b₁)W₂ + b₂",
    {"s": "(B, O)  observations", "a": "(B, A)  actions", "W1": "(O + A, H)", "b1": "(H,)", "W2": "(H, 1)", "b2": "(1,)"},
    {"q": "(B,)"}, lambda rng: tuple(rng.standard_normal(shape) for shape in ((5, 3), (5, 2), (5, 6), 6, (6, 1), 1)), q_network,
    "The deterministic policy gradient",
    {
        "the action stands before the observation": (q_network, "np.concatenate([s, a], axis=1)", "np.concatenate([a, s], axis=1)"),
        "the output passes the activation: a Q value may be negative": (
            nn.mlp_forward, 'mlp.activation if i < last else "identity"', "mlp.activation"),
        "the hidden layer has no activation": (nn.mlp_forward, 'mlp.activation if i < last else "identity"', '"identity"'),
        "the hidden layer has tanh, not ReLU": (q_network, '"relu"', '"tanh"'),
        "the biases are missing": (nn.linear, "y += b[..., None, :]", "pass"),
    },
    lines=(q_network, nn.mlp_forward, nn.linear),
)


def policy_network(s: np.ndarray, W1: np.ndarray, b1: np.ndarray, W2: np.ndarray, b2: np.ndarray, low: np.ndarray,
                   high: np.ndarray) -> np.ndarray:
    """Actions in [low, high] of a deterministic policy with one hidden layer of ReLU."""
    net, dist = MLP((len(W1), len(W2), len(b2)), "relu"), Deterministic(low, high)
    params = Parameters(net.shapes(), flat=np.concatenate([W1.ravel(), b1, W2.ravel(), b2]))
    y, _ = net.forward(params, s)
    a = dist.greedy(y)
    return dist.to_env(a)


def a_policy(rng: np.random.Generator) -> tuple[Any, ...]:
    """A small network, and boxes that are not symmetric about 0."""
    low = rng.uniform(-3, 1, 2)
    return (*(rng.standard_normal(shape) for shape in ((5, 3), (3, 6), 6, (6, 2), 2)), low, low + rng.uniform(1, 4, 2))


POLICY_NETWORK = Exercise(
    "policy-network", 15, "a deterministic policy: tanh, then scale and bias of the action box",
    "The network's output passes tanh and lies in [−1, 1], where agents learn. The environment's actions have a range of their "
    "own, so they are scaled by half its width and shifted to its middle. One hidden layer of ReLU.",
    "y = relu(sW₁ + b₁)W₂ + b₂,  a = tanh(y)\n"
    "a_env = a · (high − low)/2 + (high + low)/2 = low + (a + 1)/2 · (high − low)",
    {"s": "(B, O)  observations", "W1": "(O, H)", "b1": "(H,)", "W2": "(H, A)", "b2": "(A,)", "low": "(A,)  the box's lower ends",
     "high": "(A,)  its upper ends"},
    {"a_env": "(B, A)"}, a_policy, policy_network, "The deterministic policy gradient",
    {
        "the bias is missing: the middle of the box is not 0": (policy_network, "dist.to_env(a)", "a * (high - low) / 2"),
        "the scale is the whole width of the box, not half of it": (
            policy_network, "dist.to_env(a)", "a * (high - low) + (high + low) / 2"),
        "actions are multiplied by `high`: that fits only a box that is symmetric about 0": (
            policy_network, "dist.to_env(a)", "a * high"),
        "actions start at `low`, as if a were in [0, 1]": (policy_network, "dist.to_env(a)", "low + a * (high - low)"),
        "tanh is missing, and the action is clipped to the box": (policy_network, "dist.greedy(y)", "y"),
        "tanh is missing": (policy_network, "dist.to_env(a)", "y * (high - low) / 2 + (high + low) / 2"),
        "the hidden layer has no activation": (nn.mlp_forward, 'mlp.activation if i < last else "identity"', '"identity"'),
    },
    lines=(policy_network, Deterministic.greedy, Deterministic.to_env),
)

BATCH = {"s": "(B, O)  observations", "a": "(B, A)  actions taken, in [−1, 1]", "r": "(B,)  rewards",
         "s2": "(B, O)  next observations", "term": "(B,)  1 at a terminal state", "gamma": "number  γ"}


def ddpg_update(s: np.ndarray, a: np.ndarray, r: np.ndarray, s2: np.ndarray, term: np.ndarray, gamma: float,
                pi: Callable[..., Any], q: Callable[..., Any], pi_target: Callable[..., Any], q_target: Callable[..., Any],
                dq_da: Callable[..., Any]) -> tuple[np.ndarray, np.ndarray]:
    """∂L/∂Q(s, a) of the critic's loss, ∂L/∂y of the actor's loss."""
    critic, actor = Seen(s.shape[1], dq_da), Seen(s.shape[1])
    agent = stand_in(a.shape[1], critic=critic, actor=actor, w=q, w_target=q_target, theta=pi, theta_target=pi_target, taken=a)
    h: Any = SimpleNamespace(gamma=gamma, critic_lr=0.0, actor_lr=0.0)
    DDPG.critic_step(agent, Transitions(s, a, r, s2, term), h)
    DDPG.actor_step(agent, s, h)
    return critic.gradient[:, 0], actor.gradient


def quadratic(rng: np.random.Generator, critics: tuple[int, ...] = ()) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """A random Q(s, a) = s·C·a + a·D·a, and (s, a, dq) → dq ∂Q/∂a; O = 3, A = 2.

    The latter raises ValueError for a dq of another shape than Q's.
    """
    C, D = rng.standard_normal((*critics, 3, 2)), rng.standard_normal((*critics, 2, 2))

    def q(s: np.ndarray, a: np.ndarray) -> np.ndarray:
        return ((s @ C + a @ D) * a).sum(axis=-1)

    def dq_da(s: np.ndarray, a: np.ndarray, dq: np.ndarray) -> np.ndarray:
        if np.shape(dq) != (*critics, len(s)):
            raise ValueError(f"the third argument of dq_da must be an array ({'2, B' if critics else 'B,'}), here "
                             f"{(*critics, len(s))}, and has shape {np.shape(dq)}")
        return dq[..., None] * (s @ C + a @ (D + D.swapaxes(-1, -2)))
    return q, dq_da


def tanh_policy(rng: np.random.Generator) -> Callable[[np.ndarray], np.ndarray]:
    """A random π(s) = tanh(sM)."""
    M = 0.5 * rng.standard_normal((3, 2))
    return lambda s: np.tanh(s @ M)


def a_batch(rng: np.random.Generator, B: int = 5) -> tuple[Any, ...]:
    """s, a, r, s′, term and γ of five transitions."""
    s, s2 = rng.standard_normal((2, B, 3))
    return s, rng.uniform(-1, 1, (B, 2)), rng.standard_normal(B), s2, (rng.random(B) < 0.4) * 1.0, 0.9


def an_update(rng: np.random.Generator) -> tuple[Any, ...]:
    """A batch, and four random functions."""
    q, dq_da = quadratic(rng)
    return (*a_batch(rng), tanh_policy(rng), q, tanh_policy(rng), quadratic(rng)[0], dq_da)


DDPG_UPDATE = Exercise(
    "ddpg-update", 40, "the two gradients of DDPG: the critic's and the actor's",
    "The critic moves towards a target that the target networks π′ and Q′ compute. They are copies that follow the trained ones "
    "slowly, so that the target hardly moves from step to step; the target is data. The actor moves uphill on Q: the gradient goes "
    "back through the critic to the action, and through tanh on to the actor's output y, where π(s) = tanh(y). Each of the two "
    "losses has a derivative by Q of its own: dq is the critic's, dq_pi the actor's. The networks are functions here: call them "
    "with the arrays. Optimisers do the rest.",
    "target = r + γ(1 − term) Q′(s′, π′(s′))\n"
    "critic: L = 1/(2B) Σᵢ (Q(sᵢ, aᵢ) − targetᵢ)²      dq = ∂L/∂Q(s, a)\n"
    "actor:  L = −1/B Σᵢ Q(sᵢ, π(sᵢ))                  dq_pi = ∂L/∂Q(s, π(s)),  da = dq_da(s, π(s), dq_pi)\n"
    "                                                  dy = ∂L/∂y = da ∘ (1 − π(s)²)",
    BATCH | {"pi": "function  s → π(s) (B, A)", "q": "function  s, a → Q(s, a) (B,)", "pi_target": "function  π′, the target actor",
             "q_target": "function  Q′, the target critic",
             "dq_da": "function  s, a, dq_pi → da (B, A), the critic's backward pass from an array dq_pi (B,) to the action"},
    {"dq": "(B,)", "dy": "(B, A)"}, an_update, ddpg_update, "The deterministic policy gradient",
    {
        "the bootstrap is not cut at terminal states": (DDPG.critic_step, "h.gamma * (1 - term) * q2", "h.gamma * q2"),
        "the target uses the trained networks, not the target networks": (
            DDPG.critic_step, "self.pi(self.theta_target, s2)\n    q2 = self.critic.forward(self.w_target, ",
            "self.pi(self.theta, s2)\n    q2 = self.critic.forward(self.w, "),
        "the next action comes from the trained actor, not from the target actor": (
            DDPG.critic_step, "self.pi(self.theta_target, s2)", "self.pi(self.theta, s2)"),
        "tanh′ is missing in the actor's gradient": (Deterministic.greedy_backward, "da * (1 - a * a)", "da"),
        "1/B is missing in the actor's gradient": (DDPG.actor_step, "-1 / len(s)", "-1.0"),
        "the sign of the actor's gradient is wrong: it makes Q smaller": (DDPG.actor_step, "-1 / len(s)", "1 / len(s)"),
        "∂Q/∂a is taken at the actions of the batch, not at π(s)": (
            DDPG.actor_step, "np.concatenate([s, pi], axis=1)", "np.concatenate([s, self.taken], axis=1)"),
        "the critic's dq is passed on to the actor: the actor's loss has a derivative by Q of its own": (
            DDPG.actor_step, "np.full_like(q, -1 / len(s))", "self.critic.gradient"),
        "1 − a² has the actions of the batch, not π(s)": (
            DDPG.actor_step, "self.dist.greedy_backward(pi, da)", "self.dist.greedy_backward(self.taken, da)"),
        "1/B is missing in the critic's gradient": (
            DDPG.critic_step, "loss, dq = losses.mse(q[:, 0], target)", "loss, dq = 0.0, q[:, 0] - target"),
    },
    lines=(DDPG.critic_step, DDPG.actor_step, Deterministic.greedy_backward),
)


def td3_target(r: np.ndarray, s2: np.ndarray, term: np.ndarray, eps: np.ndarray, gamma: float, sigma: float, noise_clip: float,
               pi_target: Callable[..., Any], q_target: Callable[..., Any]) -> np.ndarray:
    """The target of TD3's critics. With critics that are 0, the gradient of their loss is −target/B."""
    B, A = eps.shape
    critic = Seen(s2.shape[1])
    agent = stand_in(A, critic=critic, w=lambda s, a: np.zeros((2, B)), w_target=q_target, theta_target=pi_target,
                     rng=SimpleNamespace(standard_normal=lambda shape: eps))
    h: Any = SimpleNamespace(gamma=gamma, critic_lr=0.0, target_noise=sigma, target_noise_clip=noise_clip)
    TD3.critic_step(agent, Transitions(s2, eps, r, s2, term), h)
    return -B * critic.gradient[0, :, 0]


def a_target(rng: np.random.Generator) -> tuple[Any, ...]:
    """A batch of eight transitions, with noise that is often beyond its limit, and actions near the ends of their range."""
    _, _, r, s2, term, gamma = a_batch(rng, 8)
    M = 2 * rng.standard_normal((3, 2))
    return r, s2, term, rng.standard_normal((8, 2)), gamma, 0.4, 0.5, lambda s: np.tanh(s @ M), quadratic(rng, (2,))[0]


TD3_TARGET = Exercise(
    "td3-target", 20, "TD3's target: two critics, and noise on the target action",
    "Q-learning takes the best of noisy estimates, which is biased upwards. TD3 takes the smaller one of two critics, and adds "
    "clipped noise to the target action, so that a narrow peak of a critic cannot be exploited. The action with its noise stays in "
    "[−1, 1]. π′ and Q′ are target networks: slow copies of the trained ones, as in DDPG.",
    "a′ = clip(π′(s′) + clip(σε, −c, c), −1, 1)\n"
    "target = r + γ(1 − term) min_k Q′ₖ(s′, a′)",
    {"r": "(B,)  rewards", "s2": "(B, O)  next observations", "term": "(B,)  1 at a terminal state", "eps": "(B, A)  ε ~ N(0, 1)",
     "gamma": "number  γ", "sigma": "number  σ", "noise_clip": "number  c",
     "pi_target": "function  s → π′(s) (B, A), the target actor",
     "q_target": "function  s, a → Q′(s, a) of both target critics, (2, B)"},
    {"target": "(B,)"}, a_target, td3_target, "The maximum of estimates is biased upwards",
    {
        "the larger critic is taken, not the smaller one": (TD3.critic_step, "q2.min(axis=0)", "q2.max(axis=0)"),
        "the mean of the critics is taken, not the smaller one": (TD3.critic_step, "q2.min(axis=0)", "q2.mean(axis=0)"),
        "the first critic is taken, not the smaller one": (TD3.critic_step, "q2.min(axis=0)", "q2[0]"),
        "the noise is not clipped": (TD3.critic_step, "np.clip(eps, -h.target_noise_clip, h.target_noise_clip)", "eps"),
        "the action with its noise may leave [−1, 1]": (
            TD3.critic_step, "np.clip(a2 + np.clip(eps, -h.target_noise_clip, h.target_noise_clip), -1, 1)",
            "a2 + np.clip(eps, -h.target_noise_clip, h.target_noise_clip)"),
        "there is no noise on the target action": (
            TD3.critic_step, "np.clip(eps, -h.target_noise_clip, h.target_noise_clip)", "0"),
        "the bootstrap is not cut at terminal states": (TD3.critic_step, "h.gamma * (1 - term)", "h.gamma"),
    },
    lines=(TD3.critic_step,),
)
