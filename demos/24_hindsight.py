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
from common import HERE, figure, output, redraws, save

import kernels
import scratchac
from scratchac import style
from scratchac.environments.make import make
from scratchac.environments.vector import VectorEnv
from scratchac.experiments.files import atomic_file
from scratchac.experiments.plots import COLOURS, band
from scratchac.experiments.session import meet
from scratchac.training.loops import train

SEEDS, STEPS, EVERY, EPISODES = (0, 1, 2), 30_000, 1_500, 100
MAZES = {"gymnasium_robotics:PointMaze_UMaze-v3": 150, "gymnasium_robotics:PointMaze_Medium-v3": 300}     # most steps of an episode
TD3 = {"hidden": (64, 64), "learning_starts": 1_000, "gamma": 0.98, "tau": 0.02, "noise": "ou", "noise_scale": 0.5}

# %%
def learn(env, env_args, seed, k, steps=STEPS):
    """Train with k further goals for each step; {step: share of goals reached}, and the replay buffer."""
    agent = scratchac.make_agent("td3", env, seed, env_args=env_args, steps=STEPS, hindsight=k, **TD3)
    envs, reached = VectorEnv(env, 1, seed, **env_args), {}
    meet(envs, agent)

    def report(agent, *_):
        if agent.step % EVERY == 0:                                 # a return is 1 if info["success"], or else 0
            reached[agent.step] = round(float(scratchac.evaluate(agent, env, EPISODES, **env_args).mean()), 2)

    train(agent, envs, steps, report)
    envs.close()
    print(f"{env}, k = {k}, seed {seed}: {', '.join(f'{share:.0%}' for share in reached.values())}", flush=True)
    return reached, agent.memory


def measure():
    """What demos/results/hindsight.json holds. An episode ends at its goal."""
    mazes = {env: {"env_args": {"continuing_task": False, "max_episode_steps": limit}} for env, limit in MAZES.items()}
    for env, maze in mazes.items():
        for k, label in ((4, "with hindsight"), (0, "without")):
            maze[label] = {str(seed): learn(env, maze["env_args"], seed, k)[0] for seed in SEEDS}
    return {"command": "python demos/24_hindsight.py", "steps": STEPS, "episodes": EPISODES, "hyperparameters": TD3,
            "tuning_seeds": "500-502", "backend": kernels.backend.name, "mazes": mazes,
            "versions": {name: version(name) for name in ("numpy", "gymnasium", "gymnasium-robotics", "mujoco")}}


def draw_first_episode(ax, env, memory, k):
    """The T real steps of the episode are the first ones in the replay buffer; the first one with k other goals follows."""
    made, T = make(env), 1 + np.flatnonzero(memory.data["term"] + memory.data["trunc"])[0]
    at = made.observation_space.parts
    path, goals = (memory.data["next_obs"][: T + k, at[name]].T for name in ("achieved_goal", "desired_goal"))
    walls = np.array(made.unwrapped.maze.maze_map)
    ax.imshow(walls, cmap="Greys", vmax=2, extent=np.outer(walls.shape[::-1], (-0.5, 0.5)).ravel())
    ax.plot(*path[:, :T], color="grey", lw=1.5, label="where the ball rolled")
    ax.plot(*goals[:, T:], "o", color=COLOURS[0], label="the goals of its first step in hindsight")
    ax.plot(*goals[:, 0], "*", color=COLOURS[3], ms=14, label="the goal that was desired")
    style.bare(ax)

# %%
fig, (left, *others) = figure("The first episode", *(f"TD3 in {env.split(':')[1]}, {len(SEEDS)} seeds" for env in MAZES))
if redraws():
    result = json.loads((HERE / "results" / "hindsight.json").read_text())
else:
    result = measure()
    with atomic_file(output("results") / "hindsight.json") as file:
        file.write(f"{json.dumps(result, indent=1)}\n".encode())
for ax, results in zip(others, result["mazes"].values(), strict=True):
    for label, colour in (("with hindsight", COLOURS[0]), ("without", COLOURS[1])):
        runs = results[label].values()
        band(ax, [np.array([*run], int) for run in runs], [100 * np.array([*run.values()]) for run in runs], label, colour)
    style.steps(ax)
    ax.set(ylabel="goals reached, %", ylim=(-2, 102))

# %%
env = [*MAZES][-1]
draw_first_episode(left, env, learn(env, results["env_args"], 0, 4, steps=results["env_args"]["max_episode_steps"])[1], 4)
save(fig, "24_hindsight")
