"""Interactive pages: the microscope, conditioning, the tanh-Gaussian, and soft policies. Each is one file that loads nothing else.

What a page computes stands in a JavaScript file of its own, which tests hold to NumPy: conditioning.js to
scratchac/lab/conditioning.py, density.js to `distributions.tanh_gaussian`, soft.js to `distributions.log_softmax`.
"""

from dataclasses import asdict
from functools import cache
from importlib.resources import files

from scratchac.experiments.pages import assembled, in_script
from scratchac.lab import conditioning
from scratchac.lab.microscope import Microscope

NAMES = ("dopamine", "tanh_gaussian", "soft_policies")
EARLY = 5                                       # steps by which an early reward is early


def pages() -> dict[str, str]:
    """The pages' HTML by their files' names."""
    trial = {"steps": conditioning.STEPS, "cue": conditioning.CUE, "reward": conditioning.REWARD,
             "early": conditioning.REWARD - EARLY, "gamma": conditioning.GAMMA}
    parts = _parts() | {"trial": in_script(trial)}
    parts["head"] = assembled(parts["head.html"], parts)
    return {"microscope.html": microscope(Microscope(), 0.9, 10, True)} | {
        f"{name}.html": assembled(parts[f"{name}.html"], parts) for name in NAMES}


def microscope(micro: Microscope, lam: float, batch: int, discount: bool) -> str:
    """The microscope's page with these settings; it computes all of its numbers itself."""
    data = {"world": asdict(micro.world), "logits": micro.params["W1"].tolist(), "noise": micro.noise.tolist(),
            "settings": {"gamma": micro.gamma, "lam": lam, "error": micro.critic_error, "discount": discount, "batch": batch}}
    parts = _parts()
    return assembled(parts["micro.html"], parts | {"data": in_script(data)})


@cache
def _parts() -> dict[str, str]:
    """The files that pages are made of, by name."""
    base = files("scratchac")
    return {path.name: path.read_text(encoding="utf-8") for folder in ("tools/page", "site/labs")
            for path in base.joinpath(folder).iterdir() if path.name.endswith((".html", ".css", ".js"))}
