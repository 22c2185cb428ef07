"""The tests in other versions of Python, and with the oldest dependencies that setup.cfg allows.

    python tests/versions.py                            all of them; in the end the results go to demos/results/versions.json
    python tests/versions.py --only "python 3.13"       one of them
    python tests/versions.py -- -m "not slow"           other arguments of pytest

Each set has a new virtual environment. A Python that this machine does not have is left out, and named.
"""

import argparse
import configparser
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from pathlib import Path

HOUSE = Path(__file__).parents[1]
FIGURES = HOUSE / "demos" / "results" / "versions.json"
EVERYTHING = "box2d,games,mujoco,numba,onnx,test,tune"
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
SHOWN = ("numpy", "gymnasium", "matplotlib", "tyro", "tqdm", "threadpoolctl", "numba", "scipy", "mujoco", "onnx", "onnxruntime",
         "pettingzoo", "optuna")

# name → (Python, extras, whether dependencies are the oldest ones)
SETS = {f"python {version}": (version, EVERYTHING, False) for version in PYTHONS} | {
    "oldest, all extras": ("3.11", EVERYTHING, True),
    "oldest, without extras": ("3.11", "test", True),       # gymnasium 1.1; with the extras it is 1.3
}


def oldest(extras: str) -> list[str]:
    """name==version of the lower bounds in setup.cfg, the larger one where two of these parts have one."""
    parser = configparser.ConfigParser()
    parser.read(HOUSE / "setup.cfg")
    texts = [parser["options"]["install_requires"],
             *(parser["options.extras_require"][name] for name in extras.split(",") if name != "test")]
    bounds: dict[str, tuple[int, ...]] = {}
    for name, version in re.findall(r"^([\w-]+)(?:\[.*?\])? *>= *([\d.]+)", "\n".join(texts), re.MULTILINE):
        bounds[name] = max(bounds.get(name, ()), tuple(map(int, version.split("."))))
    return [f"{name}=={'.'.join(map(str, version))}" for name, version in bounds.items()]


def run(name: str, arguments: list[str]) -> dict[str, object] | None:
    """Install one set and run the tests in it; None if there is no such Python."""
    version, extras, old = SETS[name]
    python = python_of(version)
    if python is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([python, "-m", "venv", f"{folder}/venv"], check=True)
        inside = f"{folder}/venv/bin/python"
        Path(folder, "oldest.txt").write_text("\n".join(oldest(extras) if old else []))
        subprocess.run([inside, "-m", "pip", "install", "-q", "-c", f"{folder}/oldest.txt", "-e", f"{HOUSE}[{extras}]"], check=True)
        listed = subprocess.run([inside, "-m", "pip", "list", "--format", "json"], check=True, capture_output=True)
        versions = {x["name"].lower(): x["version"] for x in json.loads(listed.stdout)}
        # What old packages warn of is about newer versions of their own dependencies.
        arguments = [*(["-W", "ignore::DeprecationWarning"] if old else []), *arguments]
        started = time.monotonic()
        subprocess.run([inside, "-m", "pytest", f"--junitxml={folder}/junit.xml", *arguments], cwd=HOUSE)
        suite = ET.parse(f"{folder}/junit.xml").find("testsuite")
        counts = {key: int(suite.get(key)) for key in ("tests", "failures", "errors", "skipped")}
        return {"python": version, "extras": extras, "passed": counts["tests"] - sum(list(counts.values())[1:]),
                "failed": counts["failures"] + counts["errors"], "skipped": counts["skipped"], "arguments": arguments,
                "seconds": round(time.monotonic() - started), "packages": {key: versions[key] for key in SHOWN if key in versions}}


def python_of(version: str) -> str | None:
    """An interpreter of that version that works, or None. A version manager's command may exist and not work."""
    for command in (f"python{version}", *map(str, Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))):
        if shutil.which(command) and subprocess.run([command, "-c", ""], capture_output=True).returncode == 0:
            return command
    return None


def main() -> int:
    """The command; exits with 1 if a test has failed in one of the sets."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("arguments", nargs="*", help="arguments of pytest, after --")
    options = parser.parse_args()
    results: dict[str, object] = {}
    for name in options.only:
        result = run(name, options.arguments)
        if result is None:
            print(f"{name}: this machine has no such Python", flush=True)
            continue
        results[name] = result
        print(f"{name}: {result['passed']} passed, {result['failed']} failed, {result['skipped']} skipped", flush=True)
    # Not before, since the tests of the next set compare the tables with this file.
    kept = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    FIGURES.write_text(json.dumps(kept | results, indent=1) + "\n")
    return int(any(result["failed"] for result in results.values()))


if __name__ == "__main__":
    os.environ.pop("PYTHONPATH", None)
    sys.exit(main())
