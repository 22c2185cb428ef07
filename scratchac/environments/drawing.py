"""What environments need to draw pictures on machines without a screen, and what MuJoCo says."""

import os
import sys
from ctypes.util import find_library

from scratchac.messages import STDERR


def has_screen() -> bool:
    """Whether windows can be opened."""
    return sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def draw_without_screen() -> None:
    """Without a screen, let MuJoCo draw by EGL, where that is installed and MUJOCO_GL does not say otherwise.

    dm_control reads this when it is imported, and its films fail later if it has chosen GLFW, which needs a screen.
    """
    if not has_screen() and "MUJOCO_GL" not in os.environ and find_library("EGL"):
        os.environ["MUJOCO_GL"] = "egl"


def hear_mujoco() -> None:
    """Send MuJoCo's warnings to stderr, one line each, instead of into a file MUJOCO_LOG.TXT in the working directory.

    Warnings about deprecated XML are left out: the XML is Gymnasium's, and users cannot change it.
    """
    try:
        import mujoco
    except ImportError:         # gym.make then raises the error that explains it
        return

    def tell(text: str) -> None:
        if "deprecated" not in text:
            print(f"MuJoCo: {text}", file=STDERR)

    mujoco.set_mju_user_warning(tell)
