import os
import sys

os.environ.setdefault("SCRATCHAC_BACKEND", "numpy")         # the reference; tests/test_backends.py holds the others to it
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")      # small matrices: threads only get in each other's way
os.environ.setdefault("SDL_VIDEODRIVER", "dummy")       # no windows

import numpy as np
import pytest

collect_ignore = [] if sys.platform == "linux" else ["test_faults.py"]          # /dev/full, /proc, limits: means of Linux


@pytest.fixture
def rng():
    return np.random.default_rng(12345)
