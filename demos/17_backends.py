# %% [markdown]
# # What does a backend change?
#
# The same seed on every backend that can run here: returns over steps agree, returns over seconds do not.
#
# A2C on CartPole and SAC on Pendulum, one seed each. Backends add up numbers in different orders, so their parameters part in the
# last digits, and after some thousand steps their episodes do: what agrees is how they learn. Seconds are those spent training;
# compilation happens in a short run before. Takes about a minute.

# %%
import tempfile

from common import figure, save

import kernels
import scratchac
from scratchac import style
from scratchac.bench.report import available
from scratchac.experiments.plots import COLOURS
from scratchac.experiments.run import Run

RUNS = {
    "A2C, CartPole-v1": ("a2c", "CartPole-v1", 500_000,
                         {"optimiser": "rmsprop", "actor_lr": "linear:7e-4:0", "critic_lr": "linear:7e-4:0"}),
    "SAC, Pendulum-v1": ("sac", "Pendulum-v1", 10_000, {}),
}

# %%
fig, axes = figure(*(f"{title}: over {what}" for title in RUNS for what in ("steps", "seconds")), rows=2, height=2.7)
for i, (title, (algorithm, env, steps, options)) in enumerate(RUNS.items()):
    over_steps, over_seconds = axes[2 * i], axes[2 * i + 1]
    for name, colour in zip(available(), COLOURS, strict=False):
        if kernels.load(name).device != "cpu" and algorithm == "a2c":
            continue
        scratchac.train(algorithm, env, 2_000, backend=name, quiet=True, **options)     # compiles
        with tempfile.TemporaryDirectory() as folder:
            scratchac.train(algorithm, env, steps, seed=0, backend=name, out=f"{folder}/run", quiet=True, **options)
            m = Run.open(f"{folder}/run").metrics()
        over_steps.plot(m["step"], m["return_mean"], color=colour, label=name)
        over_seconds.plot(m["wall_s"], m["return_mean"], color=colour, label=name)
        print(f"{title}, {name}: {m['wall_s'][-1]:.1f} s, return {m['return_mean'][-1]:.0f} over the last 100 episodes")
    style.steps(over_steps)
    over_seconds.set_xlabel("seconds of training")
    over_steps.set_ylabel("return (last 100 episodes)")
save(fig, "17_backends")
