"""Training in a notebook: progress bar, learning curve and interrupt; once in a real kernel, else with a shell like that of one."""

import os
import signal
import sys
from types import SimpleNamespace

import gymnasium as gym
import pytest

import scratchac
from scratchac.experiments.notebook import LearningCurve
from scratchac.messages import in_notebook

SMALL = {"hidden": (4,), "eval_episodes": 0}


class Interrupting(gym.Wrapper):
    """CartPole that sends SIGINT to its own process, `times` at a time, at the given step."""

    def __init__(self, at, times=1):
        super().__init__(gym.make("CartPole-v1"))
        self.at, self.times, self.count = at, times, 0

    def step(self, action):
        self.count += 1
        if self.count == self.at:
            for _ in range(self.times):
                os.kill(os.getpid(), signal.SIGINT)
        return self.env.step(action)


@pytest.fixture
def kernel(monkeypatch):
    """IPython as a kernel has it, but for ipywidgets; the list has the pictures shown, a later one in place of the earlier one."""
    shown = []

    class Handle:
        def __init__(self, place):
            self.place = place

        def update(self, picture):
            shown[self.place] = picture

    def display(picture, display_id):
        shown.append(picture)
        return Handle(len(shown) - 1)

    shell = SimpleNamespace(config={"IPKernelApp": {}})
    module = SimpleNamespace(get_ipython=lambda: shell, version_info=(9, 0, 0))     # matplotlib asks for the version
    monkeypatch.setitem(sys.modules, "IPython", module)
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(Image=lambda data, retina, alt: data, display=display))
    monkeypatch.setitem(sys.modules, "tqdm.notebook", SimpleNamespace(IProgress=None))
    return shown


def test_a_script_and_a_terminal_are_no_notebook(monkeypatch):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert not in_notebook() and "IPython" not in sys.modules
    terminal = SimpleNamespace(config={"TerminalIPythonApp": {}})
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: terminal))
    assert not in_notebook()


def test_bar_and_curve_are_shown_unless_quiet(kernel, capsys):
    scratchac.train("reinforce", "CartPole-v1", 300, quiet=True, **SMALL)
    assert kernel == [] and capsys.readouterr().err == ""
    scratchac.train("reinforce", "CartPole-v1", 300, **SMALL)
    assert "300/300 steps" in capsys.readouterr().err                       # text, since there is no ipywidgets
    assert len(kernel) == 1 and kernel[0].startswith(b"\x89PNG")


def test_without_a_notebook_neither_is_shown(capsys):
    scratchac.train("reinforce", "CartPole-v1", 300, **SMALL)
    assert capsys.readouterr().err == ""


def test_the_curve_is_drawn_at_intervals_in_one_place(kernel, monkeypatch):
    clock, drawn = iter([0.0, 1.0, 2.0, 6.0, 6.0, 7.0]), []
    monkeypatch.setattr("scratchac.experiments.notebook.time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(LearningCurve, "figure", lambda self: drawn.append(list(self.points)))
    monkeypatch.setattr("scratchac.experiments.notebook.picture", lambda figure, alt: b"picture")
    curve = LearningCurve()
    curve.show()
    curve.follow(5, [])
    curve.mark()
    assert drawn == []                                      # no episode has ended
    for step in (10, 20, 30):                               # at 2, 6 and 7 seconds
        curve.follow(step, [(1.0, 7), (2.0 * step - 1, 7)])
        if step == 10:
            curve.mark()
    assert drawn == [[(10, 10.0), (20, 20.0)]]
    curve.show()
    curve.show()
    assert drawn[1:] == 2 * [[(10, 10.0), (20, 20.0), (30, 30.0)]] and len(kernel) == 1


def test_an_interrupt_returns_the_agent_as_trained_so_far(kernel, capsys):
    agent = scratchac.train("a2c", lambda: Interrupting(30), 10_000, envs=1, rollout=20, **SMALL)
    assert agent.step == 40                                 # the rollout and its update are finished
    assert "stopped at step 40; the agent is returned as trained so far" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.slow
def test_an_interrupted_run_is_saved_and_goes_on(kernel, tmp_path, capsys):
    scratchac.train("a2c", lambda: Interrupting(30), 100, out=tmp_path / "run", envs=1, rollout=20, **SMALL)
    assert f"stopped at step 40 and saved; go on with: scratchac resume {tmp_path / 'run'}" in capsys.readouterr().err
    assert not (tmp_path / "run" / "summary.json").exists()
    assert scratchac.resume(tmp_path / "run", env=lambda: gym.make("CartPole-v1"), eval_episodes=0).step == 100


def test_an_interrupted_evaluation_returns_the_agent(kernel, tmp_path, monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("scratchac.experiments.conclusion._conclude", interrupted)
    assert scratchac.train("reinforce", "CartPole-v1", 100, out=tmp_path / "run", quiet=True, **SMALL).step >= 100
    assert "steps are saved, not evaluated" in capsys.readouterr().err


def test_a_second_interrupt_stops_at_once(kernel):
    with pytest.raises(KeyboardInterrupt, match="stopped at once"):
        scratchac.train("a2c", lambda: Interrupting(30, times=2), 10_000, envs=1, rollout=20, quiet=True, **SMALL)


def test_without_a_notebook_an_interrupt_is_a_keyboard_interrupt():
    with pytest.raises(KeyboardInterrupt):
        scratchac.train("a2c", lambda: Interrupting(30), 10_000, envs=1, rollout=20, **SMALL)


CELLS = """
import scratchac
agent = scratchac.train("a2c", "CartPole-v1", 2_000, hidden=(4,))
---
import os, signal, threading
threading.Timer(1.0, os.kill, [os.getpid(), signal.SIGINT]).start()
agent = scratchac.train("a2c", "CartPole-v1", 100_000_000, hidden=(4,))
---
print(0 < agent.step < 100_000_000)
"""


@pytest.mark.slow
def test_in_a_real_kernel(tmp_path):
    """Bar as a widget, curve as a picture; an interrupt ends the cell with an agent."""
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    from scratchac.site.notebooks import kernel_manager

    cells = [nbformat.v4.new_code_cell(text) for text in CELLS.split("---\n")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    nbclient.NotebookClient(notebook, km=kernel_manager(tmp_path), timeout=60).execute(cleanup_kc=True)
    trained, stopped, seen = ([output.get("data", {}) | {name: output.get(name) for name in ("text", "metadata")}
                               for output in cell.outputs] for cell in cells)
    for outputs in (trained, stopped):
        assert sum("application/vnd.jupyter.widget-view+json" in output for output in outputs) == 1
        assert sum("image/png" in output for output in outputs) == 1
        size, = (output["metadata"]["image/png"]["width"] for output in outputs if "image/png" in output)
        assert size == 520                                  # places, of twice as many pixels
    assert any("the agent is returned as trained so far" in (output["text"] or "") for output in stopped)
    assert [output["text"] for output in seen] == ["True\n"]
