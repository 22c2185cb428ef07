# %% [markdown]
# # 13 · Discrete actions, pixels, games
# The cells of chapter 13. Run them from top to bottom.

# %% imports
import json
from pathlib import Path

import numpy as np

import scratchac
from scratchac import conv
from scratchac.distributions import log_softmax
from scratchac.policies import Mask, mask_illegal
from scratchac.training.selfplay import K, expected_score

# %% expectation
z, q, alpha = np.zeros(2), np.array([2.0, 0.0]), 0.5        # logits 0: both actions have probability ½
log_pi = log_softmax(z)
pi = np.exp(log_pi)
f = alpha * log_pi - q
print("f                          ", f.round(4))
print("gradient of the expectation", (pi * (f - pi @ f)).round(4))
samples = [f[a] * (np.eye(2)[a] - pi) for a in (0, 1)]      # f times the score function, for either action
print("one sample says            ", samples[0].round(4), "or", samples[1].round(4))
assert np.allclose(pi * (f - pi @ f), [-0.5, 0.5]) and np.allclose(np.mean(samples, axis=0), [-0.5, 0.5])
assert f.round(4).tolist() == [-2.3466, -0.3466]

# %% windows
picture = np.array([[0.0, 0, 1], [0, 0, 1], [0, 0, 1]])     # dark on the left, bright on the right
edge = np.array([[-1.0, 1], [-1, 1]])                       # a filter: right column less left column
rows = conv.windows_of(picture[None, :, :, None], 2, 1)     # (1, 2, 2, 4): each window as one row of four numbers
print("windows, one in each row\n", rows.reshape(4, 4))
print("times the filter as a column", rows.reshape(4, 4) @ edge.ravel())
y, _ = conv.conv2d(picture[None, :, :, None], edge[:, :, None, None], np.zeros(1), 1)
assert y[0, :, :, 0].tolist() == [[0, 2], [0, 2]]

# %% sum-over-windows
dz = np.ones((4, 1))                                        # ∂L/∂z for L = Σ z
drows = dz @ edge.reshape(1, 4)                             # ∂L/∂rows, as for a dense layer
dx = conv.add_windows(drows, (1, 3, 3, 1), edge[:, :, None, None], 1)[0, :, :, 0]
print(dx)
assert dx.tolist() == [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]

# %% weights
encoder = conv.Encoder((4, 48, 48))                         # four grey pictures of 48 × 48 pixels
shapes = encoder.shapes()
for name in ("K1", "K2", "K3", "W"):
    print(f"{name}: {shapes[name]}   {np.prod(shapes[name]):,} weights")
dense = 4 * 48 * 48 * encoder.features
weights = sum(int(np.prod(shapes[name])) for name in ("K1", "K2", "K3", "W"))
print(f"one dense layer from the pixels to {encoder.features} features: {dense:,} weights")
assert encoder.sides[1] == (23, 23)

# %% mask
logits, legal = np.array([[2.0, 1.0, 0.0]]), np.array([[1.0, 0.0, 1.0]])
right = np.exp(log_softmax(mask_illegal(logits, legal, Mask(slice(0, 3), (3,)))))[0]
wrong = np.exp(log_softmax(logits * legal))[0]
print("illegal logit becomes −10⁹:  ", right.round(4))
print("logits multiplied by the mask:", wrong.round(4))
assert right.round(4).tolist() == [0.8808, 0.0, 0.1192] and wrong.round(4).tolist() == [0.787, 0.1065, 0.1065]
assert round(np.exp(2), 3) == 7.389

# %% elo
for lead in (0, 100, 200, 400):
    print(f"{lead} points more: expected score {expected_score(lead, 0):.3f}")
print("a win between equals changes both ratings by", K * (1 - expected_score(0, 0)))
rating = 0.0
for _ in range(500):
    rating += K * (0.75 - expected_score(rating, 0))        # a player that scores ¾ on average against a player rated 0
three_in_four = 400 * np.log10(3)
print(f"scoring ¾ for long: {rating:.1f}, 400 log₁₀ 3 = {three_in_four:.1f}")
assert abs(rating - three_in_four) < 0.1 and K * (1 - expected_score(0, 0)) == 8 and round(expected_score(200, 0), 2) == 0.76
assert round(expected_score(100, 300), 2) == 0.24 and round(K * (0.5 - expected_score(100, 300)), 1) == 4.2

# %% tictactoe
results = json.loads((Path(scratchac.__file__).parents[1] / "demos" / "results" / "games.json").read_text())
seeds, games = results["ppo-tictactoe_v3"]["seeds"].values(), results["ppo-tictactoe_v3"]["games"]
policies = len(seeds)
lost = {}
for opponent in ("random", "perfect"):
    for side in ("first", "second"):
        lost[opponent, side] = max(seed[opponent]["deterministic"][side]["lost"] for seed in seeds)
        print(f"lost against {opponent} play, going {side}: {lost[opponent, side]:.1%} of the games of the worst seed")
