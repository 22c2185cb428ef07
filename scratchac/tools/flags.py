"""Reads flags with tyro, and says in one line what is wrong with them."""

import ast
import contextlib
import functools
import inspect
import io
import math
import re
import shlex
import textwrap
import warnings
from itertools import chain, dropwhile, takewhile
from json import dumps, loads
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import tyro

from scratchac.errors import UserError
from scratchac.messages import columns

MOST_SEEDS = 10_000
# names that JSON and Python do not share, in any case of letters → their values
CONSTANTS = {"nan": math.nan, "inf": math.inf, "infinity": math.inf, "true": True, "false": False, "null": None}
SHORT = {"-n": ("steps", "episodes"), "-s": ("seed", "seeds")}         # each the first of these that a command has
NAMES_OF_KINDS = {str: "STR", int: "INT", float: "FLOAT", Path: "PATH"}
INDENT = "  "                                                           # without one, tyro joins the lines of a description
EMPTY = ("", "''", "None")                                              # defaults that say nothing
Backend = Literal["auto", "numpy", "numba", "cupy"]
Log = Literal["tensorboard", "wandb"]
Words = tyro.conf.UseAppendAction[tuple[tuple[str, ...], ...]]        # of a flag that may be given several times
RULES = tyro.constructors.ConstructorRegistry()


@RULES.primitive_rule
def _whole_numbers(kind):
    """200, 1_000 and 1e6 as a whole number."""
    if kind.type is not int:
        return None
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1, metavar="INT", instance_from_str=lambda words: whole_from(words[0]), is_instance=lambda x: type(x) is int,
        str_from_instance=lambda x: [str(x)])


@RULES.primitive_rule
def _sizes(kind):
    """64 64, 64,64 and [64, 64] as sizes of layers."""
    if get_args(kind.type) != (int, ...):
        return None
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs="*", metavar="INT [INT ...]", instance_from_str=sizes_from,
        is_instance=lambda x: isinstance(x, tuple) and all(type(size) is int for size in x),
        str_from_instance=lambda sizes: list(map(str, sizes)))


def run(command, argv, prog):
    """Read the arguments of a function from the command line, then call it."""

    def later(*args, **kwargs):
        return functools.partial(command, *args, **kwargs)

    signature, hints, texts = inspect.signature(command), get_type_hints(command, include_extras=True), texts_of(command)
    later.__signature__ = signature.replace(parameters=[
        one.replace(annotation=shown(hints[name], texts[name])) for name, one in signature.parameters.items()])
    later.__annotations__ = {name: one.annotation for name, one in later.__signature__.parameters.items()}
    about = inspect.getdoc(command).partition("\n\nArgs:")[0]
    parse(later, argv, prog, about)()                       # not within `parse`, which captures what is printed to stderr


def texts_of(function: Any) -> dict[str, str]:
    """Parameter → its text in the docstring, in one line."""
    _, _, listed = (inspect.getdoc(function) or "").partition("Args:\n")
    return {name: " ".join(text.split())
            for name, text in re.findall(r"^    (\w+): (.+(?:\n {8,}.+)*)", listed.partition("\n\n")[0], re.MULTILINE)}


def shown(kind: Any, text: str) -> Any:
    """A type with the help that is printed: without None as a value or a default, since the text says what happens then."""
    plain, marks = (get_args(kind)[0], get_args(kind)[1:]) if get_origin(kind) is Annotated else (kind, ())
    inner = [one for one in get_args(plain) if one is not type(None)]
    name = None
    if type(None) in get_args(plain):
        name = f"{{{','.join(get_args(inner[0]))}}}" if get_origin(inner[0]) is Literal else NAMES_OF_KINDS.get(inner[0])
    about = tyro.conf.arg(help=text, metavar=name, help_behavior_hint=_default)
    return Annotated[(plain, about, *marks)]


def _default(text):
    """What the help says of a default that tyro has written for a shell; of `Words` it writes Python's tuples."""
    if re.match(r"[\"']?\(", text):
        groups = [ast.literal_eval(group) for group in shlex.split(text)]
        text = " ".join(map(shlex.quote, chain(*groups)))
    return "" if text in EMPTY else f"(default: {text})"


def parse(target, argv, prog, description=None, flags=None, others=None):
    """What tyro.cli makes of the arguments, and of a mistake a UserError of one line.

    flags   names of all options, without dashes; those of the function `target` if not given
    others  a list that takes the arguments which are none of them; if it is None, there must be none
    """
    names, messages = names_of(target) if flags is None else flags, io.StringIO()
    parts = [" ".join(part.split()) for part in (description or "").split("\n\n")]
    about = "\n\n".join(textwrap.fill(part, columns() or 120, subsequent_indent=INDENT, break_on_hyphens=False) for part in parts)
    try:
        with contextlib.redirect_stderr(messages):
            read, left = tyro.cli(target, args=spelt_out(argv, names), prog=prog, description=about, return_unknown_args=True,
                                  add_help=others is None, registry=RULES)
    except SystemExit as stop:
        if stop.code != 2 or not messages.getvalue():
            raise
        for word in argv:                                   # tyro may have taken an option that nobody knows for a value
            if word.startswith("--") and not _is_option(word, names):
                raise _unknown(word, names, prog) from None
        raise UserError(f"{_what_is_wrong(messages.getvalue())} ({prog} --help lists the options)") from None
    if others is not None:
        others += left
    elif left and left[0].startswith("-"):
        raise _unknown(left[0], names, prog)
    elif left:
        raise UserError(f"{prog} takes no further {left[0]!r} ({prog} --help lists the options)")
    return read


def _is_option(word, names):
    name = word.partition("=")[0].removeprefix("--").replace("_", "-")
    return name in ("", "help") or name.removeprefix("no-") in {x.replace("_", "-") for x in names}


def _unknown(word, names, prog):
    from scratchac.algorithms.names import unknown_name

    return unknown_name("option", word.partition("=")[0], names, flags=True, otherwise=f"{prog} --help lists the options")


def _what_is_wrong(box):
    """The sentence in the box that tyro draws: title, message, rule, hints, rule, more, within lines or, without UTF-8, dashes.

    tyro has a hook for errors, `_errors.on_parse_error`, but it is private, came with 1.0.14, and asks those who use it to require
    one exact version. So this depends on the layout of four messages (a value that does not fit, one that is missing, an argument
    that is missing, a choice that there is not), and a test holds each of them. Options that nobody knows do not come here.
    """
    rows = [row.strip("│╭╮╰╯ ") for row in box.splitlines()[1:]]
    return " ".join(takewhile(lambda row: not _is_rule(row), dropwhile(_is_rule, rows)))


def _is_rule(row):
    return not row.strip("─-")


def names_of(function):
    """The names of a function's options, as on the command line but without dashes."""
    hints = get_type_hints(function, include_extras=True)
    names = []
    for name in inspect.signature(function).parameters:
        marks = get_args(hints.get(name, ()))[1:]
        if tyro.conf.Positional not in marks:
            names.append(next((mark.name for mark in marks if getattr(mark, "name", None)), name))
    return names


def spelt_out(argv, names):
    """The command line with long options in place of those of SHORT: -s 3, -s=3 and -s3 as --seed 3."""
    words = []
    for word in argv:
        found = re.fullmatch(r"(-[a-z])(?:=(.+)|([0-9].*))?", word)
        long = found and next((name for name in SHORT.get(found[1], ()) if name in names), None)
        words += [f"--{long}", *filter(None, found.groups()[1:])] if long else [word]
    return words


def whole_from(text):
    """A whole number, also as 1_000 or 1e6. Raises ValueError."""
    with contextlib.suppress(ValueError):
        return int(text)
    with contextlib.suppress(ValueError):
        if float(text).is_integer():
            return int(float(text))
    raise ValueError(f"{text!r} is not a whole number, such as 200 or 1e6")


def sizes_from(words):
    """["64", "64"], ["64,64"] and ["[64,", "64]"] as (64, 64). Raises ValueError."""
    text = " ".join(words)
    if not re.fullmatch(r"[\[(]? *\d+( *[ ,] *\d+)* *,? *[\])]?", text):
        raise ValueError(f"{text!r} are not sizes of layers, such as 64 64")
    return tuple(map(int, re.findall(r"\d+", text)))


def env_args_from(words):
    """["gravity=-5", "continuous=False"] → {"gravity": -5, "continuous": False}; see `value_of` for the values."""
    return values_from("--env-args", words)


def values_from(flag, words):
    """The values of NAME=VALUE …, by name. Raises UserError, with the flag, for anything else, and for a name given twice."""
    values = {}
    for name, text in _pairs(flag, "name=value", words):
        if name in values:
            raise UserError(f"{flag} has {name} twice: give it once")
        values[name] = value_of(text)
    return values


def choices_from(words):
    """["actor_lr=1e-3,linear:1e-3:0", "hidden=[8,8],[4]"] → {"actor_lr": [0.001, "linear:1e-3:0"], "hidden": [[8, 8], [4]]}."""
    choices = {}
    for name, text in _pairs("--set", "name=value or name=value,value,…", words):
        name = name.replace("-", "_")
        if name in choices:
            raise UserError(f"{name} is given twice: put all its values behind one =, with commas between")
        choices[name] = [value_of(part) for part in _parts(text)]
    return choices


def seeds_from(text):
    """"0-9" → 0, 1, …, 9; "3" → 3; "0,2,10-12" → 0, 2, 10, 11, 12."""
    seeds = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()) or (dash and int(last) < int(first)):
            raise UserError(f"--seeds takes numbers and ranges such as 0-9 or 0,2,5-7, not {text!r}")
        if int(last or first) - int(first) >= MOST_SEEDS:
            raise UserError(f"--seeds takes ranges of at most {MOST_SEEDS} seeds, not {part}")
        seeds += range(int(first), int(last or first) + 1)
    return sorted(set(seeds))


def _pairs(flag, form, words):
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not text:
            raise UserError(f"{flag} takes {form}, not {word!r}")
        yield name, text


def _parts(text):
    """The texts between commas; a comma within brackets, braces or quotes separates nothing."""
    parts, depth, quote = [""], 0, ""
    for before, sign in zip(" " + text, text, strict=False):
        if quote:
            quote = "" if sign == quote and before != "\\" else quote
        elif sign in "\"'" and not before.isalnum():         # not an apostrophe
            quote = sign
        else:
            depth += (sign in "([{") - (sign in ")]}")
        if sign == "," and not quote and depth <= 0:
            parts.append("")
        else:
            parts[-1] += sign
    return parts


def value_of(text):
    """The value of a text in JSON or a literal of Python's (False, .5, (1, 2)), also one that mixes both; else the text itself.

    nan and inf are numbers. A literal that JSON cannot hold, such as a set, is text as well: a run keeps its arguments in
    config.json.
    """
    with contextlib.suppress(ValueError, RecursionError):
        return loads(text)
    with contextlib.suppress(ValueError, SyntaxError, TypeError, MemoryError, RecursionError), warnings.catch_warnings():
        warnings.simplefilter("ignore")                     # of text that nearly is Python
        value = ast.literal_eval(_Constants().visit(ast.parse(text.strip(), mode="eval")))
        dumps(value)
        return value
    return text


class _Constants(ast.NodeTransformer):
    """Puts the values of CONSTANTS in the place of their names."""

    def visit_Name(self, node):
        return ast.Constant(CONSTANTS[node.id.lower()]) if node.id.lower() in CONSTANTS else node
