"""An independent check of whole updates: PyTorch's autograd on the same weights, batches and noise, where it is installed.

The losses are written out once more, as in the papers, and differentiated by a program. After five updates all parameters agree.
"""

import copy
import math

import gymnasium as gym
import numpy as np
import pytest

import kernels
from scratchac import algorithms
from scratchac.conv import Encoder
from scratchac.training.memory import Transitions
from scratchac.nn import Parameters

torch = pytest.importorskip("torch")


def tensors(params, stack=None):
    """The layers [(W, b), …] of a Parameters object, or of one network of a stack, as leaf tensors."""
    layers = len([name for name in params.shapes if name.startswith("W")])
    pick = (lambda x: x) if stack is None else (lambda x: x[stack])
    return [tuple(torch.tensor(pick(params[f"{kind}{i}"]).copy(), requires_grad=True) for kind in "Wb")
            for i in range(1, layers + 1)]


def mlp(layers, x):
    for i, (W, b) in enumerate(layers):
        x = x @ W + b
        if i < len(layers) - 1:
            x = torch.relu(x)
    return x


def flat(layers):
    return np.concatenate([x.detach().numpy().ravel() for layer in layers for x in layer])


def leaves(*networks):
    return [x for layers in networks for layer in layers for x in layer]


def polyak(targets, onlines, tau):
    with torch.no_grad():
        for target, online in zip(leaves(*targets), leaves(*onlines), strict=True):
            target.copy_((1 - tau) * target + tau * online)


def make(algorithm, **options):
    cls = algorithms.find(algorithm)
    config = cls.Config(hidden=(16, 16), batch_size=32, learning_starts=32, buffer_size=32, actor_lr=1e-3, critic_lr=2e-3, tau=0.05,
                        **options)
    agent = cls(config, gym.spaces.Box(-1, 1, (3,)), gym.spaces.Box(-1, 1, (2,), np.float64), seed=0, dtype=np.float64)
    rng = np.random.default_rng(1)
    batches = []
    for _ in range(5):
        s, s2 = rng.standard_normal((2, 32, 3))
        term = (rng.random(32) < 0.2).astype(float)
        batches.append(Transitions(s, rng.uniform(-1, 1, (32, 2)), rng.standard_normal(32), s2, term))
    return agent, batches


def torch_batch(batch):
    return (torch.tensor(x) for x in batch)


def q_value(layers, s, a):
    return mlp(layers, torch.cat([s, a], dim=1))[:, 0]


def step(optimiser, loss):
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()


def test_convolution():
    """PyTorch's own, which has channels and filters first, forward and backward: y, ∂L/∂W, ∂L/∂b and ∂L/∂x."""
    rng = np.random.default_rng(0)
    for (height, width, C), (k, stride, F) in (((11, 13, 4), (4, 2, 5)), ((7, 6, 1), (3, 3, 2)), ((5, 5, 3), (5, 1, 4))):
        x, W, b = rng.standard_normal((3, height, width, C)), rng.standard_normal((k, k, C, F)), np.ones(F)
        y, windows = kernels.backend.conv2d(x, W, b, stride)
        dy, dW, db = rng.standard_normal(y.shape), np.zeros_like(W), np.zeros_like(b)
        dx = kernels.backend.conv2d_backward(dy, x.shape, windows, y, W, stride, dW, db)
        theirs = [torch.tensor(np.ascontiguousarray(a), requires_grad=True)
                  for a in (np.moveaxis(x, -1, 1), W.transpose(3, 2, 0, 1), b)]
        out = torch.relu(torch.nn.functional.conv2d(*theirs, stride=stride))
        out.backward(torch.tensor(np.ascontiguousarray(np.moveaxis(dy, -1, 1))))
        for ours, tensor in ((np.moveaxis(y, -1, 1), out.detach()), (np.moveaxis(dx, -1, 1), theirs[0].grad),
                             (dW.transpose(3, 2, 0, 1), theirs[1].grad), (db, theirs[2].grad)):
            np.testing.assert_allclose(ours, tensor.numpy(), rtol=1e-9, atol=1e-11)


def test_encoder():
    """Convolutions, PyTorch's layer_norm and tanh: features, and the gradient of every parameter."""
    encoder, rng = Encoder((3, 20, 18)), np.random.default_rng(0)
    params = Parameters(encoder.shapes(), np.float64)
    encoder.initialise(params, rng)
    pictures = rng.integers(256, size=(4, 3, 20, 18), dtype=np.uint8)
    features, cache = encoder.forward(params, pictures)
    dx, grads = rng.standard_normal(features.shape), params.zeros_like()
    encoder.backward(params, cache, dx, grads)
    theirs = {name: torch.tensor(params[name].copy(), requires_grad=True) for name in params.shapes}
    x = torch.tensor(pictures / 255)
    for i, (_, _, stride) in enumerate(encoder.layers, start=1):
        x = torch.relu(torch.nn.functional.conv2d(x, theirs[f"K{i}"].permute(3, 2, 0, 1), theirs[f"c{i}"], stride))
    z = x.permute(0, 2, 3, 1).reshape(4, -1) @ theirs["W"] + theirs["b"]
    out = torch.tanh(torch.nn.functional.layer_norm(z, z.shape[1:]))
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
        agent.update(batch)
        s, a, r, s2, term = torch_batch(batch)
        with torch.no_grad():
            y = r + 0.99 * (1 - term) * q_value(critic_target, s2, torch.tanh(mlp(actor_target, s2)))
        step(critic_opt, ((q_value(critic, s, a) - y) ** 2).mean() / 2)
        step(actor_opt, -q_value(critic, s, torch.tanh(mlp(actor, s))).mean())
        polyak([critic_target, actor_target], [critic, actor], 0.05)
    for ours, theirs in ((agent.theta, actor), (agent.w, critic),
                         (agent.theta_target, actor_target), (agent.w_target, critic_target)):
        np.testing.assert_allclose(ours.flat, flat(theirs), rtol=1e-5, atol=1e-9)


def twin_flat(params, critics):
    """The stacked layout of two critics: every layer's weights of both, then its biases of both."""
    return np.concatenate([np.stack([critic[i][j].detach().numpy() for critic in critics]).ravel()
                           for i in range(len(critics[0])) for j in range(2)])


def test_td3():
    agent, batches = make("td3", delay=2)
    actor, actor_target = tensors(agent.theta), tensors(agent.theta_target)
    critics, targets = [tensors(agent.w, k) for k in range(2)], [tensors(agent.w_target, k) for k in range(2)]
    actor_opt, critic_opt = torch.optim.Adam(leaves(actor), 1e-3), torch.optim.Adam(leaves(*critics), 2e-3)
    rng = copy.deepcopy(agent.rng)
    for i, batch in enumerate(batches, start=1):
        agent.update(batch)
        s, a, r, s2, term = torch_batch(batch)
        noise = torch.tensor(0.2 * rng.standard_normal((32, 2))).clamp(-0.5, 0.5)
        with torch.no_grad():
            a2 = (torch.tanh(mlp(actor_target, s2)) + noise).clamp(-1, 1)
            y = r + 0.99 * (1 - term) * torch.minimum(*(q_value(target, s2, a2) for target in targets))
        step(critic_opt, sum(((q_value(critic, s, a) - y) ** 2).mean() / 2 for critic in critics))
        if i % 2 == 0:
            step(actor_opt, -q_value(critics[0], s, torch.tanh(mlp(actor, s))).mean())
            polyak([*targets, actor_target], [*critics, actor], 0.05)
    np.testing.assert_allclose(agent.theta.flat, flat(actor), rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(agent.w.flat, twin_flat(agent.w, critics), rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(agent.w_target.flat, twin_flat(agent.w, targets), rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("log_std", ["tanh", "clamp"])
def test_sac(log_std):
    agent, batches = make("sac", log_std=log_std, alpha=0.2, alpha_lr=1e-2)
    actor = tensors(agent.theta)
    critics, targets = [tensors(agent.w, k) for k in range(2)], [tensors(agent.w_target, k) for k in range(2)]
    log_alpha = torch.tensor(math.log(0.2), dtype=torch.float64, requires_grad=True)
    actor_opt, critic_opt = torch.optim.Adam(leaves(actor), 1e-3), torch.optim.Adam(leaves(*critics), 2e-3)
    alpha_opt = torch.optim.Adam([log_alpha], 1e-2)
    rng = copy.deepcopy(agent.rng)

    def pi(s):
        """By PyTorch's own Normal and change of variables."""
        raw, mu = mlp(actor, s).chunk(2, dim=1)
        log_sigma = -5 + 3.5 * (torch.tanh(raw) + 1) if log_std == "tanh" else raw.clamp(-20, 2)
        u = mu + log_sigma.exp() * torch.tensor(rng.standard_normal((32, 2)))
        density = torch.distributions.TransformedDistribution(
            torch.distributions.Normal(mu, log_sigma.exp()), torch.distributions.TanhTransform(cache_size=1))
        return torch.tanh(u), (density.base_dist.log_prob(u) - density.transforms[0].log_abs_det_jacobian(u, torch.tanh(u))).sum(1)

    for batch in batches:
        agent.update(batch)
        s, a, r, s2, term = torch_batch(batch)
        alpha = log_alpha.exp().item()
        with torch.no_grad():
            a2, logp2 = pi(s2)
            y = r + 0.99 * (1 - term) * (torch.minimum(*(q_value(t, s2, a2) for t in targets)) - alpha * logp2)
        step(critic_opt, sum(((q_value(critic, s, a) - y) ** 2).mean() / 2 for critic in critics))
        a_pi, logp = pi(s)
        step(actor_opt, (alpha * logp - torch.minimum(*(q_value(critic, s, a_pi) for critic in critics))).mean())
        step(alpha_opt, (-log_alpha.exp() * (logp.detach() - 2)).mean())
        polyak(targets, critics, 0.05)
    np.testing.assert_allclose(agent.theta.flat, flat(actor), rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(agent.w.flat, twin_flat(agent.w, critics), rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(agent.log_alpha[0], log_alpha.item(), rtol=1e-5)
