"""The CuPy backend without a GPU: its CUDA source compiled by nvcc, run on the CPU as C++, and all of it on a stand-in for CuPy."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cuda_host
import cupy_double
import device_double
import device_updates
import gpu
import numpy as np
import pytest

import kernels
from kernels.cuda_source import KERNELS, TYPES, Source, translation_unit
from scratchac.distributions import tanh_gaussian, tanh_gaussian_backward
from scratchac.nn import linear, linear_backward
from scratchac.optim import adam, polyak, rmsprop

TOLERANCE = {np.float32: {"rtol": 2e-6, "atol": 2e-6}, np.float64: {"rtol": 1e-13, "atol": 1e-13}}
NVCC = shutil.which("nvcc")
on_host = pytest.mark.skipif(not cuda_host.compiler(), reason="no g++")
with_nvcc = pytest.mark.skipif(not NVCC, reason="no nvcc")


# -- the source as C++, beside the references ------------------------------------------------------------------------------------


def cases(dtype, rows=37, columns=5):
    """Kernel → (arguments, as its source takes them; what the references give for its outputs)."""
    rng = np.random.default_rng(0)
    x, y, dy, mu, log_std, eps, da = rng.standard_normal((7, rows, columns)).astype(dtype)
    b, dlogp = rng.standard_normal(columns).astype(dtype), rng.standard_normal(rows).astype(dtype)
    W, v = np.eye(columns, dtype=dtype), rng.random((rows, columns)).astype(dtype)
    a, wide = np.tanh(mu), np.ascontiguousarray(np.broadcast_to(b, y.shape))
    found = {}
    for f in ("identity", "relu", "tanh"):
        found[f"add_bias_{f}"] = [wide, x.copy()], [linear.__wrapped__(x, W, b, f)]
    for f, out in (("relu", np.maximum(x, 0)), ("tanh", a)):
        dz = linear_backward.__wrapped__(dy, x, out, W, f, None, None)
        found[f"through_{f}"] = [dy, out, np.zeros_like(dy)], [dz]
    lr, beta1, beta2, small, t, tau = 0.01, 0.9, 0.99, 1e-5, 3, 0.1
    for name, changed, numbers, given in (
            ("adam", [mu, eps, v], (lr, beta1, beta2, small, t),
             (lr / (1 - beta1**t), beta1, beta2, small, 1 / (1 - beta2**t) ** 0.5)),
            ("rmsprop", [mu, v], (lr, beta1, small), (lr, beta1, small)), ("polyak", [mu], (tau,), (tau,))):
        theirs = [part.copy() for part in changed]
        {"adam": adam, "rmsprop": rmsprop, "polyak": polyak}[name].__wrapped__(theirs[0], dy, *theirs[1:], *numbers)
        found[name] = [dy, *given, *(part.copy() for part in changed)], theirs
    features = [tanh_gaussian.__wrapped__(*(part[:, [i]] for part in (mu, log_std, eps)))[1] for i in range(columns)]
    theirs = tanh_gaussian.__wrapped__(mu, log_std, eps)
    found["tanh_gaussian"] = [mu, log_std, eps, *np.zeros((3, *mu.shape), dtype)], [theirs[0], theirs[2], np.stack(features, 1)]
    broad = np.ascontiguousarray(np.broadcast_to(dlogp[:, None], mu.shape))
    found["tanh_gaussian_backward"] = ([a, log_std, eps, da, broad, *np.zeros((2, *mu.shape), dtype)],
                                       tanh_gaussian_backward.__wrapped__(a, log_std, eps, da, dlogp))
    return found


def agrees(name, arguments, expected, dtype, library=None, symbol=None):
    own = [x.copy() if isinstance(x, np.ndarray) else x for x in arguments]
    cuda_host.run(name, own, library, symbol)
    assert len(KERNELS[name].outputs.split()) == len(expected)
    assert all(x.dtype == dtype for x in expected)
    return all(np.allclose(x, y, **TOLERANCE[dtype]) for x, y in zip(own[-len(expected):], expected, strict=True))


@on_host
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_source_computes_what_the_references_compute(dtype):
    found = cases(dtype)
    assert set(found) == set(KERNELS)
    for name, (arguments, expected) in found.items():
        assert agrees(name, arguments, expected, dtype), name


SWAPPED = {" + ": " - ", " - ": " + ", " * ": " / ", " / ": " * ", " > ": " < ", " < ": " > ", " exp(": " log1p(", "tanh(": "exp(",
           "? dy : ": "? -dy : "}


@on_host
def test_a_changed_source_is_noticed():
    """Every operator and every function of every kernel, one at a time."""
    changed = {}
    for name, source in KERNELS.items():
        for old, new in SWAPPED.items():
            for n, place in enumerate(re.finditer(re.escape(old), source.body)):
                body = source.body[:place.start()] + new + source.body[place.end():]
                changed[f"{name}__{list(SWAPPED).index(old)}_{n}"] = Source(*source[:3], body)
    library, found = cuda_host.compiled(translation_unit(changed), "-O0"), cases(np.float64)
    assert {name.split("__")[0] for name in changed} == set(KERNELS) and len(changed) > 50
    unnoticed = [name for name in changed if agrees(name.split("__")[0], *found[name.split("__")[0]], np.float64, library, name)]
    assert unnoticed == []


@on_host
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numbers_far_out(dtype):
    """NaN is passed on, since training looks for it, and log π stays finite where tanh is ±1."""
    nan, one = np.full(3, np.nan, dtype), np.ones(3, dtype)
    for f in ("identity", "relu", "tanh"):
        y = one.copy()
        cuda_host.run(f"add_bias_{f}", [nan, y])
        assert np.isnan(y).all(), f
    mu, eps = np.array([-1e4, 30, np.nan], dtype), np.zeros(3, dtype)
    a, u, logp = np.zeros((3, 3), dtype)
    cuda_host.run("tanh_gaussian", [mu, np.zeros(3, dtype), eps, a, u, logp])
    theirs = tanh_gaussian.__wrapped__(*(x[:, None] for x in (mu, np.zeros(3, dtype), eps)))
    np.testing.assert_allclose(logp, theirs[1], rtol=1e-6)
    assert a[:2].tolist() == [-1, 1] and np.isfinite(logp[:2]).all() and np.isnan(logp[2]) and np.isnan(a[2])


# -- the source as CUDA ----------------------------------------------------------------------------------------------------------


def nvcc(folder, text, *options):
    """What nvcc makes of a text; every warning is an error."""
    source, target = folder / "kernels.cu", folder / "kernels.out"
    source.write_text(text)
    words = [NVCC, "-Werror", "all-warnings", *options, str(source), "-o", str(target)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return target.read_bytes()


def architectures():
    done = subprocess.run([NVCC, "--list-gpu-code"], capture_output=True, text=True, check=True)
    return re.findall(r"^sm_\d+$", done.stdout, re.MULTILINE)


def in_float64(ptx):
    """Kernel → whether its code has an instruction on 64-bit floats."""
    bodies = re.findall(r"\.entry (\w+)\((?:[^)]*)\)\s*(.*?)\n}", ptx, re.DOTALL)
    return {name: bool(re.search(r"\.f64\s+%", body)) for name, body in bodies}


@with_nvcc
def test_nvcc_compiles_the_source(tmp_path):
    """For the oldest architecture that this nvcc knows. Nothing in a float32 kernel is computed in float64."""
    ptx = nvcc(tmp_path, translation_unit(), "-arch=" + architectures()[0], "-ptx").decode()
    assert in_float64(ptx) == {f"{name}_{kind}": kind == "float64" for name in KERNELS for kind in TYPES}
    careless = {"polyak": KERNELS["polyak"]._replace(body="target = (1.0 - tau) * target + tau * online")}
    assert in_float64(nvcc(tmp_path, translation_unit(careless), "-arch=" + architectures()[0], "-ptx").decode())["polyak_float32"]


@with_nvcc
@pytest.mark.slow
def test_nvcc_compiles_the_source_for_every_architecture(tmp_path):
    assert len(architectures()) > 3
    for name in architectures():
        assert nvcc(tmp_path, translation_unit(), f"-arch={name}", "-cubin").startswith(b"\x7fELF"), name


# -- the whole backend on a stand-in for CuPy --------------------------------------------------------------------------------------


@on_host
@pytest.mark.parametrize("algorithm", device_updates.ALGORITHMS)
def test_updates_on_the_stand_in_are_the_references(algorithm, monkeypatch):
    """float64: the backend's own functions and its CUDA source as C++; nothing waits for the device within an update."""
    reference = device_updates.after_updates("numpy", algorithm, np.float64)
    cls = device_updates.algorithms.find(algorithm)
    update = cls.update

    def without_waiting(agent, batch):
        with device_double.no_waiting():
            return update(agent, batch)

    monkeypatch.setattr(cls, "update", without_waiting)
    cupy_double.launches.clear()
    with cupy_double.installed():
        ours = device_updates.after_updates("cupy", algorithm, np.float64)
    assert set(ours) == set(reference)
    for name, x in reference.items():
        np.testing.assert_allclose(ours[name], x, rtol=1e-8, atol=1e-10, err_msg=name)
    expected = {"add_bias_relu", "add_bias_identity", "through_relu", "adam", "polyak"}
    assert set(cupy_double.launches) == expected | ({"tanh_gaussian", "tanh_gaussian_backward"} if algorithm == "sac" else set())


@on_host
@pytest.mark.slow
def test_the_tests_of_backends_pass_on_the_stand_in():
    """So on a device they fail only for what a stand-in cannot show."""
    folder = Path(__file__).parent
    words = ["-m", "pytest", "-n", "0", "-p", "cupy_double", "-k", "cupy", *(str(folder / name) for name in gpu.TESTS)]
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), *sys.path])}
    done = subprocess.run([sys.executable, *words], env=env, capture_output=True, text=True)
    assert done.returncode == 0 and int(re.search(r"(\d+) passed", done.stdout)[1]) > 30, done.stdout[-3000:]


@on_host
def test_the_stand_in_refuses_what_cupy_refuses():
    with cupy_double.installed(), kernels.using("cupy") as k:
        cupy = sys.modules["cupy"]
        x, y = k.zeros((2, 3), np.float32), k.zeros((2, 3), np.float64)
        kernel = sys.modules["kernels.cupy_kernels"].POLYAK
        for mistake, error in ((lambda: kernel(x, 0.1, y), TypeError), (lambda: kernel(x, 0.1, x[0]), ValueError),
                               (lambda: kernel(x, 0.1, np.zeros((2, 3), np.float32)), TypeError), (lambda: kernel(x), TypeError),
                               (lambda: cupy.sum(x, where=x > 0), TypeError), (lambda: cupy.linspace(0, 1), AttributeError)):
            with pytest.raises(error):
                mistake()
    with cupy_double.installed(devices=0), pytest.raises(kernels.BackendError, match="cannot run here: cudaErrorNoDevice"):
        kernels.load("cupy")


# -- the page for a machine with a GPU ---------------------------------------------------------------------------------------------


def test_the_page_for_a_gpu_needs_one():
    """One line says what is missing, and nothing is written."""
    before = gpu.FILE.exists()
    program = "import sys; sys.modules['cupy'] = None; import gpu; sys.exit(gpu.main())"
    done = subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parent, capture_output=True, text=True)
    assert (done.returncode, done.stdout, gpu.FILE.exists()) == (2, "", before)
    assert re.fullmatch(r"gpu\.sh: backend cupy cannot run here \(.*\): pip install cupy-cuda13x\n", done.stderr), done.stderr


@pytest.mark.slow
@on_host
def test_the_page_for_a_gpu(monkeypatch, capsys, tmp_path):
    """On the stand-in, with few numbers. Without a device, and after tests that fail, nothing is written."""
    monkeypatch.setattr(gpu, "FILE", tmp_path / "gpu.json")
    monkeypatch.setattr(gpu, "STEPS", 60)
    monkeypatch.setattr(gpu, "tests", lambda: "90 passed")
    rate, training = gpu.rate, gpu.training
    monkeypatch.setattr(gpu, "rate", lambda *names: rate(*names, (3, 2, (8,), 4), 0.01))
    monkeypatch.setattr(gpu, "training", lambda: training(60, hidden=(8,), batch_size=8, learning_starts=30))
    with cupy_double.installed(devices=0):
        assert gpu.main() == 2
    nothing = "cudaErrorNoDevice: no CUDA-capable device is detected"
    assert capsys.readouterr().err == f"gpu.sh: backend cupy cannot run here: {nothing}\n"
    with cupy_double.installed():
        assert gpu.main() == 0
        page = capsys.readouterr().out
        figures = json.loads(gpu.FILE.read_text())
        assert "a stand-in" in page and "90 passed" in page and set(figures["updates/s"]) == set(device_updates.ALGORITHMS)
        gpu.FILE.unlink()

        def failing():
            raise RuntimeError("the tests fail on the device:\n...")

        monkeypatch.setattr(gpu, "tests", failing)
        assert gpu.main() == 1 and not gpu.FILE.exists()
