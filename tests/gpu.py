"""What tests/gpu.sh runs: the CuPy backend on a device, on one page, and its figures in demos/results/gpu.json."""

import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

HOUSE = Path(__file__).parent.parent
FILE = HOUSE / "demos" / "results" / "gpu.json"
sys.path.insert(0, str(HOUSE))                                              # this folder's, whether it is installed or not

import device_updates  # noqa: E402

import kernels  # noqa: E402
import scratchac  # noqa: E402
from scratchac.training.loops import one_blas_thread  # noqa: E402

TESTS = "test_kernels.py", "test_backends.py", "test_gpu.py"
SIZE = 17, 6, (256, 256), 256                   # observations, actions, hidden layers, batch
SECONDS, STEPS = 3.0, 10_000


def machine():
    """Versions and the device's name. Raises BackendError without CuPy or without a device."""
    kernels.load("cupy")
    import cupy

    runtime = cupy.cuda.runtime
    device = runtime.getDeviceProperties(0)
    return {"device": device["name"].decode(), "compute capability": f"{device['major']}.{device['minor']}",
            "CUDA runtime": runtime.runtimeGetVersion(), "CUDA driver": runtime.driverGetVersion(), "CuPy": cupy.__version__,
            "NumPy": np.__version__, "Python": platform.python_version(), "scratchac": scratchac.__version__}


def tests():
    """The last line of pytest: kernels and updates beside the reference. Raises RuntimeError if a test fails."""
    # CuPy's own warnings are no failures here.
    words = ["-n", "0", "-W", "default", "-k", "cupy", *(str(HOUSE / "tests" / name) for name in TESTS)]
    done = subprocess.run([sys.executable, "-m", "pytest", *words], cwd=HOUSE, capture_output=True, text=True,
                          env=os.environ | {"PYTHONPATH": str(HOUSE)})
    if done.returncode:
        raise RuntimeError(f"the tests fail on the device:\n{done.stdout[-6000:]}{done.stderr[-2000:]}")
    return done.stdout.strip().splitlines()[-1]


@one_blas_thread
def rate(backend, algorithm, size=SIZE, seconds=SECONDS):
    """Updates a second. The first ones, which compile, are not counted."""
    with kernels.using(backend) as k:
        agent = device_updates.make(algorithm, np.float32, *size)

        def some(count):
            for _ in range(count):
                agent.update(agent.memory.sample(agent.batch_rng, agent.config.batch_size))
            k.wait()

        some(10)
        count, started = 0, time.perf_counter()
        while time.perf_counter() - started < seconds:
            some(20)
            count += 20
        return count / (time.perf_counter() - started)


def training(steps=STEPS, **options):
    """SAC on Pendulum-v1: (seconds, mean return of 10 episodes). An untrained agent gets about −1,200, a trained one about −150."""
    started = time.perf_counter()
    agent = scratchac.train("sac", "Pendulum-v1", steps, backend="cupy", quiet=True, **options)
    seconds = time.perf_counter() - started
    return seconds, float(scratchac.evaluate(agent, "Pendulum-v1", 10).mean())


def main():
    """Print the page and write the figures. Returns the exit code."""
    try:
        figures = {"machine": machine()}
    except kernels.BackendError as error:
        print(f"gpu.sh: {error}", file=sys.stderr)
        return 2
    for name, value in figures["machine"].items():
        print(f"{name:<20}{value}")
    try:
        figures["tests"] = tests()
    except RuntimeError as error:
        print(f"gpu.sh: {error}", file=sys.stderr)
        return 1
    print(f"{'tests':<20}{figures['tests']}\n\nupdates a second, 256-256, batch 256")
    figures["updates/s"] = {}
    for algorithm in device_updates.ALGORITHMS:
        rates = figures["updates/s"][algorithm] = {name: rate(name, algorithm) for name in ("cupy", "numpy")}
        print(f"{algorithm:<20}{rates['cupy']:10,.0f}   (numpy on this machine {rates['numpy']:,.0f})", flush=True)
    seconds, result = training()
    figures["SAC, Pendulum-v1"] = {"steps": STEPS, "seconds": seconds, "return": result}
    print(f"\nSAC, Pendulum-v1, {STEPS:,} steps: {seconds:.0f} s, return {result:.0f}")
    FILE.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"written to {FILE.relative_to(HOUSE) if FILE.is_relative_to(HOUSE) else FILE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
