"""Settings and fixtures of all tests."""

import os
import shutil
import signal
import sys

# The reference; tests/test_backends.py holds the others to it.
os.environ["SCRATCHAC_BACKEND"] = os.environ.get("SCRATCHAC_BACKEND") or "numpy"
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")      # small matrices: threads only get in each other's way
os.environ.setdefault("SDL_VIDEODRIVER", "dummy")       # no windows
# A shell starts what runs in its background with Ctrl-C ignored. Tests send one, to this process and to others, which inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import numpy as np
import pytest

import scratchac

collect_ignore = [] if sys.platform == "linux" else ["test_faults.py"]          # /dev/full, /proc, limits: means of Linux


def pytest_collection_modifyitems(config, items):
    """Tests of other packages' environments run only if -m names them."""
    if "thirdparty" not in config.getoption("markexpr"):
        others = [item for item in items if item.get_closest_marker("thirdparty")]
        if others:
            items[:] = [item for item in items if item not in others]
            config.hook.pytest_deselected(items=others)


@pytest.fixture
def rng():
    return np.random.default_rng(12345)


@pytest.fixture
def quick_end(monkeypatch):
    """A run in this process ends with one episode of evaluation and without a picture of its curves."""
    from scratchac.experiments import conclusion, plots

    monkeypatch.setattr(conclusion, "EVALUATION_EPISODES", 1)
    monkeypatch.setattr(plots, "curves", lambda run, path: None)


@pytest.fixture
def terminal(monkeypatch):
    """stderr counts as a terminal of 100 columns, so that there are progress bars."""
    monkeypatch.setattr("scratchac.messages.Stderr.isatty", lambda self: True)
    monkeypatch.setenv("COLUMNS", "100")


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A small run of A2C with every option that has a state."""
    path = tmp_path_factory.mktemp("runs") / "a2c"
    options = {"normalise_obs": True, "scale_rewards": True, "optimiser": "adam"}
    agent = scratchac.train("a2c", env="CartPole-v1", steps=2000, out=path, **options)
    return path, agent


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    found = (shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome"))
    path = os.environ.get("CHROMIUM") or next(filter(None, found), None)
    if path is None:
        pytest.skip("no Chromium: neither chromium, chromium-browser nor google-chrome, and no $CHROMIUM")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(browser):
    """Open a file in the browser. The page must write nothing to the console and request nothing but the file."""
    opened = []

    def visit(path, **options):
        page = browser.new_page(**options)
        said, asked = [], []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.resolve().as_uri())
        opened.append((page, path, said, asked))
        return page

    yield visit
    for page, path, said, asked in opened:
        page.wait_for_timeout(100)
        assert said == []
        assert asked == [path.resolve().as_uri()]
        page.close()
