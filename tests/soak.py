"""Long runs under faults: a run is killed, stopped, and has its checkpoint damaged or its disk full, and is resumed until it ends.

The same run goes on undisturbed on another core, and in the end both must have the same bytes. Where faults lose environments, or
time decides what is learnt, the run only has to come to its end. The memory of the undisturbed process is measured after a fifth of
its steps and before its last step.
"""

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
from damage import same

# name → (arguments of `scratchac train`, environment steps in a minute without faults, whether the bytes have to be the same)
CASES = {
    "A2C": ("a2c --env CartPole-v1 --backend numba", 3_000_000, True),
    "PPO": ("ppo --env LunarLander-v3 --backend numpy --envs 8 --rollout 128", 400_000, True),
    "SAC": ("sac --env Pendulum-v1 --backend numba --hidden 64 64 --buffer-size 5000", 40_000, True),
    "TD3": ("td3 --env Hopper-v5 --backend numpy --hidden 64 64 --buffer-size 5000 --learning-starts 1000", 35_000, True),
    "self-play": ("ppo --env tictactoe_v3 --backend numba", 150_000, True),
    "A2C, environments in processes": ("a2c --env CartPole-v1 --backend numpy --vector async --envs 2", 100_000, False),
    "A3C": ("a3c --backend numpy --envs 2", 500_000, False),
}
PAUSE = 2, 15                       # seconds between a start and a fault


class Process:
    """The command `scratchac` with some arguments, in a process of its own."""

    def __init__(self, *words, largest_file=None):
        def limit():                                        # in the child: writing more fails, as it does where a disk is full
            if largest_file is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

        one_core = {"NUMBA_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self.process = subprocess.Popen([sys.executable, "-m", "scratchac", *map(str, words), "--quiet", "--no-video"], text=True,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=os.environ | one_core,
                                        preexec_fn=limit, start_new_session=True)

    def ended_within(self, seconds):
        try:
            self.process.wait(seconds)
            return True
        except subprocess.TimeoutExpired:
            return False

    def ended(self):
        """Wait for its end; return (exit code, what it wrote to stderr)."""
        self.said = self.process.communicate(timeout=3600)[1]
        return self.process.returncode, self.said

    def memory(self):
        """Its resident memory in bytes, or 0 after its end."""
        try:
            return int(Path(f"/proc/{self.process.pid}/status").read_text().split("VmRSS:")[1].split()[0]) * 1024
        except (OSError, IndexError):
            return 0

    def children(self):
        return [int(pid) for pid in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()]

    def signal(self, number):
        self.process.send_signal(number)


class Undisturbed(Process):
    """A run, and the memory it takes."""

    def __init__(self, words, folder, steps):
        super().__init__(*words, "--out", folder)
        self.folder, self.steps, self.first, self.last = folder, steps, 0, 0

    def look(self):
        try:
            done = int((self.folder / "metrics.csv").read_text().splitlines()[-1].split(",")[0])
        except (OSError, ValueError, IndexError):
            return
        if self.steps / 5 <= done < self.steps and self.memory():
            self.first, self.last = self.first or self.memory(), self.memory()


class Tormented:
    """A run that suffers faults. `seen` counts them."""

    def __init__(self, words, folder, rng, has_workers):
        self.words, self.folder, self.rng, self.seen, self.full = words, folder, rng, Counter(), False
        self.faults = ["killed", "Ctrl-C", "Ctrl-C twice", "SIGTERM", "disk full"] + ["worker killed"] * 3 * has_workers
        self.process = None

    def start(self, full=False):
        """Resume from the checkpoint, or begin anew if a kill came before the first one."""
        self.full = full
        if (self.folder / "checkpoint.npz").exists():
            words = ["resume", self.folder]
        else:
            shutil.rmtree(self.folder, ignore_errors=True)
            words = [*self.words, "--out", self.folder]
        self.process = Process(*words, largest_file=2_000 if full else None)

    def suffer(self):
        """Cause one fault, and check what follows it."""
        fault = str(self.rng.choice(self.faults))
        if fault == "disk full":                            # happens to the next stretch
            self.end(signal.SIGKILL)
            self.start(full=True)
            self.process.ended_within(self.pause())
            self.seen["disk full"] += "cannot be written" in self.end(signal.SIGKILL)
        elif fault == "worker killed":
            for pid in self.process.children()[-1:]:        # the first ones may be helpers of multiprocessing's
                os.kill(pid, signal.SIGKILL)
                self.seen["worker killed"] += 1
            self.end(None)
        else:
            self.end({"killed": signal.SIGKILL, "SIGTERM": signal.SIGTERM}.get(fault, signal.SIGINT), twice=fault == "Ctrl-C twice")
            self.seen[fault] += 1
        if self.rng.random() < 0.2:
            self.flip_bits()
        self.start()

    def end(self, number, twice=False):
        if number is not None:
            self.process.signal(number)
        if twice:
            time.sleep(self.rng.uniform(0, 0.05))
            self.process.signal(number)
        code, said = self.process.ended()
        # Gymnasium's processes complain of a parent that was killed; a second Ctrl-C may find ours half gone.
        assert "Traceback" not in said or number == signal.SIGKILL or (twice and "KeyboardInterrupt" in said), said
        if number in (signal.SIGINT, signal.SIGTERM):
            # 2: it had finished before; −15, −2: it was being evaluated, or was half gone.
            assert code in (0, 130, 2, -15, -2) or twice, (code, said)
        if number is None:
            assert code == 0 or (code == 1 and ("died" in said or "killed by" in said)), (code, said)
        if number == signal.SIGKILL:
            assert code in (-9, 0, 2), (code, said)         # 2: it had come to its end, and the disk was full
        return said

    def flip_bits(self):
        """Flip sixteen bits of the checkpoint. It has to be refused, and the one before takes its place."""
        file, previous = (self.folder / f"checkpoint{x}.npz" for x in ("", ".previous"))
        if not previous.exists():
            return
        self.damage(file)
        code, said = Process("resume", self.folder).ended()
        assert code == 2 and "cannot be used" in said and len(said.splitlines()) == 1, (code, said)
        previous.rename(file)
        self.seen["bits flipped"] += 1

    def damage(self, file):
        """Replace a file by one with flipped bits. If a kill has left the file two names, the other name keeps the sound bytes."""
        bad = bytearray(file.read_bytes())
        for where in self.rng.integers(len(bad) // 4, len(bad) // 2, 16):
            bad[where] ^= 1 << int(self.rng.integers(8))
        damaged = file.with_name(f"{file.name}.damaged")
        damaged.write_bytes(bad)
        os.replace(damaged, file)

    def pause(self):
        return self.rng.uniform(*PAUSE)


def soak(minutes, report, folder, names=CASES, seed=0):
    """Run each of these CASES under faults for its share of the time, one run after the other.

    `report` is called after each case with its figures; the memory in them is that of the run whose memory grew most.
    """
    rng, share = np.random.default_rng(seed), 60 * minutes / len(names)
    for name in names:
        arguments, rate, bitwise = CASES[name]
        started, seen, runs, memory = time.monotonic(), Counter(), 0, []
        steps = int(rate * share / 60 / 2)                  # what is tormented takes about twice the time
        while time.monotonic() < started + 0.8 * share:
            words = ["train", *arguments.split(), "--steps", steps, "--seed", runs, "--checkpoint-every", max(1, steps // 50)]
            where = folder / name / str(runs)
            whole = Undisturbed(words, where / "whole", steps)
            parts = Tormented(words, where / "parts", rng, has_workers=not bitwise)
            try:
                torment(parts, whole, started + share)
            finally:
                for process in (whole.process, parts.process.process):
                    process.kill()
                    process.wait()
            for process in (whole, parts.process):          # a tormented one may have come to its end just as it was stopped
                assert process.process.returncode == 0 or "has finished its" in process.said, (words, process.said)
            if bitwise:
                same(whole.folder, parts.folder)
            seen.update(parts.seen)
            memory.append((whole.first, whole.last))
            runs += 1
        first, last = max(memory, key=lambda pair: pair[1] - pair[0])
        report({"what": name, "runs": runs, "steps": runs * steps, "seconds": round(time.monotonic() - started),
                "same bytes": bitwise, "faults": {fault: count for fault, count in sorted(seen.items()) if count},
                "MiB, first": round(first / 2**20, 1), "MiB, last": round(last / 2**20, 1)})


def torment(parts, whole, until):
    """Cause faults in `parts` until the given time, then let both runs come to their end."""
    parts.start()
    while not parts.process.ended_within(0):
        next_fault = time.monotonic() + parts.pause()
        while time.monotonic() < next_fault and not parts.process.ended_within(0.5):
            whole.look()
        if time.monotonic() < until and not parts.process.ended_within(0):
            parts.suffer()
    while not whole.ended_within(0.5):
        whole.look()
    parts.process.ended()
    whole.ended()
