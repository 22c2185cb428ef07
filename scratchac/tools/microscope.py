"""What `scratchac microscope` prints, draws and writes: exact bias and variance of policy gradients in a corridor."""

import textwrap
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from scratchac.errors import UserError
from scratchac.experiments import plots
from scratchac.experiments.files import atomic_file
from scratchac.lab import exact
from scratchac.lab.microscope import FIT_STEPS, Estimate, Microscope
from scratchac.lab.worlds import CORRIDOR
from scratchac.site import labs

Groups = dict[str, dict[str, Estimate]]

STEPS = (1, 2, 3, 5, 8)                         # k of k-step estimators; no episode has more than 8
LAMBDAS = (0.0, 0.5, 0.9, 1.0)
CURVE = np.linspace(0, 1, 21)                   # λ in the picture
MDPS = 200                                      # random MDPs of soft policy iteration


def estimates(micro: Microscope, lam: float) -> Groups:
    """All rows of the table, in groups. Without the weight γᵗ all of them are biased, except those of G₀, which need none."""
    unbiased = micro.weight[1, 0] == micro.gamma
    whole, togo = micro.whole_return(), micro.reinforce()
    v, q_v, critic = micro.values()[0], micro.advantages(), micro.critic()
    psi = {
        "REINFORCE: unbiased, whatever the baseline" if unbiased else
        "REINFORCE: G₀ is unbiased; without γᵗ Gₜ is not, and has the same bias whatever the baseline": {
            "whole return G₀": whole,
            "return from t on, Gₜ": togo,
            "G₀ − best b(s)": whole - micro.baseline(micro.optimal_baseline(whole)),
            "Gₜ − best b(s)": togo - micro.baseline(micro.optimal_baseline(togo)),
            "Gₜ − V(s)": micro.reinforce(v),
            f"Gₜ − critic after {FIT_STEPS} steps": micro.reinforce(micro.learned_baseline()),
            "Gₜ − J, a constant": micro.reinforce(micro.J()),
            "Gₜ + V(s), a bad one": micro.reinforce(-v),
        },
        "with the true V: unbiased, for every λ" if unbiased else
        "with the true V: the bias of leaving γᵗ out, the same for every λ": {
            **{f"GAE(λ = {x:g})": micro.gae(x, v) for x in LAMBDAS},
            "Q(s, a) − V(s)": q_v,
        },
        f"GAE with V̂ = V + {micro.critic_error:g} ε(s)": {
            f"λ = {x:g}": micro.gae(x, critic) for x in sorted({*LAMBDAS, lam})
        },
        f"k-step with V̂ = V + {micro.critic_error:g} ε(s)": {f"k = {k}": micro.k_step(k, critic) for k in STEPS},
    }
    return {group: {name: micro.estimate(x) for name, x in rows.items()} for group, rows in psi.items()}


def others() -> dict[str, Any]:
    """The exact expectations outside the corridor, as numbers."""
    _, moments = exact.two_gradients()
    soft = {}
    for alpha in (0.2, 0.5, 2.0):
        for name, inverted in (("exp(Q/α)", False), ("exp(αQ)", True)):
            falls, values = np.transpose([exact.soft_iteration(seed, alpha, inverted) for seed in range(MDPS)])
            soft[f"{name}, α = {alpha:g}"] = {"fell": float((falls < -1e-9).mean()), "deepest": float(-falls.min()),
                                              "value": float(values.mean())}
    return {
        "two gradients": {name: {"mean": m.mean.tolist(), "variance": m.variance.tolist()} for name, m in moments.items()},
        "soft policy iteration": soft,
        "A-split": {"semi-gradient": exact.a_split(False).tolist(), "full gradient": exact.a_split(True).tolist()},
    }


def numbers(micro: Microscope, lam: float) -> dict[str, Any]:
    """Everything as plain numbers, for --json; of each estimate all but its mean."""
    groups = {group: {name: {k: x for k, x in asdict(e).items() if k != "mean"} for name, e in rows.items()}
              for group, rows in estimates(micro, lam).items()}
    return {"gamma": micro.gamma, "critic_error": micro.critic_error, "lam": lam, "trajectories": len(micro.paths.chance),
            "J": micro.J(), "gradient_norm": float(np.linalg.norm(micro.gradient())),
            "asymmetry": {"with": micro.asymmetry(micro.gamma), "without": micro.asymmetry(1.0)}, "estimators": groups, **others()}


def text(seen: dict[str, Any], discount: bool) -> str:
    """The numbers as tables, with what they are of, and the sections of MATH.md."""
    world = CORRIDOR
    lines = [f"The world: a walk of at most {world.limit} steps over {world.cells} cells in a row, from the middle. The first cell "
             f"ends it with {world.left_reward:g},",
             f"the last with {world.right_reward:g}. Each step costs {-world.step_reward:g}; with probability {world.slip:g} it "
             f"goes the other way, which costs {-world.slip_reward:g} more. The policy is fixed.",
             f"γ = {seen['gamma']:g}, steps weighted by {'γᵗ' if discount else '1 instead of γᵗ'}: J = {seen['J']:.6f}, "
             f"‖∇J‖ = {seen['gradient_norm']:.6f}, sums over {seen['trajectories']:,} trajectories",
             "The rows of G₀ have no such weight: G₀ is discounted from the start.",
             section("Causality: only later rewards count", "Baselines, and the best one",
                     "The λ-return is a mixture, and GAE a sum", "The bias of k steps"), "",
             f"{'estimator of ∇J from one episode':36}{'bias':>9}{'variance':>10}{'cosine':>9}{'episodes':>10}"]
    for group, rows in seen["estimators"].items():
        lines += ["", group]
        lines += [f"  {name:34}{e['bias']:9.1e}{e['variance']:10.4f}{e['cosine']:9.4f}{e['episodes']:10.1f}"
                  for name, e in rows.items()]
    lines += ["", "bias: ‖E[ĝ] − ∇J‖ / ‖∇J‖. cosine: of the angle between E[ĝ] and ∇J. variance: tr Cov[ĝ].",
              "episodes: variance / ‖∇J‖², until the mean's noise is as long as ∇J. ε(s): fixed numbers from N(0, 1).",
              "best b(s): the baseline with which this estimator varies least.",
              f"critic after {FIT_STEPS} steps: what {FIT_STEPS} gradient steps on E[½ Σₜ (v(sₜ) − Gₜ)²] make of v = 0.",
              "G₀ and Gₜ: causality removes the noise of the rewards before t. But these can also act as a baseline, so that",
              "without any other one G₀ may vary less.", "",
              "Is the expected step the gradient of anything? Then its Jacobian A is symmetric; ‖A − Aᵀ‖ / ‖A + Aᵀ‖ is",
              f"  with γᵗ {seen['asymmetry']['with']:.0e} (rounding), without {seen['asymmetry']['without']:.3f}",
              section("Without γᵗ it is the gradient of no function"), "",
              "SAC's actor gradient for one state and one action feature, by quadrature: variance of ∂L/∂x and ∂L/∂μ, where x is",
              "the network's output for log σ, before the tanh that bounds it"]
    lines += [f"  {name:34}{m['variance'][0]:9.1f}{m['variance'][1]:10.1f}" for name, m in seen["two gradients"].items()]
    lines += [section("The pathwise gradient against the score function"), "",
              f"Soft policy iteration on {MDPS} random MDPs, with another temperature α in each pair of rows: the share of MDPs in",
              "which some soft Q(s, a), with entropy in the reward, is smaller after a round than before; the deepest fall; mean V"]
    lines += [f"  {name:34}{x['fell']:9.0%}{x['deepest']:10.4f}{x['value']:9.3f}"
              for name, x in seen["soft policy iteration"].items()]
    lines += [section("Soft policy iteration"), "",
              "The A-split (Sutton & Barto 2018, example 11.2): A leads to B or C, half of the time each; B ends with 1, C with 0.",
              "V(A), V(B), V(C) where gradient steps on the squared TD error end; the true ones are 0.50, 1.00, 0.00"]
    lines += [f"  {name:34}{'  '.join(f'{x:.2f}' for x in v):>22}" for name, v in seen["A-split"].items()]
    return "\n".join([*lines, section("The semi-gradient")])


def section(*names: str) -> str:
    """Names of sections of MATH.md, in one line or two."""
    return textwrap.fill(f"In scratchac/MATH.md: {', '.join(f'“{name}”' for name in names)}", 120)


def picture(micro: Microscope, lam: float, batch: int, path: Path) -> None:
    """Draw the unbiased estimators' variances, and bias² and variance of a batch over λ for critics with several errors."""
    from scratchac import style

    figure, (left, right) = style.panels(2, width=6, height=4)
    style.frame(left, "REINFORCE: exact variance of one episode's gradient", "tr Cov[ĝ]")
    style.frame(right, f"GAE(λ): bias² + variance, batches of {batch} episodes", "λ", "E‖mean of ĝ − ∇J‖²")
    names, bars = zip(*next(iter(estimates(micro, lam).values())).items(), strict=True)
    left.barh(names, [e.variance for e in bars], color=style.COLOURS[0])
    for i, e in enumerate(bars):
        left.text(e.variance, i, f" {e.variance:.3f}", va="center", fontsize=style.SMALL)
    left.invert_yaxis()
    left.margins(x=0.12)
    entries = {}
    for error, colour in zip(sorted({0.0, micro.critic_error, 2 * micro.critic_error}), style.COLOURS, strict=False):
        bias2, variance = curve(micro, error)
        total = bias2 + variance / batch
        right.plot(CURVE, total, color=colour, lw=style.LINE)
        right.plot(CURVE, bias2, color=colour, ls=":", lw=1.2)
        right.plot(CURVE[total.argmin()], total.min(), "o", color=colour)
        entries[f"V̂ = V + {error:g} ε(s)" if error else "true V"] = {"color": colour}
    right.set_ylim(0, None)
    style.legend(figure, entries | {"bias² alone": {"color": "0.4", "ls": ":"}, "least": {"color": "0.4", "marker": "o", "ls": ""}})
    plots.replace(figure, path)


def curve(micro: Microscope, error: float) -> tuple[np.ndarray, np.ndarray]:
    """Squared length of the bias and variance of one episode's GAE(λ), over λ in CURVE, for a critic with this error."""
    length, critic = np.linalg.norm(micro.gradient()), micro.critic(error)
    found = [micro.estimate(micro.gae(lam, critic)) for lam in CURVE]
    return np.array([(e.bias * length) ** 2 for e in found]), np.array([e.variance for e in found])


def page(micro: Microscope, lam: float, batch: int, discount: bool, path: Path) -> None:
    """Write the interactive page, which computes all of its numbers itself. Raises UserError for a file that exists."""
    if path.exists():
        raise UserError(f"{path} exists already, and nothing is overwritten: name another file with --page")
    with atomic_file(path) as file:
        file.write(labs.microscope(micro, lam, batch, discount).encode())
