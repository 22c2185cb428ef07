"""Whole updates agree with PyTorch's autograd on the same weights, batches and noise, where PyTorch is installed.

The losses are written out once more, as in the papers, and autograd differentiates them. After some updates all parameters agree,
and so do the metrics of every update.
"""

import copy
import math

import gymnasium as gym
import numpy as np
import pytest

from scratchac import algorithms
from scratchac.algorithms.a3c import Worker
from scratchac.algorithms.sac_pixels import PixelSAC
from scratchac.conv import Encoder, conv2d, conv2d_backward
from scratchac.nn import Parameters
from scratchac.parallel.shared import LocalStore
from scratchac.training.memory import Batch, Transitions

torch = pytest.importorskip("torch")

OBSERVATIONS, BOX, DISCRETE = gym.spaces.Box(-1, 1, (3,)), gym.spaces.Box(-1, 1, (2,), np.float64), gym.spaces.Discrete(4)
ACTIVATIONS = {"tanh": torch.tanh, "relu": torch.relu}
CLOSE = {"rtol": 1e-9, "atol": 1e-12}


def tensors(params, stack=None):
    """The layers [(W, b), …] of a Parameters object, or of one network of a stack, as leaf tensors."""
    layers = len([name for name in params.shapes if name.startswith("W")])
    pick = (lambda x: x) if stack is None else (lambda x: x[stack])
    return [tuple(torch.tensor(pick(params[f"{kind}{i}"]).copy(), requires_grad=True) for kind in "Wb")
            for i in range(1, layers + 1)]


def mlp(layers, x, activation="relu"):
    for i, (W, b) in enumerate(layers):
        x = x @ W + b
        if i < len(layers) - 1:
            x = ACTIVATIONS[activation](x)
    return x


def flat(layers):
    return values(leaves(layers))


def values(some_leaves):
    """All numbers of these tensors, one after another."""
    return np.concatenate([x.detach().numpy().ravel() for x in some_leaves])


def leaves(*networks):
    return [x for layers in networks for layer in layers for x in layer]


def polyak(targets, onlines, tau):
    with torch.no_grad():
        for target, online in zip(leaves(*targets), leaves(*onlines), strict=True):
            target.copy_((1 - tau) * target + tau * online)


def make(algorithm, actions=BOX, **options):
    cls = algorithms.find(algorithm)
    config = cls.config_class(hidden=(16, 16), batch_size=32, learning_starts=32, buffer_size=32, actor_lr=1e-3, critic_lr=2e-3,
                              tau=0.05, **options)
    agent = cls(config, OBSERVATIONS, actions, seed=0, dtype=np.float64)
    rng = np.random.default_rng(1)
    batches = []
    for _ in range(5):
        s, s2 = rng.standard_normal((2, 32, 3))
        term = (rng.random(32) < 0.2).astype(float)
        a = rng.uniform(-1, 1, (32, 2)) if actions is BOX else rng.integers(4, size=32)
        batches.append(Transitions(s, a, rng.standard_normal(32), s2, term))
    return agent, batches


def torch_batch(batch):
    return (torch.tensor(x) for x in batch)


def q_value(layers, s, a):
    return mlp(layers, torch.cat([s, a], dim=1))[:, 0]


def step(optimiser, loss):
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()


def require_metrics(metrics, **expected):
    """These are all metrics that an update returned, with these values."""
    theirs = {name: float(torch.as_tensor(x).detach()) for name, x in expected.items()}
    assert {name: float(x) for name, x in metrics.items()} == pytest.approx(theirs)


def critic_metrics(q, y):
    """Of one or two critics' values (B,) and their target (B,)."""
    return {"critic_loss": sum(((x - y) ** 2).mean() / 2 for x in q), "q": torch.stack(q).mean(),
            "td_error": (torch.stack(q) - y).abs().mean()}


def test_convolution():
    """y, ∂L/∂W, ∂L/∂b and ∂L/∂x are those of PyTorch's own convolution, which has channels and filters first."""
    rng = np.random.default_rng(0)
    for (height, width, C), (k, stride, F) in (((11, 13, 4), (4, 2, 5)), ((7, 6, 1), (3, 3, 2)), ((5, 5, 3), (5, 1, 4))):
        x, W, b = rng.standard_normal((3, height, width, C)), rng.standard_normal((k, k, C, F)), np.ones(F)
        y, windows = conv2d(x, W, b, stride)
        dy, dW, db = rng.standard_normal(y.shape), np.zeros_like(W), np.zeros_like(b)
        dx = conv2d_backward(dy, x.shape, windows, y, W, stride, dW, db)
        theirs = [torch.tensor(np.ascontiguousarray(a), requires_grad=True)
                  for a in (np.moveaxis(x, -1, 1), W.transpose(3, 2, 0, 1), b)]
        out = torch.relu(torch.nn.functional.conv2d(*theirs, stride=stride))
        out.backward(torch.tensor(np.ascontiguousarray(np.moveaxis(dy, -1, 1))))
        for ours, tensor in ((np.moveaxis(y, -1, 1), out.detach()), (np.moveaxis(dx, -1, 1), theirs[0].grad),
                             (dW.transpose(3, 2, 0, 1), theirs[1].grad), (db, theirs[2].grad)):
            np.testing.assert_allclose(ours, tensor.numpy(), rtol=1e-9, atol=1e-11)


def encoder_tensors(params):
    return {name: torch.tensor(params[name].copy(), requires_grad=True) for name in params.shapes}


def encoded(encoder, theirs, pictures):
    """The features of pictures whose channels come first."""
    x = torch.tensor(pictures / 255)
    for i, (_, _, stride) in enumerate(encoder.layers, start=1):
        x = torch.relu(torch.nn.functional.conv2d(x, theirs[f"K{i}"].permute(3, 2, 0, 1), theirs[f"c{i}"], stride))
    z = x.permute(0, 2, 3, 1).reshape(len(pictures), -1) @ theirs["W"] + theirs["b"]
    return torch.tanh(torch.nn.functional.layer_norm(z, z.shape[1:]))


def test_encoder():
    """The features, and the gradient of every parameter, are those of PyTorch's convolutions, layer_norm and tanh."""
    encoder, rng = Encoder((3, 20, 18)), np.random.default_rng(0)
    params = Parameters(encoder.shapes(), np.float64)
    encoder.initialise(params, rng)
    pictures = rng.integers(256, size=(4, 3, 20, 18), dtype=np.uint8)
    features, cache = encoder.forward(params, pictures)
    dx, grads = rng.standard_normal(features.shape), params.zeros_like()
    encoder.backward(params, cache, dx, grads)
    theirs = encoder_tensors(params)
    out = encoded(encoder, theirs, pictures)
    out.backward(torch.tensor(dx))
    np.testing.assert_allclose(features, out.detach().numpy(), rtol=1e-8, atol=1e-10)
    for name in params.shapes:
        np.testing.assert_allclose(grads[name], theirs[name].grad.numpy(), rtol=1e-7, atol=1e-9)


def test_ddpg():
    agent, batches = make("ddpg")
    actor, actor_target, critic, critic_target = (
        tensors(p) for p in (agent.theta, agent.theta_target, agent.w, agent.w_target))
    actor_opt, critic_opt = torch.optim.Adam(leaves(actor), 1e-3), torch.optim.Adam(leaves(critic), 2e-3)
    for batch in batches:
        metrics = agent.update(batch)
        s, a, r, s2, term = torch_batch(batch)
        with torch.no_grad():
            y = r + 0.99 * (1 - term) * q_value(critic_target, s2, torch.tanh(mlp(actor_target, s2)))
        of_critic = critic_metrics([q_value(critic, s, a)], y)
        step(critic_opt, of_critic["critic_loss"])
        actor_loss = -q_value(critic, s, torch.tanh(mlp(actor, s))).mean()
        step(actor_opt, actor_loss)
        require_metrics(metrics, actor_loss=actor_loss, **of_critic)
        polyak([critic_target, actor_target], [critic, actor], 0.05)
    for ours, theirs in ((agent.theta, actor), (agent.w, critic),
                         (agent.theta_target, actor_target), (agent.w_target, critic_target)):
        np.testing.assert_allclose(ours.flat, flat(theirs), **CLOSE)


def twin_flat(params, critics):
    """Two critics in the stacked layout: layer by layer, the weights of both and then the biases of both."""
    return np.concatenate([np.stack([critic[i][j].detach().numpy() for critic in critics]).ravel()
                           for i in range(len(critics[0])) for j in range(2)])


def test_td3():
    agent, batches = make("td3", delay=2)
    actor, actor_target = tensors(agent.theta), tensors(agent.theta_target)
    critics, targets = [tensors(agent.w, k) for k in range(2)], [tensors(agent.w_target, k) for k in range(2)]
    actor_opt, critic_opt = torch.optim.Adam(leaves(actor), 1e-3), torch.optim.Adam(leaves(*critics), 2e-3)
    rng, actor_loss = copy.deepcopy(agent.rng), 0.0
    for i, batch in enumerate(batches, start=1):
        metrics = agent.update(batch)
        s, a, r, s2, term = torch_batch(batch)
        noise = torch.tensor(0.2 * rng.standard_normal((32, 2))).clamp(-0.5, 0.5)
        with torch.no_grad():
            a2 = (torch.tanh(mlp(actor_target, s2)) + noise).clamp(-1, 1)
            y = r + 0.99 * (1 - term) * torch.minimum(*(q_value(target, s2, a2) for target in targets))
        of_critics = critic_metrics([q_value(critic, s, a) for critic in critics], y)
        step(critic_opt, of_critics["critic_loss"])
        if i % 2 == 0:
            actor_loss = -q_value(critics[0], s, torch.tanh(mlp(actor, s))).mean()
            step(actor_opt, actor_loss)
            polyak([*targets, actor_target], [*critics, actor], 0.05)
        require_metrics(metrics, actor_loss=actor_loss, **of_critics)               # the last update's that moved the actor
    np.testing.assert_allclose(agent.theta.flat, flat(actor), **CLOSE)
    np.testing.assert_allclose(agent.w.flat, twin_flat(agent.w, critics), **CLOSE)
    np.testing.assert_allclose(agent.w_target.flat, twin_flat(agent.w, targets), **CLOSE)


def reparameterised(y, eps, log_std):
    """(a, log π(a)) of a tanh-Gaussian, by PyTorch's own Normal and change of variables."""
    raw, mu = y.chunk(2, dim=1)
    log_sigma = -5 + 3.5 * (torch.tanh(raw) + 1) if log_std == "tanh" else raw.clamp(-20, 2)
    u = mu + log_sigma.exp() * torch.tensor(eps)
    density = torch.distributions.TransformedDistribution(
        torch.distributions.Normal(mu, log_sigma.exp()), torch.distributions.TanhTransform(cache_size=1))
    return torch.tanh(u), (density.base_dist.log_prob(u) - density.transforms[0].log_abs_det_jacobian(u, torch.tanh(u))).sum(1)


@pytest.mark.parametrize("log_std, entropy_target", [("tanh", -1.0), ("clamp", 0.4)])
def test_sac(log_std, entropy_target):
    agent, batches = make("sac", log_std=log_std, alpha=0.2, alpha_lr=1e-2, entropy_target=entropy_target)
    actor = tensors(agent.theta)
    critics, targets = [tensors(agent.w, k) for k in range(2)], [tensors(agent.w_target, k) for k in range(2)]
    log_alpha = torch.tensor(math.log(0.2), dtype=torch.float64, requires_grad=True)
    actor_opt, critic_opt = torch.optim.Adam(leaves(actor), 1e-3), torch.optim.Adam(leaves(*critics), 2e-3)
    alpha_opt = torch.optim.Adam([log_alpha], 1e-2)
    rng = copy.deepcopy(agent.rng)

    def pi(s):
        return reparameterised(mlp(actor, s), rng.standard_normal((32, 2)), log_std)

    for batch in batches:
        metrics = agent.update(batch)
        s, a, r, s2, term = torch_batch(batch)
        alpha = log_alpha.exp().item()
        with torch.no_grad():
            a2, logp2 = pi(s2)
            y = r + 0.99 * (1 - term) * (torch.minimum(*(q_value(t, s2, a2) for t in targets)) - alpha * logp2)
        of_critics = critic_metrics([q_value(critic, s, a) for critic in critics], y)
        step(critic_opt, of_critics["critic_loss"])
        a_pi, logp = pi(s)
        actor_loss = (alpha * logp - torch.minimum(*(q_value(critic, s, a_pi) for critic in critics))).mean()
        step(actor_opt, actor_loss)
        require_metrics(metrics, actor_loss=actor_loss, entropy=-logp.mean(), alpha=alpha, **of_critics)
        step(alpha_opt, (-log_alpha.exp() * (logp.detach() + 2 * entropy_target)).mean())       # two action features
        polyak(targets, critics, 0.05)
    np.testing.assert_allclose(agent.theta.flat, flat(actor), **CLOSE)
    np.testing.assert_allclose(agent.w.flat, twin_flat(agent.w, critics), **CLOSE)
    np.testing.assert_allclose(agent.w_target.flat, twin_flat(agent.w, targets), **CLOSE)
    np.testing.assert_allclose(agent.log_alpha[0], log_alpha.item(), rtol=1e-5)


def test_sac_from_pictures():
    """The critics' loss trains the encoder, the actor takes features as data, and the targets have an encoder of their own."""
    space = gym.spaces.Box(0, 255, (2, 16, 17), np.uint8)
    cls = PixelSAC
    config = cls.config_class(hidden=(16,), batch_size=8, learning_starts=8, buffer_size=8, actor_lr=1e-3, critic_lr=2e-3, tau=0.05,
                              alpha=0.2, alpha_lr=1e-2)
    agent, data = cls(config, space, BOX, seed=0, dtype=np.float64), np.random.default_rng(1)
    encoder, phi, phi_target = agent.encoder, encoder_tensors(agent.phi), encoder_tensors(agent.phi_target)
    actor = tensors(agent.theta)
    critics, targets = [tensors(agent.w, k) for k in range(2)], [tensors(agent.w_target, k) for k in range(2)]
    log_alpha = torch.tensor(math.log(0.2), dtype=torch.float64, requires_grad=True)
    online, followers = [*phi.values(), *leaves(*critics)], [*phi_target.values(), *leaves(*targets)]
    actor_opt, critic_opt = torch.optim.Adam(leaves(actor), 1e-3), torch.optim.Adam(online, 2e-3)
    alpha_opt = torch.optim.Adam([log_alpha], 1e-2)
    rng = copy.deepcopy(agent.rng)

    def pi(x):
        return reparameterised(mlp(actor, x), rng.standard_normal((8, 2)), "tanh")

    for _ in range(5):
        pictures, next_pictures = data.integers(256, size=(2, 8, *space.shape), dtype=np.uint8)
        batch = Transitions(pictures, data.uniform(-1, 1, (8, 2)), data.standard_normal(8), next_pictures,
                            (data.random(8) < 0.2).astype(float))
        metrics = agent.update(batch)
        a, r, term = (torch.tensor(x) for x in (batch.actions, batch.rewards, batch.term))
        pictures, next_pictures = (encoder.shift(x, rng) for x in (pictures, next_pictures))
        alpha = log_alpha.exp().item()
        x = encoded(encoder, phi, pictures)
        with torch.no_grad():
            a2, logp2 = pi(encoded(encoder, phi, next_pictures))
            x2 = encoded(encoder, phi_target, next_pictures)
            y = r + 0.99 * (1 - term) * (torch.minimum(*(q_value(t, x2, a2) for t in targets)) - alpha * logp2)
        of_critics = critic_metrics([q_value(critic, x, a) for critic in critics], y)
        step(critic_opt, of_critics["critic_loss"])
        x = x.detach()                                                      # of the encoder before its step
        a_pi, logp = pi(x)
        actor_loss = (alpha * logp - torch.minimum(*(q_value(critic, x, a_pi) for critic in critics))).mean()
        step(actor_opt, actor_loss)
        require_metrics(metrics, actor_loss=actor_loss, entropy=-logp.mean(), alpha=alpha, **of_critics)
        step(alpha_opt, (-log_alpha.exp() * (logp.detach() - 2)).mean())
        with torch.no_grad():
            for follower, leader in zip(followers, online, strict=True):
                follower.copy_(0.95 * follower + 0.05 * leader)
    for ours, theirs in ((agent.phi, phi), (agent.phi_target, phi_target)):
        np.testing.assert_allclose(ours.flat, values(theirs.values()), **CLOSE)
    for ours, theirs in ((agent.w, critics), (agent.w_target, targets)):
        np.testing.assert_allclose(ours.flat, twin_flat(ours, theirs), **CLOSE)
    np.testing.assert_allclose(agent.theta.flat, flat(actor), **CLOSE)
    np.testing.assert_allclose(agent.log_alpha[0], log_alpha.item(), rtol=1e-5)


def test_discrete_sac():
    """Christodoulou's losses are expectations over PyTorch's own Categorical."""
    agent, batches = make("discrete-sac", DISCRETE, alpha=0.2, alpha_lr=1e-2, entropy_target=0.7)
    actor = tensors(agent.theta)
    critics, targets = [tensors(agent.w, k) for k in range(2)], [tensors(agent.w_target, k) for k in range(2)]
    log_alpha = torch.tensor(math.log(0.2), dtype=torch.float64, requires_grad=True)
    actor_opt, critic_opt = torch.optim.Adam(leaves(actor), 1e-3), torch.optim.Adam(leaves(*critics), 2e-3)
    alpha_opt = torch.optim.Adam([log_alpha], 1e-2)
    for batch in batches:
        metrics = agent.update(batch)
        s, a, r, s2, term = torch_batch(batch)
        alpha = log_alpha.exp().item()
        with torch.no_grad():
            pi = torch.distributions.Categorical(logits=mlp(actor, s2))
            q = torch.minimum(*(mlp(target, s2) for target in targets))
            y = r + 0.99 * (1 - term) * ((pi.probs * q).sum(1) + alpha * pi.entropy())
        every_q = torch.stack([mlp(critic, s) for critic in critics])                 # (2, B, n); `q` is the mean over all actions
        of_critics = critic_metrics([q.gather(1, a[:, None])[:, 0] for q in every_q], y) | {"q": every_q.mean()}
        step(critic_opt, of_critics["critic_loss"])
        pi = torch.distributions.Categorical(logits=mlp(actor, s))
        entropy, q = pi.entropy(), torch.minimum(*(mlp(critic, s) for critic in critics)).detach()
        actor_loss = (-alpha * entropy - (pi.probs * q).sum(1)).mean()
        step(actor_opt, actor_loss)
        require_metrics(metrics, actor_loss=actor_loss, entropy=entropy.mean(), alpha=alpha, **of_critics)
        step(alpha_opt, (log_alpha.exp() * (entropy.detach() - 0.7 * math.log(4))).mean())
        polyak(targets, critics, 0.05)
    np.testing.assert_allclose(agent.theta.flat, flat(actor), **CLOSE)
    np.testing.assert_allclose(agent.w.flat, twin_flat(agent.w, critics), **CLOSE)
    np.testing.assert_allclose(agent.w_target.flat, twin_flat(agent.w, targets), **CLOSE)
    np.testing.assert_allclose(agent.log_alpha[0], log_alpha.item(), rtol=1e-5)


# -- on-policy -----------------------------------------------------------------------------------------------------------


class Clipped(torch.distributions.Independent):
    """Normal variables of which only what is left after clipping to [−1, 1] is known, by PyTorch's own log Φ."""

    def log_prob(self, a):
        low, high = (torch.special.log_ndtr(x / self.base_dist.scale) for x in (-1 - self.base_dist.loc, self.base_dist.loc - 1))
        return torch.where(a >= 1, high, torch.where(a <= -1, low, self.base_dist.log_prob(a))).sum(-1)


class Networks:
    """An on-policy agent's actor and critic as leaf tensors: networks of their own, or one with two heads."""

    def __init__(self, agent):
        networks = agent.networks()
        self.activation, self.outputs = agent.config.activation, networks.policy_outputs
        self.first_value, self.clipped = networks.value_outputs.start, agent.config.clipped_log_prob
        self.actor = tensors(networks.theta)
        self.constants = torch.tensor(networks.theta["constants"].copy(), requires_grad=True) if networks.actor.constants else None
        self.critic = None if networks.w is None else self.actor if networks.w is networks.theta else tensors(networks.w)
        self.of_actor = leaves(self.actor) + ([] if self.constants is None else [self.constants])
        self.of_critic = [] if self.critic is None or self.critic is self.actor else leaves(self.critic)
        self.all = self.of_actor + self.of_critic

    def policy(self, s):
        """PyTorch's own distribution over actions; a Gaussian's σ does not depend on the state."""
        y = mlp(self.actor, s, self.activation)[:, self.outputs]
        if self.constants is None:
            return torch.distributions.Categorical(logits=y)
        kind = Clipped if self.clipped else torch.distributions.Independent
        return kind(torch.distributions.Normal(y, self.constants.exp()), 1)

    def values(self, s):
        """V(s) and, for Q − V, Q(s, ·) after it."""
        return mlp(self.critic, s, self.activation)[:, self.first_value:]


class RMSprop:
    """RMSprop with ε inside the root, as in Mnih et al. 2016; PyTorch's own has it outside."""

    def __init__(self, some_leaves, lr):
        self.leaves, self.lr, self.v = some_leaves, lr, [torch.zeros_like(x) for x in some_leaves]

    @torch.no_grad()
    def step(self):
        for x, v in zip(self.leaves, self.v, strict=True):
            v.copy_(0.99 * v + 0.01 * x.grad**2)
            x.sub_(self.lr * x.grad / (v + 1e-5).sqrt())


OPTIMISERS = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "rmsprop": RMSprop}


def make_on_policy(algorithm, actions, **options):
    cls = algorithms.find(algorithm)
    return cls(cls.config_class(hidden=(16, 16), **options), OBSERVATIONS, actions, seed=0, dtype=np.float64)


def rollouts(actions, T, N, one_episode=False, count=5):
    """Random batches whose episodes terminate or are truncated. With `one_episode` each batch is one, and its ends take turns."""
    rng = np.random.default_rng(1)
    lengths = np.zeros(N, int)
    for i in range(count):
        obs, next_obs = rng.standard_normal((2, T, N, 3))
        a = rng.integers(4, size=(T, N)) if actions is DISCRETE else rng.standard_normal((T, N, 2))
        term, t = (rng.random((T, N)) < 0.15).astype(float), np.zeros((T, N), int)
        trunc = (rng.random((T, N)) < 0.15) * (1 - term)
        if one_episode:
            term[:], trunc[:] = 0, 0
            (term, trunc)[i % 2][-1] = 1
        for row in range(T):
            t[row] = lengths
            lengths = (lengths + 1) * (1 - np.maximum(term, trunc)[row]).astype(int)
        yield Batch(obs, a, rng.standard_normal((T, N)), next_obs, term, trunc, t)


def torch_rollout(batch):
    """(s, a, s′), each with all rows in one axis, and (r, term, done, t), each (T, N)."""
    rows = (torch.tensor(x.reshape(-1, *x.shape[2:])) for x in (batch.obs, batch.actions, batch.next_obs))
    return *rows, *(torch.tensor(x) for x in (batch.rewards, batch.term, batch.done, batch.t))


def gae(r, v, v2, term, done, gamma, lam):
    """Âₜ = Σₖ (γλ)ᵏ δₜ₊ₖ up to the end of the episode: the sum itself, not the recursion."""
    delta, adv = r + gamma * (1 - term) * v2 - v, torch.zeros_like(r)
    for t in range(len(r)):
        weight = torch.ones_like(r[0])
        for k in range(t, len(r)):
            adv[t] += weight * delta[k]
            weight = weight * gamma * lam * (1 - done[k])
    return adv


def n_step(r, v2, term, done, gamma, n):
    """Σₖ γᵏ rₜ₊ₖ over n rewards, or fewer where the episode or the rollout ends first, and then γᵏ V(s′) of the last step."""
    g = torch.zeros_like(r)
    for t in range(len(r)):
        weight, last = torch.ones_like(r[0]), min(t + n, len(r)) - 1
        for k in range(t, last + 1):
            g[t] += weight * (r[k] + (done[k] if k < last else 1) * gamma * (1 - term[k]) * v2[k])
            weight = weight * gamma * (1 - done[k])
    return g


def clipped_step(optimisers, loss, some_leaves, max_norm):
    """A gradient step; returns the norm before clipping. It is clipped here, since PyTorch's own clipping adds 1e-6 to it."""
    for x in some_leaves:
        x.grad = None
    loss.backward()
    norm = torch.nn.utils.get_total_norm([x.grad for x in some_leaves])
    for x in some_leaves:
        x.grad *= max_norm / norm if 0 < max_norm < norm else 1
    for optimiser in optimisers:
        optimiser.step()
    return norm


EPISODIC = {"sum": {}, "discounted, clipped": {"discount_actor": True, "max_grad_norm": 0.5},
            "plain gradient": {"optimiser": "sgd"}, "RMSprop": {"optimiser": "rmsprop"}}


@pytest.mark.parametrize("actions", [DISCRETE, BOX], ids=["discrete", "continuous"])
@pytest.mark.parametrize("case", EPISODIC)
def test_reinforce(case, actions):
    """The loss is −Σₜ γᵗ Gₜ log π(Aₜ|Sₜ), or that without γᵗ. What a time limit cut off counts as nothing."""
    agent = make_on_policy("reinforce", actions, lr=1e-2, gamma=0.9, **EPISODIC[case])
    nets, c = Networks(agent), agent.config
    optimiser = OPTIMISERS[c.optimiser](nets.all, lr=1e-2)
    for batch in rollouts(actions, 9, 1, one_episode=True):
        metrics = agent.update(batch)
        s, a, _, r, _, _, _ = torch_rollout(batch)
        g = torch.stack([sum(0.9 ** (k - t) * r[k, 0] for k in range(t, 9)) for t in range(9)])
        weight = 0.9 ** torch.arange(9).double() if c.discount_actor else torch.ones(9)
        pi = nets.policy(s)
        loss, entropy = -(weight * g * pi.log_prob(a)).sum(), pi.entropy().mean()
        norm = clipped_step([optimiser], loss, nets.all, c.max_grad_norm)
        require_metrics(metrics, actor_loss=loss, entropy=entropy, grad_norm=norm)
    np.testing.assert_allclose(agent.params.flat, values(nets.all), **CLOSE)


@pytest.mark.parametrize("actions", [DISCRETE, BOX], ids=["discrete", "continuous"])
@pytest.mark.parametrize("case", [*EPISODIC, "Huber's loss"])
def test_reinforce_with_baseline(case, actions):
    """The losses are −Σₜ γᵗ (Gₜ − V(Sₜ)) log π(Aₜ|Sₜ) and mean ½(V(Sₜ) − Gₜ)². At a time limit V(s′) stands for the rest."""
    options = EPISODIC.get(case, {"value_loss": "huber"})
    agent = make_on_policy("reinforce-baseline", actions, actor_lr=1e-2, critic_lr=2e-2, gamma=0.9, **options)
    nets, c = Networks(agent), agent.config
    actor_opt, critic_opt = OPTIMISERS[c.optimiser](nets.of_actor, lr=1e-2), OPTIMISERS[c.optimiser](nets.of_critic, lr=2e-2)
    for batch in rollouts(actions, 9, 1, one_episode=True):
        metrics = agent.update(batch)
        s, a, s2, r, term, _, _ = torch_rollout(batch)
        with torch.no_grad():
            rest = (1 - term[-1, 0]) * nets.values(s2)[-1, 0]
            g = torch.stack([sum(0.9 ** (k - t) * r[k, 0] for k in range(t, 9)) + 0.9 ** (9 - t) * rest for t in range(9)])
        weight = 0.9 ** torch.arange(9).double() if c.discount_actor else torch.ones(9)
        v = nets.values(s)[:, 0]
        advantage = (g - v).detach()
        pi = nets.policy(s)
        loss, critic_loss = -(weight * advantage * pi.log_prob(a)).sum(), VALUE_LOSSES[c.value_loss](v, g)
        entropy = pi.entropy().mean()
        norm = clipped_step([actor_opt], loss, nets.of_actor, c.max_grad_norm)
        clipped_step([critic_opt], critic_loss, nets.of_critic, c.max_grad_norm)
        require_metrics(metrics, actor_loss=loss, critic_loss=critic_loss, entropy=entropy, grad_norm=norm, value=v.mean())
    np.testing.assert_allclose(agent.model.flat, values(nets.all), **CLOSE)


VALUE_LOSSES = {"mse": lambda v, y: torch.nn.functional.mse_loss(v, y) / 2, "huber": torch.nn.functional.huber_loss}


@pytest.mark.parametrize("actions", [DISCRETE, BOX], ids=["discrete", "continuous"])
@pytest.mark.parametrize("lam_actor, lam_critic, discounted", [(0.0, 0.0, True), (0.7, 0.4, True), (0.7, 0.4, False)])
def test_one_step_actor_critic(lam_actor, lam_critic, discounted, actions):
    """Both networks follow δ times traces of autograd's ∇log π and ∇V, also across the ends of episodes."""
    agent = make_on_policy("actor-critic", actions, gamma=0.9, actor_lr=1e-2, critic_lr=2e-2, lam_actor=lam_actor,
                           lam_critic=lam_critic, discount_actor=discounted)
    nets = Networks(agent)
    traces = [torch.zeros_like(x) for x in nets.all]
    ended = 0
    for batch in rollouts(actions, 1, 1, count=12):
        metrics = agent.update(batch)
        s, a, s2, r, term, done, t = (x[0] if x.ndim > 1 else x for x in torch_rollout(batch))
        s, s2, a = s[None], s2[None], a.reshape(1, -1) if actions is BOX else a
        v = nets.values(s)[0, 0]
        with torch.no_grad():
            delta = r[0] + 0.9 * (1 - term[0]) * nets.values(s2)[0, 0] - v
        pi = nets.policy(s)
        logp, entropy = pi.log_prob(a)[0], pi.entropy()[0]
        require_metrics(metrics, actor_loss=-delta * logp, critic_loss=delta**2 / 2, entropy=entropy, td_error=delta, value=v)
        gradients = torch.autograd.grad(logp + v, nets.all)
        for i, (x, z, gradient) in enumerate(zip(nets.all, traces, gradients, strict=True)):
            of_actor = i < len(nets.of_actor)
            discount = 0.9 ** int(t[0]) if of_actor and discounted else 1.0
            z.mul_(0.9 * (lam_actor if of_actor else lam_critic)).add_(discount * gradient)
            with torch.no_grad():
                x.add_((1e-2 if of_actor else 2e-2) * delta * z)
        if done[0]:
            ended += 1
            for z in traces:
                z.zero_()
        np.testing.assert_allclose(agent.trace, values(traces), rtol=1e-8, atol=1e-12)
    assert 0 < ended < 12
    np.testing.assert_allclose(agent.model.flat, values(nets.all), **CLOSE)


def a2c_step(nets, optimisers, batch, c):
    """A step on −mean[Â log π] − β mean H + c_v mean ½(V − target)², then further steps of the critic, each with κ's pull back.

    Returns the metrics.
    """
    s, a, s2, r, term, done, t = torch_rollout(batch)
    value_loss, rows = VALUE_LOSSES[c.value_loss], torch.arange(len(s))
    with torch.no_grad():
        v = nets.values(s)
        v2 = nets.values(s2)[:, 0].reshape(r.shape)
        if n := {"td": 1, "nstep": c.n_step, "mc": len(r)}.get(c.advantage):
            target = n_step(r, v2, term, done, c.gamma, n).ravel()
        else:
            target = v[:, 0] + gae(r, v[:, 0].reshape(r.shape), v2, term, done, c.gamma, c.lam).ravel()
        advantage = v[rows, 1 + a] - v[:, 0] if c.advantage == "qv" else target - v[:, 0]
        if c.normalise_advantage:
            advantage = (advantage - advantage.mean()) / (advantage.std(correction=0) + 1e-8)
        if c.discount_actor:
            advantage = advantage * c.gamma ** t.ravel().double()
        old = [x.clone() for x in nets.of_critic]

    def critic_loss():
        v = nets.values(s)
        return value_loss(v[:, 0], target) + (value_loss(v[rows, 1 + a], target) if c.advantage == "qv" else 0)

    @torch.no_grad()
    def pull():
        """The minimum of ‖w − w_opt‖²/(2α) + κ‖w − w_old‖²."""
        alpha = 2e-2
        for x, before in zip(nets.of_critic, old, strict=True):
            x.copy_((x / (2 * alpha) + c.kappa * before) / (1 / (2 * alpha) + c.kappa))

    pi = nets.policy(s)
    actor_loss, entropy, of_critic = -(advantage * pi.log_prob(a)).mean(), pi.entropy().mean(), critic_loss()
    norm = clipped_step(optimisers, actor_loss - c.entropy_coef * entropy + c.value_coef * of_critic, nets.all, c.max_grad_norm)
    pull()
    for _ in range(c.critic_steps - 1):
        clipped_step(optimisers[1:], c.value_coef * critic_loss(), nets.of_critic, c.max_grad_norm)
        pull()
    return {"actor_loss": actor_loss, "critic_loss": of_critic, "entropy": entropy, "grad_norm": norm, "value": v[:, 0].mean(),
            "advantage_std": advantage.std(correction=0)}


A2C_CASES = {
    "GAE": {}, "Adam, entropy": {"optimiser": "adam", "entropy_coef": 0.1},
    "shared body": {"shared_body": True, "entropy_coef": 0.1}, "shared body, Q − V": {"shared_body": True, "advantage": "qv"},
    "plain gradient, Q − V": {"optimiser": "sgd", "advantage": "qv"},
    "Huber's loss, normalised, discounted": {"value_loss": "huber", "normalise_advantage": True, "discount_actor": True},
    "three steps of the critic, κ": {"critic_steps": 3, "kappa": 0.5, "optimiser": "adam"},
    "log π of the clipped action": {"clipped_log_prob": True, "entropy_coef": 0.1},
    "TD error": {"advantage": "td"}, "two steps": {"advantage": "nstep", "n_step": 2}, "return": {"advantage": "mc"},
}


@pytest.mark.parametrize("case, actions", [
    pytest.param(case, actions, id=f"{case}-{kind}") for case in A2C_CASES
    for kind, actions in (("discrete", DISCRETE), ("continuous", BOX)) if kind == "discrete" or "Q − V" not in case])
def test_a2c(case, actions):
    options = A2C_CASES[case]
    agent = make_on_policy("a2c", actions, envs=3, rollout=6, gamma=0.9, lam=0.8, actor_lr=1e-2, critic_lr=2e-2, **options)
    nets, optimiser = Networks(agent), OPTIMISERS[agent.config.optimiser]
    optimisers = [optimiser(group, lr=lr) for group, lr in ((nets.of_actor, 1e-2), (nets.of_critic, 2e-2)) if group]
    for batch in rollouts(actions, 6, 3):
        require_metrics(agent.update(batch), **a2c_step(nets, optimisers, batch, agent.config))
    np.testing.assert_allclose(agent.model.flat, values(nets.all), **CLOSE)


@pytest.mark.parametrize("actions", [DISCRETE, BOX], ids=["discrete", "continuous"])
def test_a3c(actions):
    """A worker's gradient makes one step of RMSprop on the parameters of all workers."""
    agent = make_on_policy("a3c", actions, envs=1, gamma=0.9, lr=2e-2, entropy_coef=0.1)
    store = LocalStore(agent.model.flat.size, 1, np.float64)
    store.fill(agent.model.flat, agent.optimiser.v, 0)
    worker, nets = Worker(0, agent.learner, store), Networks(agent)
    optimisers = [RMSprop(group, 2e-2) for group in (nets.of_actor, nets.of_critic)]
    for batch in rollouts(actions, 20, 1):
        require_metrics(worker.update(batch), **a2c_step(nets, optimisers, batch, agent.learner.config))
    flat, _, total = store.snapshot()
    assert total == worker.step == 100
    np.testing.assert_allclose(flat, values(nets.all), **CLOSE)
    np.testing.assert_array_equal(agent.learner.model.flat, flat)


METRICS_OF_PPO = "actor_loss", "critic_loss", "entropy", "grad_norm", "kl", "clipped", "value"
PPO_CASES = {"plain": {}, "entropy": {"entropy_coef": 0.1}, "clipped values": {"clip_value": 0.05},
             "early end": {"target_kl": 0.003}, "log π of the clipped action": {"clipped_log_prob": True}}


@pytest.mark.parametrize("actions", [DISCRETE, BOX], ids=["discrete", "continuous"])
@pytest.mark.parametrize("case", PPO_CASES)
def test_ppo(case, actions):
    """All epochs and minibatches, of 8, 8 and 2 rows, follow Schulman et al.'s eq. 7, written with min, clamp and max."""
    agent = make_on_policy("ppo", actions, envs=3, rollout=6, batch_size=8, epochs=4, gamma=0.9, lam=0.8, lr=1e-2, clip=0.1,
                           **PPO_CASES[case])
    nets, c = Networks(agent), agent.config
    optimiser, order = torch.optim.Adam(nets.all, lr=1e-2, eps=1e-5), copy.deepcopy(agent.batch_rng)
    clipped, passes = 0, 0
    for batch in rollouts(actions, 6, 3):
        metrics, seen = agent.update(batch), []
        clipped += metrics["clipped"]
        s, a, s2, r, term, done, _ = torch_rollout(batch)
        with torch.no_grad():
            logp_old, v_old = nets.policy(s).log_prob(a), nets.values(s)[:, 0]
            advantage = gae(r, v_old.reshape(r.shape), nets.values(s2)[:, 0].reshape(r.shape), term, done, 0.9, 0.8).ravel()
            target = v_old + advantage
        for _ in range(c.epochs):
            passes += 1
            for rows in torch.tensor(order.permutation(len(s))).split(8):
                pi, v, adv = nets.policy(s[rows]), nets.values(s[rows])[:, 0], advantage[rows]
                adv = (adv - adv.mean()) / (adv.std(correction=0) + 1e-8)
                log_ratio = pi.log_prob(a[rows]) - logp_old[rows]
                ratio = log_ratio.exp()
                gain = torch.minimum(ratio * adv, ratio.clamp(1 - c.clip, 1 + c.clip) * adv).mean()
                errors = (v - target[rows]) ** 2
                if c.clip_value:
                    held = v_old[rows] + (v - v_old[rows]).clamp(-c.clip_value, c.clip_value)
                    errors = torch.maximum(errors, (held - target[rows]) ** 2)
                entropy, critic_loss, kl = pi.entropy().mean(), errors.mean() / 2, (ratio - 1 - log_ratio).mean().item()
                loss = -gain - c.entropy_coef * entropy + c.value_coef * critic_loss
                norm = clipped_step([optimiser], loss, nets.all, c.max_grad_norm)
                seen.append([-gain.item(), critic_loss.item(), entropy.item(), norm, kl,
                             ((ratio - 1).abs() > c.clip).double().mean(), v.mean().item()])
            if 0 < c.target_kl < kl:
                break
        require_metrics(metrics, **dict(zip(METRICS_OF_PPO, np.mean(seen, axis=0), strict=True)))
    assert clipped > 0 and (passes < 5 * c.epochs) == (case == "early end")
    np.testing.assert_allclose(agent.model.flat, values(nets.all), **CLOSE)


def test_ppo_from_pictures():
    """Both losses train the encoder that actor and critic share."""
    space = gym.spaces.Box(0, 255, (2, 16, 17), np.uint8)
    cls = algorithms.find("ppo")
    config = cls.config_class(hidden=(16,), envs=2, rollout=4, batch_size=8, epochs=2, gamma=0.9, lam=0.8, lr=1e-3,
                              entropy_coef=0.1)
    agent, rng = cls(config, space, DISCRETE, seed=0, dtype=np.float64), np.random.default_rng(1)
    nets, encoder, phi = Networks(agent), agent.model.encoder, encoder_tensors(agent.model.phi)
    everything = [*phi.values(), *nets.all]
    optimiser = torch.optim.Adam(everything, lr=1e-3, eps=1e-5)
    for batch in rollouts(DISCRETE, 4, 2):
        pictures, next_pictures = rng.integers(256, size=(2, 4, 2, *space.shape), dtype=np.uint8)
        agent.update(batch._replace(obs=pictures, next_obs=next_pictures))
        _, a, _, r, term, done, _ = torch_rollout(batch)
        pictures, next_pictures = (x.reshape(8, *space.shape) for x in (pictures, next_pictures))
        with torch.no_grad():
            x, x2 = encoded(encoder, phi, pictures), encoded(encoder, phi, next_pictures)
            logp_old, v_old = nets.policy(x).log_prob(a), nets.values(x)[:, 0]
            advantage = gae(r, v_old.reshape(r.shape), nets.values(x2)[:, 0].reshape(r.shape), term, done, 0.9, 0.8).ravel()
            target, normal = v_old + advantage, (advantage - advantage.mean()) / (advantage.std(correction=0) + 1e-8)
        for _ in range(2):                                                  # all rows are one minibatch, whatever their order
            x = encoded(encoder, phi, pictures)
            pi, v = nets.policy(x), nets.values(x)[:, 0]
            ratio = (pi.log_prob(a) - logp_old).exp()
            gain = torch.minimum(ratio * normal, ratio.clamp(0.8, 1.2) * normal).mean()
            loss = -gain - 0.1 * pi.entropy().mean() + 0.5 * ((v - target) ** 2).mean() / 2
            clipped_step([optimiser], loss, everything, 0.5)
    np.testing.assert_allclose(agent.model.flat, values(everything), **CLOSE)
