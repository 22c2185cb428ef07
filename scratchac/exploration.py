"""Noise for deterministic policies, in the policy's [−1, 1]: a vector per environment, from a Generator that is passed in."""

import numpy as np


class GaussianNoise:
    """ε ~ N(0, σ²), fresh at every step."""

    def __init__(self, scale, shape):
        self.scale, self.shape = scale, shape

    def sample(self, rng):
        return self.scale * rng.standard_normal(self.shape)

    def restart(self, done):
        """Nothing to forget at the end of an episode."""

    def state(self):
        return {}

    def load_state(self, state):
        pass


class OrnsteinUhlenbeck:
    """x ← x − θx + σ N(0, 1): noise with inertia, of standard deviation σ/√(1 − (1−θ)²) (Uhlenbeck & Ornstein 1930).

    θ = .15 as in Lillicrap et al. 2016; each environment's x starts at 0 in every episode.
    """

    def __init__(self, scale, shape, theta=0.15):
        self.scale, self.theta, self.x = scale, theta, np.zeros(shape)

    def sample(self, rng):
        self.x = (1 - self.theta) * self.x + self.scale * rng.standard_normal(self.x.shape)
        return self.x

    def restart(self, done):
        self.x = self.x * (1 - np.asarray(done, float)[:, None])

    def state(self):
        return {"x": self.x}

    def load_state(self, state):
        self.x = np.array(state["x"])


NOISES = {"gaussian": GaussianNoise, "ou": OrnsteinUhlenbeck}
