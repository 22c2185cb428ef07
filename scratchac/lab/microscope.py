"""Exact bias and variance of policy gradients: ∇J from linear algebra, and estimators of it summed over all trajectories.

In the corridor (`worlds.py`) one can list every trajectory m with its probability p_m. An estimator makes a vector ĝ_m of each, so

    E[ĝ] = Σ_m p_m ĝ_m        variance = tr Cov[ĝ] = Σ_m p_m ‖ĝ_m‖² − ‖E[ĝ]‖²        bias = E[ĝ] − ∇J

are sums. What makes ĝ_m are the library's own functions: `returns.*`, `losses.policy_gradient`, `Categorical`, `MLP`. What it is
compared with does not use them: J and ∇J come from the Bellman equation, V = (I − γP_π)⁻¹ r_π.

    scratchac microscope
"""

from dataclasses import dataclass

import numpy as np

from scratchac import losses, returns
from scratchac.distributions import Categorical
from scratchac.gradcheck.differences import numerical_gradient
from scratchac.lab.worlds import CORRIDOR, Corridor
from scratchac.nn import MLP, Parameters

FIT_STEPS = 20                                  # gradient steps of the learned baseline


@dataclass(frozen=True)
class Estimate:
    """What is known exactly of an estimator ĝ of ∇J that uses one episode."""

    mean: np.ndarray        # E[ĝ] (P,)
    bias: float             # ‖E[ĝ] − ∇J‖ / ‖∇J‖
    variance: float         # tr Cov[ĝ]
    cosine: float           # of the angle between E[ĝ] and ∇J
    episodes: float         # tr Cov[ĝ] / ‖∇J‖²: the noise of a mean over so many episodes is as long as the gradient


class Microscope:
    """The corridor under one policy: a table of logits, which is an MLP of one layer on one-hot states.

    gamma           discount factor of J, in (0, 1]; with 0 no action would matter, and ∇J = 0
    critic_error    the critic is V̂ = V + critic_error · ε(s) with fixed ε(s) ~ N(0, 1)
    discount        whether step t is weighted by γᵗ, as ∇J asks; most implementations leave it out
    """

    def __init__(self, gamma: float = 0.9, critic_error: float = 0.3, discount: bool = True, world: Corridor = CORRIDOR):
        self.world = world
        self.gamma = gamma
        self.critic_error = critic_error
        self.paths = self.world.paths
        S, A = self.world.states, self.world.actions
        self.net = MLP((S, A))
        self.dist = Categorical(A)
        self.params = Parameters(self.net.shapes(), np.float64)
        self.params["W1"][...] = 0.5 * np.random.default_rng(0).standard_normal((S, A))
        self.noise = np.append(np.random.default_rng(1).standard_normal(S), 0.0)          # ε(s); nothing follows the end
        T = self.world.limit
        self.weight = (gamma if discount else 1.0) ** np.arange(T)[:, None]               # γᵗ or 1 (T, 1)
        self._one_hot = np.ascontiguousarray(np.eye(S + 1, S)[self.paths.s].swapaxes(0, 1))   # (M, T, S), zeros behind the end

    # -- exact, by linear algebra --------------------------------------------------------------------------------------

    def policy(self) -> np.ndarray:
        """π(a|s) (S, A)."""
        y = self.params["W1"] + self.params["b1"]
        p = np.exp(y - y.max(axis=1, keepdims=True))
        return p / p.sum(axis=1, keepdims=True)

    def values(self) -> tuple[np.ndarray, np.ndarray]:
        """V = (I − γP_π)⁻¹ r_π (S + 1,), whose last entry is the end's 0, and Q(s, a) = E[r] + γ Σ P(s′|s, a) V(s′) (S, A)."""
        (P, r), pi = self.world.model, self.policy()
        P_pi = np.einsum("sa,sat->st", pi, P)
        v = np.linalg.solve(np.eye(len(pi)) - self.gamma * P_pi, (pi * r).sum(axis=1))
        return np.append(v, 0.0), r + self.gamma * P @ v

    def J(self) -> float:
        """J(θ) = V(s₀), the expected discounted return."""
        return float(self.values()[0][self.world.start])

    def field(self, weight: float, q: np.ndarray) -> np.ndarray:
        """Σ_s d(s) Σ_a q(s, a) ∇π(a|s) with d(s) = Σ_t weightᵗ P(Sₜ = s), (P,).

        For weight = γ and q = Q it is ∇J (the policy gradient theorem in its start-state form, Sutton et al. 2000, theorem 1). For
        other q it is the mean of an estimator whose expectation given s and a is q.

        d = (I − weight P_πᵀ)⁻¹ e_{s₀}, and for logits Σ_a q ∂π/∂yₐ = πₐ (qₐ − Σ_b π_b q_b).
        """
        (P, _), pi = self.world.model, self.policy()
        first = np.eye(len(pi))[self.world.start]
        d = np.linalg.solve(np.eye(len(pi)) - weight * np.einsum("sa,sat->st", pi, P).T, first)
        dy = d[:, None] * pi * (q - (pi * q).sum(axis=1, keepdims=True))                  # (S, A)
        return np.append(dy.ravel(), dy.sum(axis=0))                                      # W, then b

    def gradient(self) -> np.ndarray:
        """∇J(θ) (P,)."""
        return self.field(self.gamma, self.values()[1])

    def differences(self) -> np.ndarray:
        """∇J once more, by central differences of J."""
        return numerical_gradient(self.J, self.params.flat)

    def asymmetry(self, weight: float) -> float:
        """‖A − Aᵀ‖ / ‖A + Aᵀ‖ for the Jacobian A of the field with this weight. A gradient's Jacobian is a Hessian: symmetric."""
        flat, h, columns = self.params.flat, 1e-5, []
        for i in range(len(flat)):
            centre, sides = flat[i], []
            for x in (centre + h, centre - h):
                flat[i] = x
                sides.append(self.field(weight, self.values()[1]))
            flat[i] = centre
            columns.append((sides[0] - sides[1]) / (2 * h))
        A = np.array(columns)
        return float(np.linalg.norm(A - A.T) / np.linalg.norm(A + A.T))

    def probabilities(self) -> np.ndarray:
        """p_m (M,): the world's chance times Π_t π(aₜ|sₜ)."""
        pi = np.append(self.policy(), [[1.0, 1.0]], axis=0)                               # nobody acts behind the end
        return self.paths.chance * pi[self.paths.s, self.paths.a].prod(axis=0)

    # -- estimators, by the library's functions ------------------------------------------------------------------------

    def gradients(self, psi: np.ndarray) -> np.ndarray:
        """ĝ_m = Σ_t ψₜ ∇log π(aₜ|sₜ) of every trajectory (M, P), for ψ (T, M).

        M trajectories are a stack of M networks with the same weights, each with the rows of one of them, so one backward pass of
        the library leaves M gradients.
        """
        T, M = psi.shape
        net = MLP(self.net.sizes, stack=(M,))
        params = Parameters(net.shapes(), np.float64)
        for name in params.shapes:
            params[name][...] = self.params[name]
        y, net_cache = net.forward(params, self._one_hot)                                 # (M, T, A)
        logp, _, cache = self.dist.evaluate(y.swapaxes(0, 1).reshape(T * M, -1), self.paths.a.ravel())
        _, dlogp = losses.policy_gradient(logp, (psi * self.paths.alive).ravel() * logp.size)
        dy = self.dist.backward(cache, dlogp, np.zeros_like(dlogp)).reshape(T, M, -1).swapaxes(0, 1)
        grads = params.zeros_like()
        net.backward(params, net_cache, dy, grads)
        return -np.concatenate([grads["W1"].reshape(M, -1), grads["b1"]], axis=1)

    def estimate(self, psi: np.ndarray) -> Estimate:
        """Mean, bias, variance and angle of Σ_t ψₜ ∇log π(aₜ|sₜ), for ψ (T, M)."""
        p, g, exact = self.probabilities(), self.gradients(psi), self.gradient()
        mean, length = p @ g, float(np.linalg.norm(exact))
        variance = float(p @ (g * g).sum(axis=1) - mean @ mean)
        between = float(mean @ exact) / max(float(np.linalg.norm(mean)) * length, 1e-300)
        return Estimate(mean, float(np.linalg.norm(mean - exact)) / length, variance, between, variance / length**2)

    def critic(self, error: float | None = None) -> np.ndarray:
        """V̂ = V + error · ε (S + 1,)."""
        return self.values()[0] + (self.critic_error if error is None else error) * self.noise

    def reward_to_go(self) -> np.ndarray:
        """Gₜ = rₜ + γrₜ₊₁ + … (T, M)."""
        return returns.monte_carlo(self.paths.r, np.zeros_like(self.paths.r), self.paths.term, self.paths.term, self.gamma)

    def whole_return(self) -> np.ndarray:
        """ψₜ = G₀ for every t, (T, M): it also has the rewards before t, which aₜ cannot change. It needs no γᵗ.

        Their product with ∇log π(aₜ|sₜ) is 0 in the mean and adds noise. But where they are costs they also make ψ smaller, as a
        baseline would, so that without any other one ĝ may vary less than with Gₜ. With the best baseline for each it varies more.
        """
        return np.broadcast_to(self.reward_to_go()[0], self.paths.r.shape)

    def baseline(self, b: np.ndarray | float) -> np.ndarray:
        """γᵗ b(sₜ) (T, M), which may be subtracted from any ψ, for b (S + 1,) or a constant."""
        return self.weight * np.broadcast_to(b, self.world.states + 1)[self.paths.s]

    def reinforce(self, b: np.ndarray | float = 0.0) -> np.ndarray:
        """ψₜ = γᵗ (Gₜ − b(sₜ)) (T, M), for a baseline b (S + 1,) or a constant."""
        return self.weight * self.reward_to_go() - self.baseline(b)

    def k_step(self, k: int, v: np.ndarray) -> np.ndarray:
        """ψₜ = γᵗ (Gₜ⁽ᵏ⁾ − v(sₜ)) (T, M), for a critic v (S + 1,)."""
        s, s2, term = self.paths.s, self.paths.s2, self.paths.term
        return self.weight * (returns.n_step(self.paths.r, v[s2], term, term, self.gamma, k) - v[s])

    def gae(self, lam: float, v: np.ndarray) -> np.ndarray:
        """ψₜ = γᵗ Âₜ (T, M), GAE(λ) with a critic v (S + 1,)."""
        s, s2, term = self.paths.s, self.paths.s2, self.paths.term
        return self.weight * returns.gae(self.paths.r, v[s], v[s2], term, term, self.gamma, lam)

    def advantages(self) -> np.ndarray:
        """ψₜ = γᵗ (Q(sₜ, aₜ) − V(sₜ)) (T, M): only the choice of actions is random in it."""
        (v, q), s, a = self.values(), self.paths.s, self.paths.a
        return self.weight * (np.append(q, [[0.0, 0.0]], axis=0)[s, a] - v[s])

    # -- baselines -----------------------------------------------------------------------------------------------------

    def optimal_baseline(self, psi: np.ndarray) -> np.ndarray:
        """The b(s) (S + 1,) with which ψₜ − γᵗ b(sₜ) has the least variance, for ψ (T, M).

        With xₛ = γᵗ ∇log π(aₜ|s) for the step at which a trajectory visits s, and g without a baseline, ĝ = g − Σ_s b_s xₛ, whose
        mean does not depend on b. So E‖ĝ‖² is least where Σ_s′ E[xₛ·xₛ′] b_s′ = E[xₛ·g] for all s: a linear system. (Without the
        products of different states it is the quotient E[‖∇log π‖²G] / E[‖∇log π‖²] of Greensmith et al. 2004.)
        """
        p, g = self.probabilities(), self.gradients(psi)
        S, A = self.world.states, self.world.actions
        x = self.gradients(np.broadcast_to(self.weight, self.paths.r.shape))[:, : S * A].reshape(-1, S, A)    # W's rows are states
        left = np.einsum("m,msa,mta->st", p, x, x) + np.diag(np.einsum("m,msa->s", p, x * x))       # through b, and through W
        right = np.einsum("m,msa,msa->s", p, x, g[:, : S * A].reshape(-1, S, A)) + np.einsum("m,msa,ma->s", p, x, g[:, S * A :])
        return np.append(np.linalg.lstsq(left, right, rcond=None)[0], 0.0)                          # some states are never visited

    def learned_baseline(self, steps: int = FIT_STEPS, lr: float = 1.0) -> np.ndarray:
        """What a critic learns (S + 1,) in `steps` gradient steps on E[½ Σ_t (v(sₜ) − Gₜ)²] from v = 0, by `mse`."""
        S, live = self.world.states, self.paths.alive > 0
        rows = (self.probabilities() * self.paths.alive)[live]
        s, g = self.paths.s[live], self.reward_to_go()[live]
        v = np.zeros(S + 1)
        for _ in range(steps):
            _, dv = losses.mse(v[s], g)
            v -= lr * np.bincount(s, dv * len(s) * rows, S + 1)
        return v

    # -- what theory says of the means ---------------------------------------------------------------------------------

    def predicted_gae(self, lam: float, v: np.ndarray) -> np.ndarray:
        """The mean of `gae` (P,): the field of E[Âₜ|s, a] = E[δ|s, a] + γλ Σ P(s′|s, a) A(s′), A = (I − γλP_π)⁻¹ E_π[δ]."""
        (P, r), pi = self.world.model, self.policy()
        delta = r + self.gamma * P @ v[:-1] - v[:-1, None]                                # (S, A)
        after = np.linalg.solve(np.eye(len(pi)) - self.gamma * lam * np.einsum("sa,sat->st", pi, P), (pi * delta).sum(axis=1))
        return self.field(float(self.weight[1, 0]), delta + self.gamma * lam * P @ after)

    def predicted_k_step(self, k: int, v: np.ndarray) -> np.ndarray:
        """The mean of `k_step` (P,): the field of q⁽ᵏ⁾ = r + γP E_π[q⁽ᵏ⁻¹⁾], where q⁽¹⁾ = r + γP v."""
        (P, r), pi, after = self.world.model, self.policy(), v[:-1]
        for _ in range(k):
            q = r + self.gamma * P @ after
            after = (pi * q).sum(axis=1)
        return self.field(float(self.weight[1, 0]), q)
