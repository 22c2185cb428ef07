"""Environments of other packages, from the command line as a user has it: train, stop, resume, evaluate, film; or one right line.

They run only where they are asked for, in a virtual environment with the extra `thirdparty` (CONTRIBUTING.md has the command). What
came of it is written to demos/results/thirdparty.json, from which demos/results/table.py makes a table.
"""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from scratchac.environments.flattened import Flattened, is_picture, shortened
from scratchac.experiments.run import Run

HERE = Path(__file__).parent
RESULTS = HERE.parents[1] / "demos" / "results" / "thirdparty.json"
REPLAY = "--learning-starts 50 --buffer-size 500 --batch-size 16 --hidden 16"
SHORT = {"sac": REPLAY, "td3": REPLAY, "discrete-sac": REPLAY, "a2c": "--rollout 10 --envs 2",
         "ppo": "--rollout 20 --envs 2 --batch-size 20 --epochs 1"}
MODULE = "outside:"                         # a module of the user's own, beside this file
NO_FILM = r"to be seen, an environment has to take render_mode='rgb_array': "

pytestmark = pytest.mark.thirdparty


@dataclass(frozen=True)
class Case:
    """`refused` and `no_film` are patterns of the line that is right; `through` says what of the user's own is in between."""

    package: str
    algorithm: str
    env: str
    through: str = ""
    env_args: str = ""
    refused: str = ""
    stopped: str = ""
    no_film: str = ""

    def __str__(self):
        return f"{self.algorithm} {self.env} {self.env_args}".strip()


CASES = [
    # A line that says MODULE:ID, and what it leads to.
    Case("minigrid", "a2c", "MiniGrid-Empty-5x5-v0",
         refused=r"unknown environment .*; none is like it \(one that a package registers is MODULE:ID, which imports MODULE"),
    Case("minigrid", "a2c", "minigrid:MiniGrid-Empty-5x5-v0", refused=r"observation space Dict\(.* is not supported: its part "
         r"\['mission'\] is MissionSpace.*gymnasium.wrappers.FilterObservation leaves entries out"),
    Case("minigrid", "a2c", f"{MODULE}MiniGridWithoutText-v0", "FilterObservation"),
    Case("minigrid", "ppo", f"{MODULE}MiniGridImage-v0", "minigrid's ImgObsWrapper"),
    Case("minigrid", "discrete-sac", f"{MODULE}MiniGridFlat-v0", "minigrid's FlatObsWrapper"),
    Case("minigrid", "ppo", f"{MODULE}MiniGridPixels-v0", "minigrid's RGBImgPartialObsWrapper, ImgObsWrapper"),
    Case("highway-env", "a2c", "highway_env:highway-fast-v0"),
    Case("highway-env", "ppo", "highway_env:intersection-v1"),
    Case("highway-env", "sac", "highway_env:parking-v0"),
    Case("gym-anytrading", "a2c", "gym_anytrading:stocks-v0", no_film=NO_FILM),
    Case("gym-trading-env", "a2c", "gym_trading_env:TradingEnv",
         refused=r"gym_trading_env:TradingEnv needs other arguments than none.*missing 1 required positional argument: 'df'"),
    Case("gym-trading-env", "a2c", f"{MODULE}Trading-v0", "a DataFrame", no_film=NO_FILM),
    Case("ale-py", "ppo", "ALE/Pong-v5", refused="ALE/Pong-v5 is registered by the module ale_py: here it is ale_py:ALE/Pong-v5"),
    Case("ale-py", "ppo", "ale_py:ALE/Pong-v5", env_args="max_episode_steps=30"),
    Case("ale-py", "a2c", "ale_py:ALE/Pong-v5", env_args="max_episode_steps=100 obs_type=ram"),
    Case("ale-py", "ppo", f"{MODULE}PongFrames-v0", "AtariPreprocessing", env_args="max_episode_steps=50"),
    Case("flappy-bird-gymnasium", "ppo", "flappy_bird_gymnasium:FlappyBird-v0"),
    Case("flappy-bird-gymnasium", "a2c", "flappy_bird_gymnasium:FlappyBird-v0", env_args="use_lidar=False"),
    Case("mo-gymnasium", "a2c", "mo_gymnasium:deep-sea-treasure-v0",
         stopped=r"the reward is array\(.*\), not a number \(a wrapper .* as mo_gymnasium.wrappers.LinearReward does\)"),
    Case("mo-gymnasium", "a2c", f"{MODULE}Treasure-v0", "mo_gymnasium's LinearReward"),
    Case("gymnasium-robotics", "sac", "gymnasium_robotics:FetchReach-v4"),
    Case("gymnasium-robotics", "td3", "gymnasium_robotics:PointMaze_UMaze-v3", env_args="max_episode_steps=100"),
    Case("gymnasium-robotics", "ppo", "gymnasium_robotics:AdroitHandDoor-v1", env_args="max_episode_steps=100"),
    Case("panda-gym", "sac", "panda_gym:PandaReach-v3"),
    Case("dm_control", "sac", "dm_control/cartpole-balance-v0",
         refused=r"dm_control/cart\S+ is registered by the module shimmy: here it is shimmy:dm_control/cartpole-balance-v0"),
    Case("dm_control", "sac", "shimmy:dm_control/cartpole-balance-v0", env_args="max_episode_steps=100"),
    Case("dm_control", "ppo", "shimmy:dm_control/walker-walk-v0", env_args="max_episode_steps=100"),
    Case("bsuite", "a2c", "bsuite/catch-v0",
         refused="bsuite/catch-v0 is registered by the module shimmy: here it is shimmy:bsuite/catch-v0"),
    Case("bsuite", "a2c", "shimmy:bsuite/catch-v0", no_film=NO_FILM),
    Case("bsuite", "ppo", "shimmy:bsuite/cartpole-v0", env_args="max_episode_steps=200", no_film=NO_FILM),
    Case("crafter", "ppo", "crafter:CrafterReward-v1", refused="crafter:CrafterReward-v1 is registered with the old package gym, "
         "not with Gymnasium: a subclass of gymnasium.Env has to translate its reset and step"),
    Case("crafter", "ppo", f"{MODULE}Crafter-v0", "a subclass of gymnasium.Env", env_args="max_episode_steps=50"),
    Case("gym", "a2c", "old:OldCartPole-v0", refused="old:OldCartPole-v0 is registered with the old package gym, not with Gymnasium"
         ": pip install shimmy, and then it is shimmy:GymV26Environment-v0 with --env-args env_id=old:OldCartPole-v0 "
         "'make_kwargs={\"disable_env_checker\": true}'"),
    Case("gym", "a2c", "shimmy:GymV26Environment-v0",
         env_args='env_id=old:OldCartPole-v0 make_kwargs={"disable_env_checker":true}', no_film=NO_FILM),
    Case("gym", "a2c", "shimmy:GymV26Environment-v0",
         env_args='env_id=old:OldCartPole-v0 make_kwargs={"disable_env_checker":true,"render_mode":"rgb_array"}'),
]


@pytest.fixture(scope="module")
def results():
    """Rows of the table, by case; they replace those of the same cases in the file."""
    found = {}
    yield found
    kept = {row["case"]: row for row in json.loads(RESULTS.read_text())} if RESULTS.exists() else {}
    rows = [(kept | found)[str(case)] for case in CASES if str(case) in kept | found]
    RESULTS.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n")


def scratchac(*words):
    """Exit code, stdout and the messages on stderr of a command, run beside the modules outside.py and old.py, without a screen."""
    env = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY", "PYTHONPATH")}
    command = [str(Path(sys.executable).with_name("scratchac")), *words]
    done = subprocess.run(command, cwd=HERE, env=env | {"OPENBLAS_NUM_THREADS": "1"}, capture_output=True, text=True,
                          timeout=600)
    assert "Traceback" not in done.stderr, done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith("scratchac: ")]
    return done.returncode, done.stdout.splitlines(), said


def in_words(space):
    """An observation space in a few words."""
    if isinstance(space, Flattened):
        return f"{type(space.original).__name__}, {space.shape[0]:,} numbers"
    shape = " × ".join(map(str, space.shape))
    return f"pictures {shape}" if is_picture(space) else f"{shape} numbers"


@pytest.mark.parametrize("case", CASES, ids=str)
def test_from_the_command_line(case, results, tmp_path):
    try:
        installed = version(case.package)
    except PackageNotFoundError:
        pytest.skip(f"{case.package} is not installed")                     # bsuite on newer versions of Python
    run = str(tmp_path / "run")
    row = {"case": str(case), "package": case.package, "version": installed, "algorithm": case.algorithm,
           "env": case.env, "through": case.through, "env_args": case.env_args}
    args = ["--env-args", *case.env_args.split()] if case.env_args else []
    words = SHORT[case.algorithm].split()
    code, out, said = scratchac("train", case.algorithm, "--env", case.env, *args, *words, "--steps", "200", "--stop-after", "100",
                                "--eval-episodes", "2", "--out", run, "--seed", "1")
    if case.refused or case.stopped:
        assert code == (2 if case.refused else 1) and re.search(case.refused or case.stopped, said[-1]), said
        assert case.stopped or (len(said) == 1 and not Path(run).exists())
        line = re.sub(" at 0x[0-9a-f]+", "", said[-1].removeprefix("scratchac: ").replace(run, "RUN"))
        results[str(case)] = row | {"line": line}
        return
    assert code == 0 and out[-1] == run, said
    code, out, said = scratchac("resume", run, "--trust")              # a run's folder never decides what is imported
    assert code == 0 and out[-1] == run, said
    new = any("begins a new episode" in line for line in said)
    film = [line for line in said if line.startswith("scratchac: no video: ")]
    assert bool(film) == bool(case.no_film), said
    if film:
        assert re.match(f"scratchac: no video: {case.no_film}", film[0]), film
    else:
        assert list(Path(run).glob("video.*"))
    summary = json.loads(Path(run, "summary.json").read_text())
    assert summary["steps"] >= 200 and summary["eval_episodes"] == 2
    code, out, said = scratchac("evaluate", run, "--episodes", "2", "--json", "--trust")
    assert code == 0 and json.loads(out[-1])["mean"] == pytest.approx(summary["eval_mean"]), (out, said)
    code, out, said = scratchac("video", run, "--trust")
    assert code == (2 if case.no_film else 0), said
    seen, actions = Run.open(run).spaces()
    results[str(case)] = row | {"observations": in_words(seen), "actions": shortened(actions), "resumed": "new episodes" if new else
                                "the same episodes", "film": not case.no_film}
