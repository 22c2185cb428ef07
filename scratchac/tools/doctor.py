"""The facts that a bug report needs: versions, BLAS, threads, backends, GPU, rendering; and what is missing, in one line."""

import importlib.metadata
import math
import os
import platform
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from typing import Any

import gymnasium as gym
import numpy as np
from threadpoolctl import threadpool_info

import kernels
from scratchac.algorithms import ALGORITHMS
from scratchac.api import require_trainable
from scratchac.environments import games, pool
from scratchac.environments.drawing import has_screen
from scratchac.environments.flattened import shortened
from scratchac.environments.make import INSTALL, close, make
from scratchac.errors import UserError
from scratchac.experiments import logs
from scratchac.experiments.presets import find_preset
from scratchac.parallel import workers
from scratchac.site import notebooks
from scratchac.tools import export, tune
from scratchac.version import __version__

# a package of the extras → the command that installs it
OPTIONAL = {**INSTALL, "pettingzoo": games.INSTALL, "gymnasium-robotics": "pip install 'gymnasium-robotics>=1.4'",
            "numba": str(kernels.BACKENDS["numba"][2]), "envpool": pool.INSTALL,
            "imageio-ffmpeg": "pip install 'imageio[ffmpeg]'", "onnxruntime": export.INSTALL, "ray": workers.INSTALL,
            "jupytext": notebooks.INSTALL, "optuna": tune.INSTALL, **logs.INSTALL}
ENVIRONMENT = ("SCRATCHAC_BACKEND", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS",
               "NUMBA_DISABLE_JIT", "MUJOCO_GL", "SDL_VIDEODRIVER", "CUDA_VISIBLE_DEVICES")
# Drawing is tested in a process of its own, since a faulty driver may end the process.
DRAW = {"pictures": "import gymnasium; e = gymnasium.make('CartPole-v1', render_mode='rgb_array'); e.reset(); e.render()",
        "pictures, MuJoCo": "import mujoco; mujoco.Renderer(mujoco.MjModel.from_xml_string('<mujoco/>'), 8, 8)"}


def report() -> list[tuple[str, str]]:
    """Lines of (name, value); values of missing parts say how to install them."""
    memory = kernels.load("numpy").memory() / 2**30
    lines = [("scratchac", __version__), ("python", platform.python_version()),
             ("machine", f"{platform.platform()}, {os.cpu_count()} CPUs, {memory:.1f} GiB")]
    lines += [(name, version(name) or "missing") for name in ("numpy", "gymnasium", "matplotlib", "tqdm", "tyro")]
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    threads = [str(library["num_threads"]) for library in threadpool_info() if library["user_api"] == "blas"]
    lines.append(("BLAS", f"{blas['name']} {blas['version']}, {' and '.join(threads) or '?'} threads, one while training"))
    settings = [f"{name}={os.environ[name]}" for name in ENVIRONMENT if name in os.environ]
    lines.append(("environment", " ".join(settings) or "nothing set"))
    for name in kernels.BACKENDS:
        try:
            kernels.load(name)
            lines.append((f"backend {name}", "ready"))
        except kernels.BackendError as error:
            lines.append((f"backend {name}", str(error)))
    if version("kernels"):
        lines.append(("kernels", "an unrelated package of this name is installed, and one has replaced files of the other"))
    lines.append(("GPU", gpu() or "none"))
    lines += [(name, version(name) or f"missing: {command}") for name, command in OPTIONAL.items()]
    lines.append(("screen", "yes" if has_screen() else "none: train, evaluate and video work, watch and play do not"))
    lines += [(name, drawn(program)) for name, program in DRAW.items() if "MuJoCo" not in name or version("mujoco")]
    return [*lines, ("missing", missing())]


def about(env: str) -> list[tuple[str, str]]:
    """Lines of (name, value): what agents observe and do in an environment, and which algorithms take it. Raises UserError."""
    made = make(env)
    close(made)
    able, why = [], ""
    given: dict[str, Any] = {"action_mask": True} if env in games.GAMES else {}
    for name in ALGORITHMS:
        try:
            require_trainable(name, env, **given)
            arguments = find_preset(name, env)[1]           # with which the environment may have other spaces than these
            able.append(f"{name} (with {', '.join(f'{key}={value}' for key, value in arguments.items())})" if arguments else name)
        except UserError as error:
            why = why or str(error)
    return [("environment", env), ("observations", str(made.observation_space)), ("actions", actions_in_words(made.action_space)),
            ("algorithms", ", ".join(able) or f"none: {why}")]


def actions_in_words(space: Any) -> str:
    """An action space, and of how many numbers an action consists if these are chosen independently."""
    if isinstance(space, gym.spaces.MultiDiscrete | gym.spaces.MultiBinary):
        return f"{shortened(space)}: {math.prod(space.shape)} numbers, each with a distribution of its own"
    return shortened(space)


def missing() -> str:
    """Everything that is missing, and one command that installs it."""
    commands = {name: command for name, command in OPTIONAL.items() if not version(name)}
    if gpu() and not find_spec("cupy"):
        commands["cupy"] = str(kernels.BACKENDS["cupy"][2])
    if not commands:
        return "nothing"
    packages = " ".join(command.removeprefix("pip install ") for command in commands.values())
    return f"{', '.join(commands)}: pip install {packages}"


def version(package: str) -> str | None:
    """The version of an installed package, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


@cache
def gpu() -> str:
    """Names and drivers of NVIDIA GPUs, as nvidia-smi prints them; empty without one."""
    try:
        return subprocess.run(["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"], capture_output=True,
                              text=True, check=True, timeout=20).stdout.strip().replace("\n", "; ")
    except (OSError, subprocess.SubprocessError):
        return ""


def drawn(program: str) -> str:
    """Whether a picture can be drawn without a screen."""
    settings = {"SDL_VIDEODRIVER": "dummy"} | ({} if has_screen() else {"MUJOCO_GL": "egl"}) | os.environ
    try:
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, env=settings)
    except subprocess.SubprocessError:
        return "no answer within a minute"
    said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
    return "ready" if done.returncode == 0 else f"fails: {said[-1]}"
