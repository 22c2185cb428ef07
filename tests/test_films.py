"""Films: how fast they play, and what happens when none can be made."""

import json
import random

import numpy as np
import pytest
from PIL import Image
from probes import Constant, Poison

import scratchac
from scratchac.errors import EnvironmentFailed, UserError
from scratchac.experiments import video


class Filmed(Constant):
    """`draw` makes a picture from the number of the step."""

    def __init__(self, draw, fps=None, limit=10, render_mode=None):
        super().__init__(limit)
        self.draw, self.metadata, self.render_mode = draw, {"render_modes": ["rgb_array"], "render_fps": fps}, render_mode

    def render(self):
        return self.draw(self.t)


def grey(t, height=20):
    return np.full((height, 24, 3), 2 * t % 256, np.uint8)


def broken(t):
    raise RuntimeError("no driver\nmore about it")


def leaving(t):
    raise SystemExit("the window was closed")


class Still:
    def act(self, obs, explore):
        return 0


@pytest.mark.slow
@pytest.mark.parametrize("draw, why", [
    (broken, "the environment cannot draw here: no driver"), (leaving, "the environment cannot draw here: the window was closed"),
    (lambda t: grey(t, 20 + 2 * (t == 3)), "pictures of one size, and after 24×20 this environment drew 24×22"),
    (lambda t: None, "renders no pictures"), (lambda t: [], "renders no pictures"),
    (lambda t: np.zeros((20, 24, 7)), "cannot be encoded: TypeError")])
def test_a_film_that_cannot_be_made_loses_nothing(draw, why, tmp_path, capsys):
    def env(**kwargs):
        return Filmed(draw, **kwargs)

    scratchac.train("reinforce", env, steps=50, hidden=(4,), out=tmp_path / "run", video=True)
    said = capsys.readouterr().err
    assert said.startswith("scratchac: no video: ") and why in said and said.count("\n") == 1
    assert (tmp_path / "run/summary.json").exists() and (tmp_path / "run/curves.png").exists()
    assert not list((tmp_path / "run").glob("video*"))


def test_the_render_mode_of_a_film(tmp_path):
    """An environment may have it without taking it as an argument; otherwise the line says that this is what it lacks."""
    assert video.record(Still(), lambda: Filmed(grey, render_mode="rgb_array"), tmp_path).exists()

    def picky(render_mode=None):
        assert render_mode is None
        return Filmed(grey)

    for env, why in ((lambda: Filmed(grey), "<lambda> does not take these arguments: "), (picky, "picky cannot be made: ")):
        with pytest.raises(UserError, match=f"^to be seen, an environment has to take render_mode='rgb_array': {why}"):
            video.record(Still(), env, tmp_path)
    with pytest.raises(UserError, match=r"^<lambda> gave 3, not an environment"):
        video.record(Still(), lambda render_mode=None: 3, tmp_path)


def test_whatever_a_film_raises_loses_nothing(tmp_path, capsys, monkeypatch, quick_end):
    def encoder(*_):
        raise MemoryError

    monkeypatch.setattr(video, "record", encoder)
    scratchac.train("reinforce", Constant, steps=50, hidden=(4,), out=tmp_path / "run", video=True)
    assert capsys.readouterr().err .startswith("scratchac: no video: MemoryError in ")
    assert json.loads((tmp_path / "run/summary.json").read_text())["eval_mean"] == 5


class Shaky(Filmed):
    """Each picture has a shade from NumPy's and one from Python's global generator."""

    def render(self):
        picture = grey(self.t)
        picture[0, 0, :2] = np.random.randint(256), random.randrange(256)  # noqa: NPY002
        return picture


def test_the_same_seed_is_the_same_film_and_the_programs_own_draws_go_on():
    def film(seed):
        np.random.seed(len(seen))  # noqa: NPY002
        seen.append(video.render(Still(), lambda render_mode: Shaky(None), seed=seed))
        assert np.random.rand() == np.random.RandomState(len(seen) - 1).rand()  # noqa: NPY002

    seen = []
    for seed in (3, 3, 4):
        film(seed)
    assert np.array_equal(seen[0], seen[1]) and not np.array_equal(seen[0], seen[2])


@pytest.mark.parametrize("fps, seconds, frames", [
    (None, 2.04, 51), ("x", 2.04, 51), (0, 2.04, 51), (float("nan"), 2.04, 51),
    (4, 25.25, 101), (np.float32(30), 3.37, 101), (60, 1.7, 51), (125, 0.84, 21)])
def test_a_gif_plays_as_fast_as_the_environment_says(fps, seconds, frames, tmp_path, monkeypatch):
    monkeypatch.setattr(video.importlib.util, "find_spec", lambda name: None)
    path = video.record(Still(), Filmed, tmp_path, draw=grey, fps=fps, limit=100)
    with Image.open(path) as film:
        shown = []
        for i in range(film.n_frames):
            film.seek(i)
            shown.append(film.info["duration"])
    assert len(shown) == frames and sum(shown) == pytest.approx(1000 * seconds, abs=10) and min(shown) >= 20


def test_an_mp4_plays_as_fast_as_the_environment_says(tmp_path):
    ffmpeg = pytest.importorskip("imageio_ffmpeg", reason="the extra `video` is not installed")
    for fps, seconds in ((25, 4.04), (None, 2.02), (125, 0.81)):
        path = video.record(Still(), Filmed, tmp_path, draw=grey, fps=fps, limit=100)
        frames, lasts = ffmpeg.count_frames_and_secs(str(path))
        assert path.name == "video.mp4" and frames == 101 and lasts == pytest.approx(seconds, abs=0.05)


def test_a_film_without_an_end_is_cut(tmp_path, capsys, monkeypatch):
    drawn = []
    monkeypatch.setattr(video, "MOST_FRAMES", 30)
    for limit, frames, said in ((29, 30, ""), (10**9, 30, "scratchac: the film is cut after 30 frames\n")):
        assert len(video.render(Still(), Filmed, draw=grey, limit=limit)) == frames
        assert capsys.readouterr().err == said
    video.record(Still(), Filmed, tmp_path, draw=lambda t: drawn.append(t) or grey(t), limit=10**9)
    assert len(drawn) == 31 and list(tmp_path.glob("video.*"))


def test_a_film_that_fails_leaves_the_one_before(tmp_path):
    path = video.record(Still(), Filmed, tmp_path, draw=grey)
    before = path.read_bytes()
    with pytest.raises(EnvironmentFailed, match="the simulator broke"):
        video.record(Still(), lambda **_: Shown("raise"), tmp_path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


class Shown(Poison):
    def render(self):
        return grey(self.t)


class Varied(Filmed):
    """The episode of seed s has 7s mod 10 + 1 steps, each of which pays 1."""

    def reset(self, *, seed=None, options=None):
        self.limit = 7 * seed % 10 + 1
        return super().reset(seed=seed)


@pytest.mark.parametrize("pick, name, parts", [
    (("best",), "video-best", [("best of 10: ", 10)]), (("median",), "video-median", [("median of 10: ", 5)]),
    (("worst", "best"), "video-worst-best", [("worst of 10: ", 1), ("best of 10: ", 10)]), ((), "video", [("", 1)])])
def test_a_film_of_the_best_the_median_or_the_worst_of_ten_episodes(pick, name, parts, tmp_path, monkeypatch):
    """Returns are 1, 8, 5, 2, 9, 6, 3, 10, 7 and 4; of the two in the middle the lower one is the median."""
    captions = []
    monkeypatch.setattr(video.frames, "caption", lambda image, text: captions.append(text))
    assert video.record(Still(), Varied, tmp_path, draw=grey, pick=pick).stem == name
    assert captions == [f"{part}step {i}, return {i}" for part, last in parts for i in range(last + 1)]


class Paying(Filmed):
    """Each of three steps pays its action."""

    def step(self, action):
        obs, _, *rest = super().step(action)
        return obs, float(action), *rest


class Sampling:
    """Actions are drawn anew at each call: the second playing of an episode would be another one."""

    def __init__(self):
        self.rng = np.random.default_rng(0)

    def act(self, obs, explore):
        return self.rng.integers(100)


def test_the_film_shows_the_sampled_episode_that_was_picked(tmp_path, monkeypatch):
    captions = []
    monkeypatch.setattr(video.frames, "caption", lambda image, text: captions.append(text))
    video.record(Sampling(), Paying, tmp_path, draw=grey, limit=3, pick=("worst", "best"), explore=True)
    totals = np.random.default_rng(0).integers(100, size=(10, 3)).cumsum(axis=1)
    worst, best = totals[totals[:, -1].argmin()], totals[totals[:, -1].argmax()]
    assert captions == [f"{name} of 10: step {t}, return {total}" for name, one in (("worst", worst), ("best", best))
                        for t, total in enumerate([0, *one])]


def test_a_gif_has_the_last_frame_of_each_episode(tmp_path, monkeypatch):
    """A film at 50 frames a second keeps every other one: of 3 and 10 steps those with even numbers, and the ends."""
    monkeypatch.setattr(video.importlib.util, "find_spec", lambda name: None)
    path = video.record(Still(), Varied, tmp_path, draw=lambda t: np.full((8, 8, 3), 20 * t, np.uint8), fps=50, episodes=2, seed=3)
    with Image.open(path) as film:
        shades = [int(np.asarray((film.seek(i), film.convert("L"))[1]).mean()) for i in range(film.n_frames)]
    assert np.abs(np.array(shades) - 20 * np.array([0, 2, 1, 3, 5, 7, 9])).max() < 6


def test_what_is_picked_is_best_median_or_worst(tmp_path):
    with pytest.raises(UserError, match="unknown pick 'wrst'; did you mean worst"):
        video.record(Still(), Varied, tmp_path, draw=grey, pick=("wrst",))


def test_a_film_of_several_episodes_numbers_them(tmp_path, monkeypatch):
    captions = []
    monkeypatch.setattr(video.frames, "caption", lambda image, text: captions.append(text))
    video.record(Still(), Varied, tmp_path, draw=grey, episodes=2, seed=3)
    assert captions == [f"episode {i}: step {t}, return {t}" for i, last in ((1, 2), (2, 9)) for t in range(last + 1)]


def test_render_gives_frames_without_captions(tmp_path, monkeypatch):
    monkeypatch.setattr(video.importlib.util, "find_spec", lambda name: None)
    frames = video.render(Still(), Filmed, draw=lambda t: np.zeros((200, 300, 3), np.uint8), limit=3)
    assert len(frames) == 4 and not np.any(frames)
    with Image.open(video.record(Still(), Filmed, tmp_path, draw=lambda t: np.zeros((200, 300, 3), np.uint8), limit=3)) as film:
        assert np.asarray(film.convert("L")).max() > 200
