"""How a run was made: the command, the date, the versions, and the commit of the folder that it was started in."""

import contextlib
import datetime
import platform
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from scratchac.version import __version__

PACKAGES = "numpy", "gymnasium", "numba", "scipy", "cupy", "mujoco", "envpool", "ray", "pettingzoo"


def origin() -> dict[str, Any]:
    """What config.json keeps as `made`. Nothing that is computed depends on it."""
    loaded = {name: getattr(sys.modules.get(name), "__version__", None) for name in PACKAGES}
    found = commit()
    return {"command": command(), "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
            "versions": {"scratchac": __version__, "python": platform.python_version()}
            | {name: version for name, version in loaded.items() if isinstance(version, str)},
            **({"commit": found} if found else {})}


def command() -> str:
    """The words that started this process, as one types them; those of Python for a script."""
    program, *words = getattr(sys, "argv", None) or [""]
    name = Path(program).name
    return shlex.join(["scratchac", *words] if name in ("scratchac", "__main__.py") else [name, *words])


def commit() -> str | None:
    """The commit that is checked out in the working directory, if that is in a repository of Git's."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        here = Path.cwd()
        if any((folder / ".git").exists() for folder in (here, *here.parents)):
            # It reads no index, so that nothing which a repository's configuration names is run.
            done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=True)
            return done.stdout.strip()
    return None
