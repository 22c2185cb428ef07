"""What a bug report needs: versions, BLAS, threads, backends, extras, rendering."""

import importlib.metadata
import os
import platform

import numpy as np

import kernels
import scratchac
from scratchac import export, games, workers
from scratchac.envs import INSTALL, has_screen

OPTIONAL = {**INSTALL, "pettingzoo": games.INSTALL, "numba": kernels.BACKENDS["numba"][2],
            "imageio-ffmpeg": "pip install 'imageio[ffmpeg]'", "onnxruntime": export.INSTALL, "ray": workers.INSTALL}


def report():
    """Lines of (name, value); values of missing parts say how to get them."""
    lines = [("scratchac", scratchac.__version__), ("python", platform.python_version()),
             ("machine", f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs")]
    lines += [(name, version(name)) for name in ("numpy", "gymnasium", "matplotlib", "tqdm", "tyro")]
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    lines.append(("BLAS", f"{blas['name']} {blas['version']}"))
    limits = [f"{name}={os.environ[name]}" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
              if name in os.environ]
    lines.append(("threads", f"one for BLAS while training; Numba {os.cpu_count()} unless limited; limits set: "
                             f"{', '.join(limits) or 'none'}"))
    for name in kernels.BACKENDS:
        try:
            kernels.load(name)
            lines.append((f"backend {name}", "ready"))
        except kernels.BackendError as error:
            lines.append((f"backend {name}", str(error)))
    lines += [(name, version(name) or f"missing: {command}") for name, command in OPTIONAL.items()]
    lines.append(("screen", "yes" if has_screen() else "none: train, evaluate and video work, play does not"))
    return lines


def version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
