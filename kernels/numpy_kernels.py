"""The reference backend: every kernel, complete and readable, in plain NumPy.

A faster backend overrides some of these methods and must agree with them. Conventions: `dX` is the derivative of the
scalar loss with respect to `X`; leading axes are free, so one network has W (I, H) and a stack of K has W (K, I, H).
"""

import math
import os

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


class NumpyKernels:
    """The arithmetic of the project in NumPy. Shapes: B rows, I inputs, H outputs, T steps, N environments."""

    name = "numpy"
    device = "cpu"                              # where its arrays live

    # -- arrays: networks, moments and the replay buffer live where the backend computes, everything else on the host ----

    def zeros(self, shape, dtype):
        return np.zeros(shape, dtype)

    def asarray(self, x, dtype=None):
        """An array of this backend with the values of x, which may be x itself."""
        return np.asarray(x, dtype)

    def to_numpy(self, x):
        """The same values on the host. A GPU is waited for here, so no update asks for it."""
        return x

    def wait(self):
        """Return when everything asked for has been computed: at once on a CPU. For timing alone."""

    def memory(self):
        """Bytes of memory in which `zeros` reserves; infinity where the system does not tell."""
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else math.inf

    # -- one dense layer ---------------------------------------------------------------------------------------------

    def linear(self, x, W, b, activation):
        """y = f(x W + b) for x (…, B, I), W (…, I, H), b (…, H); f is "tanh", "relu" or "identity"."""
        y = x @ W                               # (…, B, H)
        y += b[..., None, :]
        if activation == "tanh":
            np.tanh(y, out=y)
        elif activation == "relu":
            np.maximum(y, 0, out=y)
        return y

    def linear_backward(self, dy, x, y, W, activation, dW, db, input_gradient=True):
        """Write ∂L/∂W and ∂L/∂b into `dW` and `db` (unless None); return ∂L/∂x, or None where nobody needs it.

        With z = x W + b and y = f(z):
            dz = dy ∘ f′(z)    tanh′(z) = 1 − y²,   relu′(z) = [y > 0] (0 at the kink)
            dW = xᵀ dz,  db = Σ_rows dz,  dx = dz Wᵀ
        f′ is a function of y alone for both activations, so z need not be kept.
        """
        if activation == "tanh":
            dz = y * y
            np.subtract(1, dz, out=dz)
            dz *= dy                            # a new array: the caller's dy and the cached y stay as they are
        elif activation == "relu":
            dz = dy * (y > 0)
        else:
            dz = dy
        if dW is not None:
            np.matmul(x.swapaxes(-1, -2), dz, out=dW)
            np.sum(dz, axis=-2, out=db)
        return dz @ W.swapaxes(-1, -2) if input_gradient else None

    # -- one convolution ---------------------------------------------------------------------------------------------

    def conv2d(self, x, W, b, stride):
        """y = relu(x ∗ W + b) for x (B, H, W, C), filters W (k, k, C, F), b (F,): y (B, H′, W′, F), and the windows of x.

            y[n, i, j, f] = relu(b[f] + Σ_pqc x[n, i·stride + p, j·stride + q, c] · W[p, q, c, f])

        A window is k²C numbers in a row of a matrix, and so all the sums are one matrix product.
        """
        windows = windows_of(x, len(W), stride)                                             # (B, H′, W′, k²C)
        y = windows @ W.reshape(-1, W.shape[-1])
        y += b
        return np.maximum(y, 0, out=y), windows

    def conv2d_backward(self, dy, shape, windows, y, W, stride, dW, db, input_gradient=True):
        """Write ∂L/∂W and ∂L/∂b into `dW` and `db`; return ∂L/∂x of the given shape, or None where nobody needs it.

        With dz = dy ∘ [y > 0], as for a dense layer whose rows are all windows of all pictures:
            dW = windowsᵀ dz,   db = Σ dz over pictures and places,   dwindows = dz Wᵀ
        A number of x occurs in several windows, and its derivative is the sum over them: what was copied out is added back.
        """
        F = W.shape[-1]
        dz = dy * (y > 0)
        rows = dz.reshape(-1, F)                                                            # (B·H′·W′, F)
        np.matmul(windows.reshape(len(rows), -1).T, rows, out=dW.reshape(-1, F))
        np.sum(rows, axis=0, out=db)
        return self.add_windows(rows @ W.reshape(-1, F).T, shape, W, stride) if input_gradient else None

    def add_windows(self, windows, shape, W, stride):
        """The sum of all windows (B·H′·W′, k²C) of filters W, each added at its place in zeros of `shape` (B, H, W, C)."""
        x, k = self.zeros(shape, windows.dtype), len(W)
        height, width = ((n - k) // stride + 1 for n in shape[1:3])
        windows = windows.reshape(len(x), height, width, *W.shape[:3])
        for p in range(k):
            for q in range(k):
                x[:, p : p + stride * height : stride, q : q + stride * width : stride] += windows[:, :, :, p, q]
        return x

    # -- a whole network: layers one after another ---------------------------------------------------------------------

    def mlp_forward(self, mlp, params, x, member=None):
        """Outputs (…, B, sizes[-1]) of an MLP (or of one member of a stack) for x (…, B, I), and the cache for the way back."""
        inputs = []                                                         # inputs[i]: what layer i+1 was given
        for i in range(1, mlp.layers + 1):
            inputs.append(x)
            W, b = _layer(params, i, member)
            x = self.linear(x, W, b, mlp.activation if i < mlp.layers else "identity")
        return x, inputs

    def mlp_backward(self, mlp, params, cache, dy, grads, input_gradient=False, member=None):
        """Fill `grads` (unless None) with ∂L/∂params; return ∂L/∂x, or None unless `input_gradient`.

        The chain rule from the last layer to the first: the output of layer i is the input of layer i+1.
        """
        y = None                                                            # the last layer is linear: y is not needed
        for i in range(mlp.layers, 0, -1):
            W, _ = _layer(params, i, member)
            dW, db = _layer(grads, i, member) if grads is not None else (None, None)
            activation = mlp.activation if i < mlp.layers else "identity"
            dy = self.linear_backward(dy, cache[i - 1], y, W, activation, dW, db, input_gradient or i > 1)
            y = cache[i - 1]
        return dy

    # -- a whole training loop --------------------------------------------------------------------------------------------

    def compiled_loop(self, agent, envs):
        """A quicker loop that does the same as the agent's own in `scratchac/training.py`, or None. The reference has none."""
        return None

    # -- categorical distribution ------------------------------------------------------------------------------------

    def log_softmax(self, logits):
        """log πᵢ = zᵢ − max z − log Σⱼ exp(zⱼ − max z), row by row; the maximum keeps exp from overflowing."""
        z = logits - logits.max(axis=-1, keepdims=True)
        return z - np.log(np.exp(z).sum(axis=-1, keepdims=True))

    def categorical_sample(self, logits, u):
        """Inverse-CDF sampling: the number of cumulative probabilities that u ∈ [0, 1) has passed. Returns (…, B)."""
        p = np.exp(logits - logits.max(axis=-1, keepdims=True))
        cdf = p.cumsum(axis=-1)
        # Scale u by the total instead of dividing p, and leave the last sum out: rounding can never give class A.
        return (u[..., None] * cdf[..., -1:] >= cdf[..., :-1]).sum(axis=-1)

    # -- returns -----------------------------------------------------------------------------------------------------

    def reverse_scan(self, x, decay):
        """yₜ = xₜ + decayₜ yₜ₊₁ from the last row to the first; x and decay are (T, N), y_T = x_T."""
        y = np.empty_like(x)
        carry = np.zeros_like(x[0])
        for t in range(len(x) - 1, -1, -1):
            carry = x[t] + decay[t] * carry
            y[t] = carry
        return y

    # -- optimisers: in place, on flat vectors -----------------------------------------------------------------------

    def adam(self, p, g, m, v, lr, beta1, beta2, eps, t):
        """One Adam step on p, m and v in place (Kingma & Ba 2015, algorithm 1), t = 1 at the first step.

            m ← β₁m + (1−β₁)g,  v ← β₂v + (1−β₂)g²,  p ← p − lr · m̂ / (√v̂ + ε),  m̂ = m/(1−β₁ᵗ),  v̂ = v/(1−β₂ᵗ)
        """
        m *= beta1
        m += (1 - beta1) * g
        v *= beta2
        v += (1 - beta2) * (g * g)
        step = np.sqrt(v)
        step *= 1 / (1 - beta2**t) ** 0.5
        step += eps
        np.divide(m, step, out=step)
        step *= lr / (1 - beta1**t)
        p -= step

    def rmsprop(self, p, g, v, lr, decay, eps):
        """One RMSprop step in place: v ← ρv + (1−ρ)g², p ← p − lr · g/√(v + ε).

        ε stands inside the root, as in Mnih et al. 2016 (A3C), eqs. 8-9; outside it the steps are much larger while v is small.
        """
        v *= decay
        v += (1 - decay) * (g * g)
        p -= lr * g / np.sqrt(v + eps)

    def polyak(self, target, online, tau):
        """target ← (1−τ)·target + τ·online in place; τ = 1 copies exactly."""
        target *= 1 - tau
        target += tau * online

    # -- tanh-squashed Gaussian ----------------------------------------------------------------------------------------

    def tanh_gaussian(self, mu, log_std, eps):
        """a = tanh(u), u = μ + σε, and log π(a) summed over features; returns (a, logp, u) of shapes (B, A), (B,), (B, A).

        log π = Σ [−½ε² − log σ − ½ log 2π − log(1 − tanh²u)] with log(1 − tanh²u) = 2(log 2 − u − softplus(−2u)): exact for
        every u, where log(1 − a² + 1e-6) is wrong by 4.8 at u = 10. softplus(x) = log(1 + eˣ) = max(x, 0) + log1p(e^−|x|).
        """
        u = mu + np.exp(log_std) * eps
        softplus = np.maximum(-2 * u, 0) + np.log1p(np.exp(-2 * np.abs(u)))
        logp = -0.5 * eps * eps - log_std - 0.5 * math.log(2 * math.pi) - 2 * (math.log(2) - u - softplus)
        return np.tanh(u), logp.sum(axis=-1), u

    def tanh_gaussian_backward(self, a, log_std, eps, da, dlogp):
        """(∂L/∂μ, ∂L/∂log σ) from ∂L/∂a (B, A) and ∂L/∂log π (B,), with ε held fixed.

            ∂a/∂u = 1 − a²,   ∂log π/∂u = 2a   (since ∂/∂u [−log(1 − tanh²u)] = 2 tanh u),   ∂u/∂μ = 1,   ∂u/∂log σ = σε
            dμ = da (1 − a²) + dlogp · 2a,      dlog σ = dμ · σε − dlogp
        """
        dlogp = dlogp[..., None]
        dmu = da * (1 - a * a) + dlogp * (2 * a)
        return dmu, dmu * (np.exp(log_std) * eps) - dlogp


def windows_of(x, k, stride):
    """Copies of all k × k windows of x (B, H, W, C) at every `stride`-th place, each in a row: (B, H′, W′, k²C)."""
    windows = sliding_window_view(x, (k, k), axis=(1, 2))[:, ::stride, ::stride]            # (B, H′, W′, C, k, k), a view
    return windows.transpose(0, 1, 2, 4, 5, 3).reshape(*windows.shape[:3], -1)


def _layer(params, i, member):
    """W and b of layer i: all of a stack, or those of one member."""
    W, b = params[f"W{i}"], params[f"b{i}"]
    return (W, b) if member is None else (W[member], b[member])
