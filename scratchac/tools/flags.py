"""Reads flags with tyro, and shortens its messages to one line each."""

import ast
import contextlib
import functools
import io
import math
import re
import warnings
from itertools import dropwhile, takewhile
from json import dumps, loads
from typing import Literal

import tyro

from scratchac.errors import UserError

MOST_SEEDS = 10_000
# names that JSON and Python do not share, in any case of letters → their values
CONSTANTS = {"nan": math.nan, "inf": math.inf, "infinity": math.inf, "true": True, "false": False, "null": None}
Backend = Literal["auto", "numpy", "numba", "cupy"]


def run(command, argv, prog):
    """Read the arguments of a function from the command line, then call it."""

    @functools.wraps(command)
    def later(*args, **kwargs):
        return functools.partial(command, *args, **kwargs)

    parse(later, argv, prog)()                              # not within `parse`, which captures what is printed to stderr


def parse(target, argv, prog, description=None):
    """tyro.cli, with its boxed error messages cut down to one line."""
    messages = io.StringIO()
    try:
        with contextlib.redirect_stderr(messages):
            return tyro.cli(target, args=argv, prog=prog, description=description)
    except SystemExit as stop:
        if stop.code != 2 or not messages.getvalue():
            raise
    # tyro prints a box: title, message, rule, hints, rule, more. Its frame consists of lines or, without UTF-8, of dashes.
    rows = [row.strip("│╭╮╰╯ ") for row in messages.getvalue().splitlines()[1:]]
    body = list(dropwhile(_is_rule, rows))
    what = " ".join(takewhile(lambda row: not _is_rule(row), body))
    near = [row.split()[0].rstrip(",") for row in rows if row.startswith("--") and not _is_rule(row)]
    meant = f"; did you mean {' or '.join(near)}?" if near and what.startswith("Unrecognized") else ""
    raise UserError(f"{what}{meant} ({prog} --help lists the options)")


def _is_rule(row):
    return not row.strip("─-")


def value_after(flag, argv, otherwise=None):
    """The value given to a flag as `--flag VALUE` or `--flag=VALUE`; `otherwise` if it is not given."""
    for word, following in zip(argv, [*argv[1:], otherwise], strict=True):
        if word == flag:
            return following
        if word.startswith(f"{flag}="):
            return word.split("=", 1)[1]
    return otherwise


def env_args_from(words):
    """["gravity=-5", "continuous=False"] → {"gravity": -5, "continuous": False}; see `value_of` for the values."""
    return {name: value_of(text) for name, text in _pairs("--env-args", "name=value", words)}


def choices_from(words):
    """["actor_lr=1e-3,linear:1e-3:0", "hidden=[8,8],[4]"] → {"actor_lr": [0.001, "linear:1e-3:0"], "hidden": [[8, 8], [4]]}."""
    choices = {}
    for name, text in _pairs("--set", "name=value or name=value,value,…", words):
        choices[name.replace("-", "_")] = [value_of(part) for part in _parts(text)]
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


def in_words(argv, flags):
    """The command line with `--hidden 32,32` or `--hidden [32,32]` as `--hidden 32 32`, for flags that take several numbers."""
    words, listed = [], False
    for word in argv:
        flag, equals, value = word.partition("=")
        if word.startswith("--"):
            listed = flag in flags
            if listed and equals:
                words.append(flag)
                word = value
        several = listed and re.fullmatch(r"[\[(]? *\d+( *, *\d+)* *,? *[\])]?", word)
        words += re.findall(r"\d+", word) if several else [word]
    return words
