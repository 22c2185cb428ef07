"""Exports a trained policy as a web page that plays it, or as an ONNX graph.

Both are made from one plain description of the agent, `policy_of`. The page's parts are in scratchac/tools/page/ and become a
single file that loads nothing else.
"""

import json
import math
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from scratchac import api
from scratchac.distributions import Categorical, Gaussian, MultiCategorical, TanhGaussian
from scratchac.environments.flattened import is_picture
from scratchac.errors import UserError
from scratchac.experiments.files import atomic_file
from scratchac.experiments.pages import assembled, in_script
from scratchac.experiments.run import Run, to_json
from scratchac.nn import MLP, Parameters
from scratchac.normalise import LIMIT
from scratchac.policies import ILLEGAL
from scratchac.training.agent import Agent
from scratchac.version import __version__

PAGES = ("CartPole-v1", "Pendulum-v1", "Acrobot-v1", "MountainCarContinuous-v0")
INSTALL = "pip install onnx onnxruntime"


def export(run_dir: Any, kind: str = "html", out: Any = None, best: bool = False) -> Path:
    """Write the policy of a run as "html" or "onnx" into the new file `out`, RUN/policy.KIND if not given; return its path.

    best    the best policy of the run's evaluations instead of the last one; the file is then RUN/best.KIND

    Raises UserError for a folder that is no run, a file that exists, and a policy that this format cannot hold.
    """
    run = Run.open(run_dir)
    out = Path(out or run.path / f"{'best' if best else 'policy'}.{kind}")
    if out.exists():
        raise UserError(f"{out} exists already, and nothing is overwritten: name another file with --out")
    space, _ = run.spaces()
    if is_picture(space):
        raise UserError(f"a policy that sees pictures, here of shape {space.shape}, cannot be exported")
    content = {"html": web_page, "onnx": onnx_graph}[kind](run, best)
    with atomic_file(out) as file:
        file.write(content)
    return out


# -- what a policy is ------------------------------------------------------------------------------------------------


def policy_of(agent: Agent) -> dict[str, Any]:
    """An agent's policy and critic as names, numbers and lists: {activation, normaliser, actor, head, critic}.

    actor    layers {W (I, H), b (H)} whose outputs the head reads
    head     `kind` categorical (start, mask), multi-categorical (sizes of the factors, start, shape, mask), gaussian (scaled), tanh
             (noise) or tanh-gaussian; the last three with low, high, the action's shape and whether the box has whole numbers.
             `log_std` is a learnt vector, None where the actor's first outputs are log σ, or how a tanh-gaussian bounds it; `mask`
             is [first, last + 1] of the observation's features that are 1 for legal actions, 0 for others, or None
    critic   None, or networks of layers with `kind` "V(s)", "Q(s)" (a vector over actions) or "Q(s, a)" (a in [−1, 1])
    """
    networks, normaliser = agent.networks(), agent.normaliser
    critic = None
    if networks.critic is not None and networks.w is not None:
        columns = networks.value_outputs if networks.values == "V(s)" else slice(None)
        h = agent.schedules(agent.step / agent.config.steps)
        critic = {
            "kind": networks.values,
            "networks": [_layers(networks.critic, networks.w, member, columns) for member in np.ndindex(networks.critic.stack)],
            "gamma": float(h.gamma),
            "alpha": agent.temperature(),
            "reward_scale": agent.scaler.scale if agent.scaler else 1.0,
        }
    return {
        "activation": agent.config.activation,
        "normaliser": normaliser and {"mean": normaliser.mean.tolist(), "std": normaliser.std.tolist()},
        "actor": _layers(networks.actor, networks.theta, columns=networks.policy_outputs),
        "head": _head(agent, networks.theta["constants"] if networks.actor.constants else None),
        "critic": critic,
    }


def _head(agent: Agent, constants: np.ndarray | None) -> dict[str, Any]:
    dist = agent.dist
    if isinstance(dist, Categorical | MultiCategorical):
        mask = getattr(agent, "masked", None)               # off-policy agents have none
        kept = {"mask": mask and [mask.features.start, mask.features.stop]}
        if isinstance(dist, Categorical):
            return {"kind": "categorical", "start": dist.start, **kept}
        return {"kind": "multi-categorical", "sizes": dist.sizes, "start": dist.start.ravel().tolist(), "shape": dist.shape, **kept}
    box = {"low": _numbers(dist.low), "high": _numbers(dist.high), "whole": dist.low.dtype.kind != "f", "shape": dist.shape}
    if isinstance(dist, Gaussian):
        log_std = None if constants is None else _numbers(constants)
        return {"kind": "gaussian", "scaled": dist.scale is not None, "log_std": log_std, **box}
    if isinstance(dist, TanhGaussian):
        return {"kind": "tanh-gaussian", "log_std": dist.log_std, **box}
    assert agent.noise is not None
    scale = agent.schedules(agent.step / agent.config.steps).noise_scale
    return {"kind": "tanh", "noise": {"scale": scale, "theta": agent.noise.theta}, **box}


def _layers(mlp: MLP, params: Parameters, member: tuple[int, ...] = (), columns: slice = slice(None)) -> list[dict[str, Any]]:
    """Layers of an MLP, or of one member of a stack; `columns` picks outputs of the last layer."""
    layers = [{name: params[f"{name}{i}"][member] for name in ("W", "b")} for i in range(1, mlp.layers + 1)]
    layers[-1] = {name: x[..., columns] for name, x in layers[-1].items()}
    return [{name: _numbers(x) for name, x in layer.items()} for layer in layers]


def _numbers(x: Any) -> list[Any]:
    """Nested lists of the shortest decimals that identify these float32 numbers."""
    return np.asarray(x, np.float32).astype(str).astype(float).tolist()


# -- a web page ------------------------------------------------------------------------------------------------------


def web_page(run: Run, best: bool = False) -> bytes:
    """The bytes of the page. Raises UserError for an environment whose physics the page does not have."""
    config = run.config
    env = config.get("made_as", config["env"])
    if env not in PAGES:
        raise UserError(f"{env} has no page; these have: {', '.join(PAGES)} (--format onnx takes any)")
    agent = api.load(run.path, best)
    data = {"env": config["env"], "env_args": config["env_args"], **policy_of(agent)}
    return filled("page.html", policy=in_script(data), algorithm=escape(config["algorithm"]), env=escape(config["env"]),
                  facts=f"seed {config['seed']} · {agent.step:,} steps · scratchac {__version__}")


def filled(page: str, **parts: str) -> bytes:
    """A file of scratchac/tools/page/ with the other files there, and `parts`, in the places {{name}} that ask for them."""
    known = {path.name: path.read_text(encoding="utf-8") for path in (files("scratchac.tools") / "page").iterdir()} | parts
    return assembled(known[page], known).encode()


# -- an ONNX graph ---------------------------------------------------------------------------------------------------


def onnx_graph(run: Run, best: bool = False) -> bytes:
    """The bytes of a graph obs (batch, O) → action (batch, …shape): `agent.act(obs, explore=False)`.

    Actions are float32, or int64 where they are whole numbers. Where observations are flattened, `obs` has the vectors that
    Gymnasium's `flatten` makes; the graph's metadata have the space, as in config.json, under `observation_space`, and beside it
    `environment`, `env_args`, `algorithm`, `seed` and the `steps` that were trained.

    With `action_mask` the action is a legal one, as obs says; the graph does not check that its features are a mask.
    It has passed ONNX's checker, and acts as the agent does on random observations, of the normaliser's mean and deviation. Raises
    UserError without the packages.
    """
    try:
        import onnx
        import onnxruntime
    except ImportError:
        raise UserError(f"--format onnx needs packages that are missing: {INSTALL}") from None
    agent = api.load(run.path, best)
    policy = policy_of(agent)
    model = _graph(onnx, policy, run.config, agent.step)
    onnx.checker.check_model(model, full_check=True)
    content = model.SerializeToString()

    rng = np.random.default_rng(0)
    seen = policy["normaliser"] or {"mean": 0.0, "std": 1.0}
    obs = (seen["mean"] + seen["std"] * rng.standard_normal((100, len(policy["actor"][0]["W"])))).astype(np.float32)
    if policy["head"].get("mask"):
        first, end = policy["head"]["mask"]
        sizes = policy["head"].get("sizes", [end - first])
        legal = np.concatenate([np.eye(n)[rng.integers(n, size=100)] for n in sizes], axis=1) + rng.random((100, end - first))
        obs[:, first:end] = legal > 0.5                     # one choice of each factor is legal, at least
    played, = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"]).run(None, {"obs": obs})
    if not _same(played, agent.act(obs, explore=False), agent.dist):
        raise UserError("the ONNX graph, which computes in float32, does not play as the agent does; nothing is written")
    return content


def _same(played: np.ndarray, wanted: np.ndarray, dist: Any) -> bool:
    """Whether actions are the same but for rounding: by a ten-thousandth of the box's range; of whole numbers, 1 in a few rows."""
    if isinstance(dist, Categorical | MultiCategorical):
        return np.array_equal(played, wanted)
    difference = np.abs(played.astype(np.float64) - wanted.astype(np.float64)).reshape(len(played), -1)
    if wanted.dtype.kind != "f":
        return difference.max() <= 1 and (difference > 0).mean() < 0.05
    width = np.minimum(dist.high.astype(np.float64) - dist.low, 1e4)         # it may be infinite
    rounding = 4 * np.finfo(wanted.dtype).eps * np.abs(wanted.astype(np.float64)).max()
    return bool((difference <= 1e-4 * width + rounding).all())


def _graph(onnx: Any, policy: dict[str, Any], config: dict[str, Any], steps: int) -> Any:
    make, head = onnx.helper, policy["head"]
    nodes: list[Any] = []
    constants: list[Any] = []

    def node(op: str, x: str, *values: Any, dtype: Any = np.float32, **attributes: Any) -> str:
        """Append a node that takes `x` and further values, constants or names of outputs; return the name of its output."""
        names = [value if isinstance(value, str) else f"{op}_{len(nodes)}_{i}" for i, value in enumerate(values)]
        constants.extend(onnx.numpy_helper.from_array(np.asarray(value, dtype), name)
                         for value, name in zip(values, names, strict=True) if value is not name)
        nodes.append(make.make_node(op, [x, *names], [f"{op}_{len(nodes)}"], **attributes))
        return nodes[-1].output[0]

    def mean_excess(x: str) -> str:
        """`distributions.mean_excess`."""
        x = node("Max", x, -40)
        density = node("Mul", node("Exp", node("Mul", node("Mul", x, x), -0.5)), 1 / math.sqrt(2 * math.pi))
        return node("Add", node("Mul", x, node("Mul", node("Add", node("Erf", node("Div", x, math.sqrt(2))), 1), 0.5)), density)

    x = "obs"
    if policy["normaliser"]:
        x = node("Div", node("Sub", x, policy["normaliser"]["mean"]), policy["normaliser"]["std"])
        x = node("Clip", x, -LIMIT, LIMIT)
    for layer in policy["actor"][:-1]:
        x = node({"tanh": "Tanh", "relu": "Relu"}[policy["activation"]], node("Gemm", x, layer["W"], layer["b"]))
    last = policy["actor"][-1]
    discrete = head["kind"] in ("categorical", "multi-categorical")
    if discrete:
        x = node("Gemm", x, last["W"], last["b"])
        if head["mask"]:
            first, end = head["mask"]
            mask = node("Slice", "obs", [first], [end], [1], dtype=np.int64)
            x = node("Where", node("Equal", mask, 1), x, ILLEGAL)
    if head["kind"] == "categorical":
        x = node("ArgMax", x, axis=1, keepdims=0)
        x = node("Add", x, head["start"], dtype=np.int64)
    elif head["kind"] == "multi-categorical":
        ends = np.cumsum(head["sizes"]).tolist()
        factors = [node("Slice", x, [end - size], [end], [1], dtype=np.int64)
                   for size, end in zip(head["sizes"], ends, strict=True)]
        chosen = [node("ArgMax", factor, axis=1, keepdims=1) for factor in factors]
        x = node("Add", node("Concat", *chosen, axis=1), head["start"], dtype=np.int64)
    else:
        A, low, high = len(head["low"]), np.array(head["low"]), np.array(head["high"])
        mu = node("Gemm", x, np.array(last["W"])[:, -A:], last["b"][-A:])
        if head["kind"] == "gaussian":
            own = head["log_std"] is None                                   # the network's outputs before μ
            std = node("Exp", node("Gemm", x, np.array(last["W"])[:, :A], last["b"][:A])) if own else np.exp(head["log_std"])
            ends = (-1, 1) if head["scaled"] else (low, high)               # as Gaussian.greedy does
            below = mean_excess(node("Div", node("Add", node("Neg", mu), ends[0]), std))
            above = mean_excess(node("Div", node("Sub", mu, ends[1]), std))
            x = node("Add", mu, node("Mul", node("Sub", below, above), std))
        else:
            x = node("Tanh", mu)
        if head.get("scaled", True):                                        # as ActionScale does
            x = node("Add", node("Mul", x, 0.5 * (high - low + head["whole"])), 0.5 * (high + low))
        if head["whole"]:
            x = node("Floor", node("Add", x, 0.5))
        x = node("Min", node("Max", x, low), high)
        if head["whole"]:
            x = node("Cast", x, to=onnx.TensorProto.INT64)
    shape = tuple(head.get("shape", ()))
    if head["kind"] != "categorical" and len(shape) != 1:
        x = node("Reshape", x, [-1, *shape], dtype=np.int64)
    nodes[-1].output[0] = "action"

    whole = discrete or head["whole"]
    kind = onnx.TensorProto.INT64 if whole else onnx.TensorProto.FLOAT
    graph = make.make_graph(nodes, f"{config['algorithm']} on {config['env']}",
                            [make.make_tensor_value_info("obs", onnx.TensorProto.FLOAT, ["batch", len(policy["actor"][0]["W"])])],
                            [make.make_tensor_value_info("action", kind, ("batch", *shape))], constants)
    # An old operator set and format: all that is needed is in them, and old runtimes read them.
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 13)], ir_version=8, producer_name="scratchac",
                            producer_version=__version__)
    facts = {"environment": config.get("made_as", config["env"]), "env_args": json.dumps(to_json(config["env_args"])),
             "algorithm": config["algorithm"], "steps": str(steps), "seed": str(config["seed"]),
             "observation_space": json.dumps(config["observation_space"])}
    make.set_model_props(model, facts)
    return model
