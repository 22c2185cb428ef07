"""One update of DDPG, TD3 and SAC in plain PyTorch, as a single-file implementation has it: modules, autograd, torch.optim.

This code is only timed. The tests compare the project's mathematics with PyTorch in code of their own, where PyTorch is installed.
"""

import numpy as np
import torch
from torch import nn
from torch.nn.functional import mse_loss

GAMMA, TAU = 0.99, 0.005


def network(inputs, hidden, outputs):
    """An MLP with ReLU."""
    layers = []
    for size in hidden:
        layers += [nn.Linear(inputs, size), nn.ReLU()]
        inputs = size
    return nn.Sequential(*layers, nn.Linear(inputs, outputs))


def adam(*modules):
    """Adam over the parameters of some modules."""
    return torch.optim.Adam([p for module in modules for p in module.parameters()], lr=3e-4)


def step(optimiser, loss):
    """One gradient step."""
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()


@torch.no_grad()
def polyak(targets, modules):
    """Move target networks towards their modules."""
    for target, module in zip(targets, modules, strict=True):
        for kept, new in zip(target.parameters(), module.parameters(), strict=True):
            kept.lerp_(new, TAU)


def updating(algorithm, observations, actions, hidden, batch):
    """A call that samples a minibatch from an array of noise and makes one update."""
    critics = [network(observations + actions, hidden, 1) for _ in range(1 if algorithm == "ddpg" else 2)]
    actor = network(observations, hidden, 2 * actions if algorithm == "sac" else actions)
    moving = critics if algorithm == "sac" else [*critics, actor]
    targets = [network(observations + actions, hidden, 1) for _ in critics]
    if algorithm != "sac":
        targets.append(network(observations, hidden, actions))
    for target, module in zip(targets, moving, strict=True):
        target.load_state_dict(module.state_dict())
    actor_optimiser, critic_optimiser = adam(actor), adam(*critics)
    log_alpha = torch.zeros(1, requires_grad=True)
    alpha_optimiser = torch.optim.Adam([log_alpha], lr=3e-4)
    rng, n = np.random.default_rng(0), 10_000
    memory = [rng.standard_normal(shape, np.float32) for shape in ((n, observations), (n, actions), (n, 1), (n, observations))]
    done = 0

    def value(critic, s, a):
        return critic(torch.cat([s, a], 1))

    def smallest(some_critics, s, a):
        return torch.stack([value(critic, s, a) for critic in some_critics]).amin(0)

    def gaussian(s):
        """An action tanh(u), and its log-probability (Haarnoja et al. 2018, appendix C)."""
        mean, raw = actor(s).chunk(2, 1)
        normal = torch.distributions.Normal(mean, (-5 + 3.5 * (torch.tanh(raw) + 1)).exp())
        u = normal.rsample()
        a = torch.tanh(u)
        return a, (normal.log_prob(u) - torch.log(1 - a * a + 1e-6)).sum(1, keepdim=True)

    def update():
        nonlocal done
        done += 1
        rows = rng.integers(n, size=batch)
        s, a, r, s2 = (torch.from_numpy(x[rows]) for x in memory)
        with torch.no_grad():
            if algorithm == "sac":
                a2, logp2 = gaussian(s2)
                y = r + GAMMA * (smallest(targets, s2, a2) - log_alpha.exp() * logp2)
            else:
                a2 = torch.tanh(targets[-1](s2))
                if algorithm == "td3":
                    a2 = (a2 + (0.2 * torch.randn_like(a2)).clamp(-0.5, 0.5)).clamp(-1, 1)
                y = r + GAMMA * smallest(targets[:-1], s2, a2)
        step(critic_optimiser, sum(mse_loss(value(critic, s, a), y) for critic in critics))
        if algorithm == "sac":
            a_pi, logp = gaussian(s)
            step(actor_optimiser, (log_alpha.exp().detach() * logp - smallest(critics, s, a_pi)).mean())
            step(alpha_optimiser, (-log_alpha.exp() * (logp.detach() - actions)).mean())
        elif algorithm == "ddpg" or done % 2 == 0:
            step(actor_optimiser, -value(critics[0], s, torch.tanh(actor(s))).mean())
        if algorithm != "td3" or done % 2 == 0:
            polyak(targets, moving)

    return update
