"""Interactive pages of the course: conditioning, the tanh-Gaussian, and soft policies. Each is one file that loads nothing else.

What a page computes stands in a JavaScript file of its own, which tests hold to NumPy: conditioning.js to
scratchac/lab/conditioning.py, density.js to `distributions.tanh_gaussian`, soft.js to `distributions.log_softmax`.
"""

from importlib.resources import files

from scratchac.experiments.pages import assembled, in_script
from scratchac.lab import conditioning

NAMES = ("dopamine", "tanh_gaussian", "soft_policies")
EARLY = 5                                       # steps by which an early reward is early


def pages() -> dict[str, str]:
    """The pages' HTML by their files' names."""
    base = files("scratchac")
    parts = {path.name: path.read_text(encoding="utf-8") for folder in ("tools/page", "site/labs")
             for path in base.joinpath(folder).iterdir() if path.name.endswith((".html", ".css", ".js"))}
    parts["trial"] = in_script({"steps": conditioning.STEPS, "cue": conditioning.CUE, "reward": conditioning.REWARD,
                                "early": conditioning.REWARD - EARLY, "gamma": conditioning.GAMMA})
    parts["head"] = assembled(parts["head.html"], parts)
    return {f"{name}.html": assembled(parts[f"{name}.html"], parts) for name in NAMES}
