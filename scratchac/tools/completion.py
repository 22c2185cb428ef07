"""The scripts with which shells complete commands, algorithms, options, values, ids of environments and names of presets.

A script has a table of all of them and the program in candidates.py, which runs at each Tab. It goes to Python through a pipe: one
argument may have 128 KiB on Linux, which many installed environments exceed.
"""

import inspect
from collections.abc import Callable, Iterable
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import tyro

from scratchac.tools import candidates
from scratchac.tools.flags import texts_of

Shell = Annotated[Literal["bash", "zsh", "fish"], tyro.conf.Positional]
Part = tuple[str, Any, str]                             # name, type and text of an option
SCRIPTS = {
    "bash": """IFS= read -r -d '' _scratchac_program <<'END_OF_SCRATCHAC'
PROGRAM
END_OF_SCRATCHAC
_scratchac() {
    local python line
    python=$(command -v python3 || command -v python) || return
    COMPREPLY=()
    while IFS= read -r line; do
        COMPREPLY+=("${line%%$'\\t'*}")
    done < <(printf '%s' "$_scratchac_program" | "$python" -IS - "${COMP_WORDS[@]:1:COMP_CWORD}")
}
complete -o default -F _scratchac scratchac
""",
    "zsh": """#compdef scratchac
_scratchac() {
    local program python line
    local -a found
    IFS= read -r -d '' program <<'END_OF_SCRATCHAC'
PROGRAM
END_OF_SCRATCHAC
    python=$(command -v python3 || command -v python) || return
    for line in "${(@f)$(printf '%s' "$program" | "$python" -IS - "${(@)words[2,CURRENT]}")}"; do
        [[ -n $line ]] && found+=("${line/$'\\t'/:}")
    done
    if (( $#found )); then
        _describe -V scratchac found
    else
        _files
    fi
}
if [[ ${zsh_eval_context[-1]} == loadautofunc ]]; then
    _scratchac "$@"
else
    compdef _scratchac scratchac
fi
""",
    "fish": """set -g _scratchac_program 'PROGRAM'
function _scratchac
    set -l python (command -v python3; or command -v python)
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l found (printf '%s' $_scratchac_program | $python -IS - $words[2..-1] "$current")
    if test (count $found) -gt 0
        printf '%s\\n' $found
    else
        __fish_complete_path "$current"
    end
end
complete --command scratchac --no-files --arguments '(_scratchac)'
"""}


def script(shell: str, commands: dict[str, tuple[Callable[..., None], str]]) -> str:
    """The script for a shell, which is made once: what is registered or installed later is not in it."""
    program = f"{inspect.getsource(candidates)}\n\nmain({table_of(commands)!r})"
    if shell == "fish":
        program = program.replace("\\", "\\\\").replace("'", "\\'")
    return SCRIPTS[shell].replace("PROGRAM", program)


def table_of(commands: dict[str, tuple[Callable[..., None], str]]) -> dict[str, Any]:
    """All that can be completed, as `candidates` reads it."""
    import gymnasium as gym

    from scratchac import algorithms, api
    from scratchac.environments.games import GAMES
    from scratchac.tools import commands as others
    from scratchac.tools.exercise import ACTIONS
    from scratchac.tools.train import options_of, title_of

    run = [(f.name, f.type, get_args(f.type)[1].help) for f in fields(options_of(api.train))]
    sweep = list(parts_of(others.sweep))
    made = {name: node(parts_of(command)) for name, (command, _) in commands.items() if name not in ("train", "sweep", "exercise")}
    titles = {name: title_of(name) for name in algorithms.ALGORITHMS}
    made["train"] = node(run, {name: node([*run, *own_of(name)], preset=name) for name in titles}, titles)
    made["sweep"] = node(sweep, {name: node([*sweep, *own_of(name, list)], preset=name) for name in titles}, titles)
    made["presets"] |= {"words": dict.fromkeys(titles), "texts": titles}
    actions: dict[str, Any] = ACTIONS
    made["exercise"] = node([], {name: node(parts_of(action)) for name, action in actions.items()},
                            {name: (inspect.getdoc(action) or "").partition("\n")[0] for name, action in actions.items()})
    whole = node([], {name: made[name] for name in commands}, {name: text for name, (_, text) in commands.items()})
    return whole | {"lists": {"env": [*sorted(gym.registry), *GAMES]}}


def parts_of(function: Callable[..., Any]) -> Iterable[Part]:
    """The options and arguments of a command."""
    hints, texts = get_type_hints(function, include_extras=True), texts_of(function)
    return [(name, hints[name], texts[name]) for name in inspect.signature(function).parameters]


def own_of(algorithm: str, kind: Any = None) -> Iterable[Part]:
    """The hyperparameters of an algorithm; all of one `kind` if it is given."""
    from scratchac import algorithms

    config_class = algorithms.find(algorithm).config_class
    hints, texts = get_type_hints(config_class, include_extras=True), explained(config_class)
    return [(f.name, kind or hints[f.name], texts[f.name]) for f in fields(config_class)]


def explained(config_class: type) -> dict[str, str]:
    """Field → the text below it in the source."""
    texts: dict[str, str] = {}
    for one in reversed(config_class.__mro__[:-1]):
        lines = inspect.getsource(one).splitlines()
        texts |= {line.split(":")[0].strip(): below.strip(' "') for line, below in pairwise(lines) if below.startswith('    """')}
    return texts


def node(parts: Iterable[Part], words: dict[str, Any] | None = None, texts: dict[str, str] | None = None,
         preset: str | None = None) -> dict[str, Any]:
    """A table without lists: of options and arguments, or of `words` with their texts; `preset` is the algorithm of --preset."""
    options: dict[str, Any] = {"--help": ["show all options and exit", None, False]}
    words, paths = dict(words or {}), False
    for name, hint, text in parts:
        kind, marks = (get_args(hint)[0], get_args(hint)[1:]) if get_origin(hint) is Annotated else (hint, ())
        values = "env" if name == "env" else names_of_presets(preset) if name == "preset" else values_of(kind)
        own = next((mark.name for mark in marks if getattr(mark, "name", None)), name).replace("_", "-")
        if tyro.conf.Positional in marks:
            words |= dict.fromkeys(values if isinstance(values, list) else ())
            paths |= values == candidates.FILES
        elif tyro.conf.Suppress not in marks:
            options[f"--{own}"] = [text, values, get_origin(kind) is tuple]
            if kind is bool:
                options[f"--no-{own}"] = [f"the opposite of --{own}", None, False]
    return {"words": words, "texts": texts or {}, "options": options, "files": paths}


def values_of(kind: Any) -> Any:
    """What an option takes: None for a switch, FILES for a path, else a list of its values, which is empty for free text."""
    if kind is bool:
        return None
    inner = [one for one in (get_args(kind) or (kind,)) if one not in (type(None), ...)]
    if get_origin(kind) is Literal:
        return list(get_args(kind))
    return candidates.FILES if Path in inner else next((values_of(one) for one in inner if get_origin(one) is Literal), [])


def names_of_presets(algorithm: str | None) -> list[str]:
    """The names of an algorithm's additional presets; of all without one."""
    from scratchac.experiments.presets import presets

    tables = presets() if algorithm is None else {algorithm: presets().get(algorithm, {})}
    return sorted({key.partition(":")[2] for by_env in tables.values() for key in by_env} - {""})
