"""scratchac: actor-critic reinforcement learning from scratch, in NumPy.

    agent = scratchac.train("a2c", env="CartPole-v1", steps=100_000, seed=0, out="runs/mine")
    returns = scratchac.evaluate(agent, "CartPole-v1", episodes=100)
    agent = scratchac.load("runs/mine")
    action = agent.act(obs)
    agent.save("my-agent")
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kernels

if not getattr(kernels, "SCRATCHAC_KERNELS", False):
    # Installed later, it has replaced files of this project's; and uninstalled, it has taken them away.
    message = (f"scratchac needs its own package `kernels`, and {next(iter(kernels.__path__))} is an unrelated one, or what it has "
               "left: pip uninstall kernels, then install scratchac once more, with pip's --force-reinstall")
    if sys.argv[0] == "-m" or Path(sys.argv[0]).stem == "scratchac":        # the command: its errors are one line
        print(f"scratchac: {message}", file=sys.stderr)
        sys.exit(2)
    raise ImportError(message)

from scratchac.version import __version__

if TYPE_CHECKING:
    from scratchac.api import Callback, TensorBoard, WandB, evaluate, load, make_agent, resume, train

__all__ = ["Callback", "TensorBoard", "WandB", "__version__", "evaluate", "load", "make_agent", "resume", "train"]


def __getattr__(name: str) -> Any:
    # Gymnasium is loaded when it is first needed, so that `scratchac --help` does not wait for it.
    if name in __all__:
        from scratchac import api

        return getattr(api, name)
    raise AttributeError(f"module 'scratchac' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
