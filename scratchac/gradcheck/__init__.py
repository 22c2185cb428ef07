"""Checks of every hand-written gradient by finite differences: networks, functions, and whole updates of the algorithms."""

from scratchac.gradcheck import functions, networks, off_policy, on_policy  # noqa: F401  each registers its checks
from scratchac.gradcheck.differences import CHECKS, TOLERANCE, Numbers, Result, numbers, numerical_gradient, run, run_all, table  # noqa: F401
