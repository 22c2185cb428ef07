"""What can an agent learn from that hardly ever gets where it should?

A ball in a maze; reaching the goal, which is elsewhere in every episode, pays 1, everything else nothing. Hindsight experience replay
(Andrychowicz et al. 2017) stores each step of an episode four times more, as if a place to which it led had been the goal.
Left: the first episode of a training, and the goals that its steps get. Right: how often the policy arrives, in 100 new episodes.
Also writes demos/results/hindsight.json. Needs the extra `robotics`. Takes about MINUTES minutes.
"""

import json
from importlib.metadata import version

import numpy as np
from common import PICTURES, figure, save

import kernels
import scratchac
from scratchac.environments.make import make
from scratchac.environments.vector import VectorEnv
from scratchac.experiments.plots import COLOURS, band
from scratchac.experiments.session import meet
from scratchac.training.loops import train

ENV, SEEDS, STEPS, POINTS, EPISODES = "gymnasium_robotics:PointMaze_Medium-v3", (0, 1, 2), 40_000, 20, 100
ARGS = {"continuing_task": False, "max_episode_steps": 150}         # an episode ends at its goal
TD3 = {"hidden": (64, 64), "learning_starts": 1_000, "gamma": 0.98, "noise": "ou", "noise_scale": 0.5}


def learn(seed, k):
    """Train with k further goals for each step; the success rates at POINTS moments, and the replay buffer."""
    agent = scratchac.make_agent("td3", ENV, seed, env_args=ARGS, steps=STEPS, hindsight=k, **TD3)
    envs, rates = VectorEnv(ENV, 1, seed, **ARGS), []
    meet(envs, agent)

    def report(agent, *_):
        if agent.step * POINTS >= STEPS * (len(rates) + 1):         # a return is 1 if info["success"], or else 0
            rates.append(round(float(scratchac.evaluate(agent, ENV, EPISODES, **ARGS).mean()), 2))

    train(agent, envs, STEPS, report)
    envs.close()
    print(f"k = {k}, seed {seed}: {rates[-1]:.0%} at the end", flush=True)
    return rates, agent.memory


fig, (left, right) = figure("The first episode, and the goals of its steps", f"TD3, mean and range of {len(SEEDS)} seeds")
result = {"command": "python demos/24_hindsight.py", "env": ENV, "env_args": ARGS, "steps": STEPS, "episodes": EPISODES,
          "hyperparameters": TD3, "backend": kernels.backend.name, "success": {},
          "versions": {name: version(name) for name in ("numpy", "gymnasium", "gymnasium-robotics", "mujoco")}}
at = STEPS // POINTS * np.arange(1, POINTS + 1)
for k, label, colour in ((4, "with hindsight", COLOURS[0]), (0, "without", COLOURS[1])):
    runs = [learn(seed, k) for seed in SEEDS]
    band(right, [at / 1000] * len(SEEDS), [100 * np.array(rates) for rates, _ in runs], label, colour)
    result["success"][label] = {str(seed): dict(zip(at.tolist(), rates, strict=True))
                                for seed, (rates, _) in zip(SEEDS, runs, strict=True)}
    if k:
        made, memory = make(ENV, **ARGS), runs[0][1]
        T = 1 + np.flatnonzero(memory.data["term"] + memory.data["trunc"])[0]       # its real steps; k·T with other goals follow
        path, goals = (memory.data["next_obs"][rows, made.observation_space.parts[part]].T for rows, part in (
            (slice(T), "achieved_goal"), (slice((1 + k) * T), "desired_goal")))
        left.imshow(np.array(made.unwrapped.maze.maze_map), cmap="Greys", extent=(-4, 4, -4, 4), vmax=2)
        left.plot(*path, color="grey", lw=1, label="where the ball rolled")
        left.plot(*goals[:, T:T + k], "o", color=COLOURS[0], label="goals of the first step in hindsight")
        left.plot(*goals[:, 0], "*", color=COLOURS[3], ms=14, label="the goal that was desired")
left.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, 0))
left.set_axis_off()
right.set_xlabel("thousand environment steps")
right.set_ylabel("goals reached, %")
right.legend(fontsize=8)
(PICTURES.parent / "results" / "hindsight.json").write_text(json.dumps(result, indent=1) + "\n")
save(fig, __file__)
