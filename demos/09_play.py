# %% [markdown]
# # Can you land it?
#
# LunarLander by keyboard, and afterwards your returns beside a random pilot's.
#
# Left and right arrow turn, up fires the main engine, Escape leaves. It plays in real time, so five episodes take a minute or
# two. Without a screen there is nothing to play on: the script says so in one line.
#
#     python demos/09_play.py               your episodes
#     python demos/09_play.py nobody        episodes without a single key pressed: what there is to improve on

# %%
import sys
from types import SimpleNamespace

import numpy as np
from common import arguments, figure, save

import scratchac
from scratchac.experiments.plots import COLOURS
from scratchac.tools.keyboard import play

ENV, EPISODES, RANDOM_EPISODES = "LunarLander-v3", 5, 200

# %%
def returns_of(actions, episodes):
    """Returns of a pilot that does not look: `actions(n)` are those in n environments."""
    return scratchac.evaluate(SimpleNamespace(act=lambda obs, explore: actions(len(obs))), ENV, episodes)

# %% [markdown]
# Your episodes.

# %%
if arguments() == ["nobody"]:
    who, mine = "no key pressed", returns_of(lambda n: np.zeros(n, int), EPISODES)
else:
    who, mine = "you", play(ENV, seed=0, episodes=EPISODES)
if not len(mine):
    sys.exit("no episode was played to its end: nothing to draw")

# %% [markdown]
# A random pilot's, and both in one picture.

# %%
rng = np.random.default_rng(0)
by_chance = returns_of(lambda n: rng.integers(4, size=n), RANDOM_EPISODES)

fig, (ax,) = figure(f"{ENV}: {who}, and a random pilot")
ax.bar(range(1, len(mine) + 1), mine, 0.6, color=COLOURS[0], label=f"{who}: mean {np.mean(mine):.0f}".replace("-", "−"))
ax.axhline(by_chance.mean(), color=COLOURS[1], label=f"random actions: mean {by_chance.mean():.0f}".replace("-", "−"))
ax.axhline(200, color="grey", ls=":", label="solved")
ax.axhline(0, color="black", lw=0.8)
ax.set_xticks(range(1, len(mine) + 1))
ax.set(xlabel="episode", ylabel="return", ylim=(min(-250, min(mine) - 50), max(250, max(mine) + 50)))
print(f"{who}: mean {np.mean(mine):.0f} of {len(mine)}; {RANDOM_EPISODES} episodes of random actions: {by_chance.mean():.0f}")
save(fig, "09_play")
