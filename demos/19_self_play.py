# %% [markdown]
# # Can a player become good that has never met another one than itself?
#
# PPO plays tic-tac-toe against its present and past selves, with the preset. The left panel shows its Elo rating, from its games
# against the past selves alone. The right one shows what training knows nothing of: games against random moves and against perfect
# play, of which no one wins; the learner plays its most likely actions, and the perfect player chooses among equally good ones.
# Takes about four minutes.

# %%
import numpy as np
from common import figure, kept, save
from results.perfect import perfectly

import scratchac
from scratchac import style
from scratchac.environments.games import Game, at_random
from scratchac.experiments.plots import COLOURS, band
from scratchac.training.loops import train
from scratchac.training.selfplay import SelfPlay

ENV, SEEDS, POINTS, GAMES = "tictactoe_v3", (0, 1, 2), 25, 400

# %%
def not_lost(agent, opponent):
    """The shares of games that the agent does not lose when it begins, and when it does not."""
    scores = scratchac.evaluate(agent, lambda: Game(ENV, opponent), GAMES)
    return (scores[::2] >= 0).mean(), (scores[1::2] >= 0).mean()


@kept
def learn(seed):
    """Rows of (steps, rating, not lost to chance as first and second, not lost to perfect play as first and second)."""
    agent = scratchac.make_agent("ppo", ENV, seed)
    rivals, rows = SelfPlay(ENV, agent.n_envs, seed), []
    rivals.meet(agent)

    def report(agent, *_):
        if agent.step * POINTS >= agent.config.steps * len(rows):
            rows.append((agent.step, rivals.metrics()["elo"], *not_lost(agent, at_random), *not_lost(agent, perfectly)))

    train(agent, rivals, agent.config.steps, report)
    return np.array(rows).T

# %%
runs = [learn(seed) for seed in SEEDS]
steps = [run[0] for run in runs]
fig, (left, right) = figure(f"PPO on {ENV}: Elo rating, mean and range of {len(SEEDS)} seeds", "Games not lost, in %")
band(left, steps, [run[1] for run in runs], "against past selves", COLOURS[0])
left.set_ylabel("points above the untrained self")
labels = "random moves, going first", "random moves, going second", "perfect play, going first", "perfect play, going second"
for i, label in enumerate(labels):
    band(right, steps, [100 * run[2 + i] for run in runs], label, COLOURS[1 + i // 2], dashes=("-", "--")[i % 2])
    print(f"not lost against {label}: {', '.join(f'{run[2 + i][-1]:.1%}' for run in runs)} at the end")
print(f"rating: {', '.join(f'{run[1][-1]:.0f}' for run in runs)}")
right.set_ylabel("% of the games")
for ax in (left, right):
    style.steps(ax)
save(fig, "19_self_play")
