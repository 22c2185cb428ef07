# %% [markdown]
# # What can an agent learn from that hardly ever gets where it should?
#
# A ball in a maze; reaching the goal, which is elsewhere in every episode, pays 1, everything else nothing. Hindsight experience
# replay (Andrychowicz et al. 2017) stores each step of an episode four times more, as if a place to which it led had been the goal.
# Left: the first episode of a training, and the goals that its first step gets. Right: how often TD3's policy arrives, in 100 new
# episodes, in a small maze and in a larger one. Also writes demos/results/hindsight.json. Takes about twenty minutes.

# %%
import json
from importlib.metadata import version

import numpy as np
from common import figure, output, save

import kernels
import scratchac
from scratchac.environments.make import make
from scratchac.environments.vector import VectorEnv
from scratchac.experiments.plots import COLOURS, band
from scratchac.experiments.session import meet
from scratchac.training.loops import train

SEEDS, STEPS, EVERY, EPISODES = (0, 1, 2), 30_000, 1_500, 100
MAZES = {"gymnasium_robotics:PointMaze_UMaze-v3": 150, "gymnasium_robotics:PointMaze_Medium-v3": 300}     # most steps of an episode
TD3 = {"hidden": (64, 64), "learning_starts": 1_000, "gamma": 0.98, "tau": 0.02, "noise": "ou", "noise_scale": 0.5}

# %%
def learn(env, env_args, seed, k):
    """Train with k further goals for each step; {step: share of goals reached}, and the replay buffer."""
    agent = scratchac.make_agent("td3", env, seed, env_args=env_args, steps=STEPS, hindsight=k, **TD3)
    envs, reached = VectorEnv(env, 1, seed, **env_args), {}
    meet(envs, agent)

    def report(agent, *_):
        if agent.step % EVERY == 0:                                 # a return is 1 if info["success"], or else 0
            reached[agent.step] = round(float(scratchac.evaluate(agent, env, EPISODES, **env_args).mean()), 2)

    train(agent, envs, STEPS, report)
    envs.close()
    print(f"{env}, k = {k}, seed {seed}: {reached[STEPS]:.0%} at the end", flush=True)
    return reached, agent.memory


def draw_first_episode(ax, env, memory, k):
    """The T real steps of the episode are the first ones in the replay buffer; the first one with k other goals follows."""
    made, T = make(env), 1 + np.flatnonzero(memory.data["term"] + memory.data["trunc"])[0]
    at = made.observation_space.parts
    path, goals = (memory.data["next_obs"][: T + k, at[name]].T for name in ("achieved_goal", "desired_goal"))
    walls = np.array(made.unwrapped.maze.maze_map)
    ax.imshow(walls, cmap="Greys", vmax=2, extent=np.outer(walls.shape[::-1], (-0.5, 0.5)).ravel())
    ax.plot(*path[:, :T], color="grey", lw=1, label="where the ball rolled")
    ax.plot(*goals[:, T:], "o", color=COLOURS[0], label="the goals of its first step in hindsight")
    ax.plot(*goals[:, 0], "*", color=COLOURS[3], ms=14, label="the goal that was desired")
    ax.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, 0))
    ax.set_axis_off()

# %%
fig, (left, *others) = figure("The first episode", *(f"TD3 in {env.split(':')[1]}" for env in MAZES), width=4.4)
result = {"command": "python demos/24_hindsight.py", "steps": STEPS, "episodes": EPISODES, "hyperparameters": TD3,
          "tuning_seeds": "500-502", "backend": kernels.backend.name, "mazes": {},
          "versions": {name: version(name) for name in ("numpy", "gymnasium", "gymnasium-robotics", "mujoco")}}
for ax, (env, limit) in zip(others, MAZES.items(), strict=True):
    env_args = {"continuing_task": False, "max_episode_steps": limit}       # an episode ends at its goal
    kept = result["mazes"][env] = {"env_args": env_args}
    for k, label, colour in ((4, "with hindsight", COLOURS[0]), (0, "without", COLOURS[1])):
        runs = [learn(env, env_args, seed, k) for seed in SEEDS]
        kept[label] = {str(seed): reached for seed, (reached, _) in zip(SEEDS, runs, strict=True)}
        band(ax, [np.array([*reached]) / 1000 for reached, _ in runs], [100 * np.array([*reached.values()]) for reached, _ in runs],
             f"{label}: mean and range of {len(SEEDS)} seeds", colour)
        if k:
            memory = runs[0][1]
    ax.set_xlabel("thousand environment steps")
    ax.set_ylabel("goals reached, %")
    ax.set_ylim(-2, 102)
    ax.legend(fontsize=8)

# %%
draw_first_episode(left, env, memory, 4)
(output("results") / "hindsight.json").write_text(json.dumps(result, indent=1) + "\n")
save(fig, "24_hindsight")
