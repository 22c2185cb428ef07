"""Damage to checkpoints: the writer is killed, or bits flip. `same` compares two runs to the last bit."""

import csv
import json
import multiprocessing
import time
from collections import Counter

import numpy as np

from scratchac.errors import CheckpointError
from scratchac.experiments.run import Run

CLOCKS = {"wall_s", "update_s", "compile_s"}


# -- the same, bit by bit ------------------------------------------------------------------------------------------------


def same(path, other):
    """Compare two runs' checkpoints and metrics, except for measured times. Raises AssertionError where they differ."""
    ours, theirs = (dict(np.load(p / "checkpoint.npz")) for p in (path, other))
    trees = [json.loads(x.pop("manifest").tobytes())["tree"]["dict"] for x in (ours, theirs)]
    for tree in trees:
        for name in CLOCKS:
            del tree["progress"]["dict"][name]
    assert trees[0] == trees[1]
    assert list(ours) == list(theirs)
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)
        assert ours[name].dtype == theirs[name].dtype, name
    rows = [list(csv.DictReader((p / "metrics.csv").read_text().splitlines())) for p in (path, other)]
    for table in rows:
        for row in table:
            del row["wall_s"]
    assert rows[0] == rows[1]


# -- killed while it writes ----------------------------------------------------------------------------------------------

SIZE = 500_000              # numbers in a checkpoint of the writer's: 4 MB


def write_for_ever(path, first, begun):
    """Write one checkpoint after the other, each with its number in every place of an array."""
    run, number = Run.open(path), first
    begun.set()
    while True:
        run.save({"step": number, "numbers": np.full(SIZE, number)}, {}, None)
        number += 1


def kill_writers(path, times, seed=0):
    """Kill a process that writes checkpoints into a new folder, `times` times at random moments.

    After each kill the folder must hold a whole checkpoint, no older than the one before. Returns {what was seen: how often}.
    """
    rng, seen = np.random.default_rng(seed), Counter()
    Run.create(path, config_of_nothing()).save({"step": 0, "numbers": np.full(SIZE, 0)}, {}, None)
    context = multiprocessing.get_context("forkserver")         # a fork of this process would inherit its threads' locks
    context.set_forkserver_preload(["scratchac.experiments.run"])
    newest = 0
    for _ in range(times):
        begun = context.Event()
        writer = context.Process(target=write_for_ever, args=(path, newest + 1, begun))
        writer.start()
        assert begun.wait(60), "the writer has not begun"
        time.sleep(rng.uniform(0, 0.1))
        writer.kill()
        writer.join()
        assert writer.exitcode == -9, "the writer ended by itself"
        in_mid_write = list(path.glob(".*.tmp"))
        state, *_ = Run.open(path).restore()
        assert state["step"] >= newest and (state["numbers"] == state["step"]).all()
        seen["killed"] += 1
        seen["killed in mid-write"] += bool(in_mid_write)
        seen["checkpoints written"] += state["step"] - newest
        newest = state["step"]
    return dict(seen)


def config_of_nothing():
    return {"algorithm": "none", "env": "none", "env_is_callable": False, "seed": 0, "backend": "numpy", "vector": "sync",
            "randomise": False, "env_args": {}, "hyperparameters": {}, "observation_space": {"kind": "None"},
            "action_space": {"kind": "None"}}


# -- flipped bits --------------------------------------------------------------------------------------------------------


def flip_bits(path, times, seed=0):
    """Flip one to eight bits of a run's checkpoint, `times` times. It must be refused, or the same state must come back.

    Half of the time the bits lie where the structure is: in the ZIP archive's directory at its end, or in the headers of its
    entries and arrays. Returns {the outcome: how often}; raises AssertionError for any other outcome.
    """
    rng, seen = np.random.default_rng(seed), Counter()
    file, run = path / "checkpoint.npz", Run.open(path)
    good, known = file.read_bytes(), _flat(run.restore())
    structure = _structure(good)
    try:
        for _ in range(times):
            bad, places = bytearray(good), structure if rng.random() < 0.5 else np.arange(len(good))
            for where in rng.choice(places, rng.integers(1, 9)):
                bad[where] ^= 1 << int(rng.integers(8))
            file.write_bytes(bad)
            try:
                came = _flat(run.restore())
            except CheckpointError:
                seen["refused"] += 1
            else:
                assert came == known
                seen["the same"] += 1
    finally:
        file.write_bytes(good)
    return dict(seen)


def _structure(archive):
    """The places of a ZIP archive's headers and directory, with the headers of its arrays."""
    places, start = [], 0
    while (start := archive.find(b"PK\x03\x04", start)) >= 0:
        places += range(start, min(start + 200, len(archive)))
        start += 4
    return np.array([*places, *range(archive.index(b"PK\x01\x02"), len(archive))])


def _flat(state):
    """Turn a nested state into one that `==` can compare: an array becomes its dtype, shape and bytes."""
    if isinstance(state, np.ndarray):
        return str(state.dtype), state.shape, state.tobytes()
    if isinstance(state, dict):
        return {name: _flat(value) for name, value in state.items()}
    return [_flat(value) for value in state] if isinstance(state, (list, tuple)) else state
