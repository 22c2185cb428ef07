# %% [markdown]
# # Does A2C land?
#
# The tuned preset on LunarLander-v3, from its learning curves to a landing.
#
# The thin curves are those of ten seeds that the preset was not tuned on (demos/results/curves/): the mean return of the last 100
# training episodes; 200 counts as solved. The bold one is the seed whose last policy is the median of the ten, the lower of the two
# in the middle. It is trained once more here, which may give a policy with another return: sums are rounded otherwise on another
# processor, and with another number of threads (NUMBA_NUM_THREADS; here 1). The picture on the right lays frames of one of its
# landings, evenly spaced in time, onto each other: not the best of 100 test episodes but the one with the median return. The film
# of that landing is demos/pictures/04_a2c_lander.gif. Takes about two minutes.

# %%
import json

import numpy as np
from common import HERE, figure, kept, output, save, save_dark
from PIL import Image

import kernels
import scratchac
from scratchac import style
from scratchac.experiments.plots import COLOURS
from scratchac.experiments.video import FPS, render

RESULTS, EPISODES, EXPOSURES = HERE / "results", 100, 7
EVERY, SIZE, SHADES = 4, (300, 200), 16             # the film has every fourth frame, at half the size, in few colours

# %% [markdown]
# The seed whose last policy is the median, by the results.

# %%
def recorded(backend):
    """{seed: mean return of its last policy}, and the name of the file."""
    name = f"a2c-LunarLander-v3{'' if backend == 'numpy' else f'-{backend}'}"
    seeds = json.loads((RESULTS / "returns" / f"{name}.json").read_text())["seeds"]
    return {int(seed): run["deterministic"]["mean"] for seed, run in seeds.items()}, name

# %% [markdown]
# It is trained once more. The landing of the median episode becomes a picture and a film.

# %%
@kept
def landing():
    """Backend and seed, returns of the last policy, its median landing in one picture, and the seconds that the landing takes."""
    backend = kernels.load("auto").name
    means, _ = recorded(backend)
    seed = sorted(means, key=means.__getitem__)[(len(means) - 1) // 2]
    agent = scratchac.train("a2c", "LunarLander-v3", seed=seed, backend=backend, quiet=True)
    test = scratchac.evaluate(agent, "LunarLander-v3", EPISODES)
    frames = render(agent, "LunarLander-v3", seed=int(np.argsort(test)[EPISODES // 2]))
    film = [Image.fromarray(frame).resize(SIZE).quantize(SHADES) for frame in frames[::EVERY]]
    path = output("pictures") / "04_a2c_lander.gif"
    film[0].save(path, save_all=True, append_images=film[1:], duration=1000 * EVERY // FPS, loop=0)
    # The sky is black and the moon does not move, so the brightest value of each pixel over time shows every exposure.
    exposures = [frames[i] for i in np.linspace(0, len(frames) - 1, EXPOSURES).astype(int)]
    return backend, seed, test, np.max(exposures, axis=0), len(frames) / FPS


backend, seed, test, picture, seconds = landing()
backend, SEED = str(backend), int(seed)
means, name = recorded(backend)
print(f"{backend}, seed {SEED}, last policy, {EPISODES} greedy episodes: mean {test.mean():.0f} (recorded {means[SEED]:.0f}), "
      f"median {np.median(test):.0f}, {(test >= 200).mean():.0%} reach 200; the landing takes {seconds:.1f} s")

# %% [markdown]
# Learning curves of all seeds, and the landing.

# %%
fig, (left, right) = figure(f"A2C on LunarLander-v3, {backend}: {len(means)} new seeds",
                            f"seed {SEED}, last policy, median episode: return {np.sort(test)[EPISODES // 2]:.0f}")
seeds, steps, returns = np.loadtxt(RESULTS / "curves" / f"{name}.csv", delimiter=",", skiprows=1, unpack=True)
others = [seed for seed in np.unique(seeds) if seed != SEED]
for seed in (*others, SEED):
    look = {"color": COLOURS[0], "lw": 2, "label": f"seed {SEED}, the median"} if seed == SEED else {"color": "grey", "lw": 0.6}
    left.plot(steps[seeds == seed], returns[seeds == seed], **look)
left.lines[0].set_label(f"the other {len(others)} seeds")
left.axhline(200, color="grey", ls=":", label="solved")
left.set(ylabel="return (last 100 episodes)", ylim=(-300, 300))
style.steps(left)
picture[(picture == 255).all(axis=-1)] = 200            # the moon is white, and so is the page
right.imshow(picture)
style.bare(right)
save(fig, "04_a2c_lander")
save_dark(fig, "04_a2c_lander")
