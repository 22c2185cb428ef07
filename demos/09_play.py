# %% [markdown]
# # Can you land it?
#
# LunarLander by keyboard, and afterwards your returns beside a random pilot's.
#
# Left and right arrow turn, up fires the main engine, Escape leaves. It plays in real time, so five episodes take a minute or
# two. Without a screen there is nothing to play on: the script says so in one line.

# %%
import sys
from types import SimpleNamespace

import numpy as np
from common import figure, save

import scratchac
from scratchac.experiments.plots import COLOURS
from scratchac.tools.keyboard import play

ENV, EPISODES, RANDOM_EPISODES = "LunarLander-v3", 5, 200

# %% [markdown]
# Your episodes.

# %%
mine = play(ENV, seed=0, episodes=EPISODES)
if not mine:
    sys.exit("no episode was played to its end: nothing to draw")

# %% [markdown]
# A random pilot's, and both in one picture.

# %%
rng = np.random.default_rng(0)
pilot = SimpleNamespace(act=lambda obs, explore: rng.integers(4, size=len(obs)))
by_chance = scratchac.evaluate(pilot, ENV, RANDOM_EPISODES)

fig, (ax,) = figure(f"{ENV}: you and a random pilot")
ax.bar(range(1, len(mine) + 1), mine, color=COLOURS[0], label=f"you: mean {np.mean(mine):.0f}")
ax.axhline(by_chance.mean(), color=COLOURS[1], label=f"random actions: mean {by_chance.mean():.0f}")
ax.axhline(200, color="grey", ls=":", label="solved")
ax.set_xticks(range(1, len(mine) + 1))
ax.set_xlabel("episode")
ax.set_ylabel("return")
ax.set_ylim(top=max(300, max(mine) + 100))                                  # room for the legend
ax.legend(fontsize=8, loc="upper right")
print(f"your {len(mine)} episodes: mean {np.mean(mine):.0f}; {RANDOM_EPISODES} episodes of random actions: {by_chance.mean():.0f}")
save(fig, "09_play")
