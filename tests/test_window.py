"""The window: a policy that plays in it, or somebody at the keyboard."""

import os
import re
import subprocess
import sys
from collections import defaultdict

import gymnasium as gym
import numpy as np
import pytest
from PIL import Image
from probes import Constant

import scratchac
from scratchac.__main__ import main
from scratchac.environments.make import make
from scratchac.errors import UserError
from scratchac.experiments import frames
from scratchac.tools import keyboard, window

pygame = pytest.importorskip("pygame")


class Drawn(Constant):
    metadata = {"render_modes": ["rgb_array"], "render_fps": 40}  # noqa: RUF012

    def __init__(self, limit=5, render_mode=None):
        super().__init__(limit)
        self.render_mode = render_mode

    def render(self):
        return np.full((40, 60, 3), 10 * self.t, np.uint8)


class Still:
    def act(self, obs, explore):
        return 0


@pytest.fixture
def seen(monkeypatch):
    """What windows show: frames, their captions and frames per second, without waiting; events are posted by hand."""
    shown = []

    def tick(clock, fps):
        shown.append((pygame.surfarray.array3d(pygame.display.get_surface()).swapaxes(0, 1), fps))

    monkeypatch.setattr(pygame.time, "Clock", lambda: type("Clock", (), {"tick": tick})())
    monkeypatch.setattr(window, "require_fit", lambda *_: None)
    return shown


def test_a_policy_is_watched_for_some_episodes(seen, capsys):
    assert window.watch(Still(), Drawn, episodes=2, limit=3) == [3, 3]
    assert [int(picture[-1, -1, 0]) for picture, _ in seen] == [0, 10, 20, 30] * 2 and {fps for _, fps in seen} == {40}
    assert seen[0][0].shape == (320, 480, 3)                # eight times as large
    assert seen[0][0][:30].max() == 255                     # the caption, in a corner
    assert capsys.readouterr().out == "episode 1: step 3, return 3\nepisode 2: step 3, return 3\n"


@pytest.mark.parametrize("leaves", [lambda: pygame.event.Event(pygame.QUIT),
                                    lambda: pygame.event.Event(pygame.KEYDOWN, key=pygame.K_ESCAPE)])
def test_a_window_is_closed_or_left_in_an_episode(leaves, seen, capsys, monkeypatch):
    class Leaving:
        def act(self, obs, explore):
            if len(seen) == 8:
                pygame.event.post(leaves())
            return 0

    assert window.watch(Leaving(), Drawn) == [5]
    assert capsys.readouterr().out == "episode 1: step 5, return 5\nepisode 2: left at step 2, return 2\n"
    assert not pygame.display.get_init()


@pytest.mark.slow
def test_a_run_is_watched(tmp_path, seen, capsys):
    scratchac.train("reinforce", "CartPole-v1", 100, hidden=(4,), out=tmp_path / "run", eval_episodes=0)
    assert main(["watch", str(tmp_path / "run"), "--episodes", "2", "--seed", "3"]) == 0
    said = capsys.readouterr().out
    expected = scratchac.evaluate(scratchac.load(tmp_path / "run"), "CartPole-v1", 2, seed=3)
    assert [int(x) for x in re.findall(r"^episode \d: step \d+, return (\d+)$", said, re.MULTILINE)] == expected.tolist()
    assert said.endswith(f"2 episodes, mean return {expected.mean():.1f}\n")
    assert len(seen) == sum(expected) + 2


@pytest.mark.slow
@pytest.mark.parametrize("words", [["watch", "RUN"], ["play"]])
def test_without_a_screen_there_is_one_line(words, tmp_path, monkeypatch):
    """And nothing of SDL's own: it is not asked where no display is named."""
    run = tmp_path / "run"
    scratchac.train("reinforce", "CartPole-v1", 100, hidden=(4,), out=run, eval_episodes=0)
    words = [sys.executable, "-m", "scratchac", *(str(run) if word == "RUN" else word for word in words)]
    without = {name: value for name, value in os.environ.items() if name not in ("SDL_VIDEODRIVER", "DISPLAY", "WAYLAND_DISPLAY")}
    for named, why in ({}, "neither DISPLAY nor WAYLAND_DISPLAY names one"), ({"DISPLAY": ":4321"}, ""):
        done = subprocess.run(words, capture_output=True, text=True, env=without | named)
        assert done.returncode == 2 and done.stdout == "", done.stdout
        assert re.fullmatch(f"scratchac: a window needs a screen.*{why}\n", done.stderr), done.stderr


def test_an_environment_that_does_not_draw_opens_no_window(seen, monkeypatch):
    monkeypatch.setattr(window, "Window", None)
    with pytest.raises(UserError, match="to be seen, an environment has to take render_mode"):
        window.watch(Still(), Constant)
    monkeypatch.setattr(Drawn, "render", lambda self: [])
    with pytest.raises(UserError, match="renders no pictures"):
        window.watch(Still(), Drawn)


# -- playing ---------------------------------------------------------------------------------------------------------------


def hold(monkeypatch, *keys):
    monkeypatch.setattr(pygame.key, "get_pressed", lambda: defaultdict(bool, dict.fromkeys(keys, True)))


def test_playing_by_key(seen, monkeypatch, tmp_path, capsys):
    """Keys that are held become actions. With the left arrow down, the cart is pushed left until the pole falls."""
    hold(monkeypatch, pygame.K_LEFT)
    returns = keyboard.play("CartPole-v1", seed=0, episodes=2, record=tmp_path / "mine.npz")
    assert len(returns) == 2 and max(returns) < 12
    with np.load(tmp_path / "mine.npz", allow_pickle=False) as file:
        assert file["obs"].shape == (sum(returns), 4) and not file["actions"].any() and file["rewards"].sum() == sum(returns)
        assert np.flatnonzero(file["done"]).tolist() == [returns[0] - 1, sum(returns) - 1]
        assert np.array_equal(file["obs"][0], gym.make("CartPole-v1").reset(seed=0)[0])
    with pytest.raises(UserError, match=r"mine.npz exists already"):
        keyboard.play("CartPole-v1", seed=0, episodes=2, record=tmp_path / "mine.npz")
    assert seen[0][0][-24:].max() == 255                    # the keys are named below the picture
    assert f"mine.npz: 2 episodes, {sum(returns):g} steps\n" in capsys.readouterr().out


def test_what_is_recorded_is_said(tmp_path):
    """Without an episode that ended there is no file; one that was left is not in it."""
    game = keyboard.Recorder(gym.make("CartPole-v1"))
    game.reset(seed=0)
    game.step(0)
    assert game.write(tmp_path / "none.npz") == "not written, since no episode was played to its end"
    assert not (tmp_path / "none.npz").exists()
    while not game.steps[-1][-1]:
        game.step(0)
    steps = len(game.steps)
    game.reset()
    game.step(0)
    assert game.write(tmp_path / "one.npz") == f"1 episode, without the last one, which was left, {steps} steps"


@pytest.mark.parametrize("env, held, action", [
    ("LunarLander-v3", ["up", "right"], 2), ("LunarLander-v3", [], 0), ("Pendulum-v1", ["left", "right"], [0]),
    ("CarRacing-v3", ["up", "left"], [-1, 1, 0]), ("CarRacing-v3", ["down"], [0, 0, 0.8]), ("CarRacing-v3", [], [0, 0, 0]),
    ("BipedalWalker-v3", ["q", "s", "o"], [1, -1, 0, 1]), ("LunarLanderContinuous-v3", ["up", "left"], [1, -1])])
def test_keys_become_actions(env, held, action):
    keys, idle, _ = keyboard.controls(env)
    np.testing.assert_array_equal(keyboard.chosen(keys, idle, held.__contains__), np.array(action, np.float32))


@pytest.mark.parametrize("name", keyboard.KEYS)
def test_every_key_is_an_action_of_the_environment_and_is_named(name):
    ids = [id for id in gym.registry if id.rpartition("-v")[0] == name]
    assert ids
    keys, idle, words = keyboard.controls(ids[-1])
    if name not in ("LunarLander", "LunarLanderContinuous", "CarRacing", "BipedalWalker", "BipedalWalkerHardcore"):   # extra box2d
        space = gym.make(ids[-1]).action_space
        assert all(keyboard.chosen(keys, idle, {key}.__contains__) in space for key in [*keys, None])
    assert all(re.search(rf"\b{key if len(key) > 1 else key.upper()}\b", words) for key in keys)
    image = Image.new("RGB", ({"Pendulum": 500, "Acrobot": 500}.get(name, 600), 24))
    frames.caption(image, f"{words}; Escape leaves", size=13)
    assert np.asarray(image).max() == 255                   # it fits


@pytest.mark.slow
def test_a_game_that_is_left_counts_as_left(monkeypatch, capsys, tmp_path):
    pytest.importorskip("pettingzoo", reason="the extra `games` is not installed")
    scratchac.train("ppo", "tictactoe_v3", 200, envs=4, rollout=50, batch_size=50, out=tmp_path / "run", eval_episodes=0)
    for answers, left in (["q"], ""), (["5", "q"], ", 1 left"):
        given = iter(answers)
        monkeypatch.setattr("builtins.input", lambda *_, given=given: next(given))
        assert main(["play", str(tmp_path / "run")]) == 0
        assert capsys.readouterr().out.endswith(f"\n0 won, 0 drawn, 0 lost{left}\n")


# -- captions --------------------------------------------------------------------------------------------------------------


def test_the_caption_of_a_scene_and_where_it_stands():
    assert frames.standing(frames.Scene([], 3, -2.0, False), "best of 10: ") == "best of 10: step 3, return −2"
    assert frames.standing(frames.Scene([], 3, -2.26, False)) == "step 3, return −2.3"
    wide, narrow = Image.new("RGB", (400, 300), "red"), Image.new("RGB", (40, 300), "red")
    for image in (wide, narrow):
        frames.caption(image, "step 123, return 45")
    changed = (np.asarray(wide) != (255, 0, 0)).any(axis=2)
    assert changed[:15, :100].all() and not changed[30:].any() and not changed[:, 200:].any()
    assert (np.asarray(narrow) == (255, 0, 0)).all()        # it would not fit


@pytest.mark.parametrize("env, fps", [("CartPole-v1", 50), ("Pendulum-v1", 30), ("Acrobot-v1", 15)])
def test_the_rate_is_the_environment_s_own(env, fps):
    assert frames.rate(make(env, render_mode="rgb_array"), env) == fps
