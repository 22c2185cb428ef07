"""Messages and progress bars. Telling something never ends what it tells about, whatever has become of stderr."""

import codecs
import shutil
import sys
from contextlib import suppress
from typing import Any

from tqdm import tqdm

from scratchac.wording import spoken

# What an output that is not Unicode shows instead of the characters that are used here; ? for all others.
PLAIN = {"±": "+-", "−": "-", "–": "-", "—": "-", "…": "...", "·": "*", "×": "x", "→": "->", "≤": "<=", "≥": ">=", "✓": "ok",
         "✗": "x", "│": "|", "─": "-", "█": "#", "′": "'", "∇": "grad ", "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta",
         "ε": "eps", "λ": "lambda", "μ": "mu", "π": "pi", "ρ": "rho", "σ": "sigma", "τ": "tau"}
WIDEST = 100                    # columns of a progress bar
GONE = OSError, ValueError, AttributeError      # what writing raises if stderr is full or has no reader, is closed, is None


class Stderr:
    """A file that writes to whatever is sys.stderr, and loses what cannot be written there: on a full disk, after it was closed."""

    def write(self, text: str) -> int:
        """Write text, if that is possible."""
        try:
            sys.stderr.write(text)
        except UnicodeEncodeError:
            self.write(text.encode("ascii", "scratchac").decode())
        except GONE:
            pass
        return len(text)

    def flush(self) -> None:
        """Flush, if that is possible."""
        with suppress(*GONE):
            sys.stderr.flush()

    def isatty(self) -> bool:
        """Whether somebody may be looking."""
        with suppress(*GONE):
            return bool(sys.stderr.isatty())
        return False

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stderr, name)


STDERR: Any = Stderr()


def in_notebook() -> bool:
    """Whether a Jupyter kernel runs this code. IPython is not imported to find out: a kernel has done so."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and "IPKernelApp" in shell.config


STEPS_BAR = "{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} steps, {rate_fmt}, {remaining} left{postfix}"      # of environment steps


def progress_bar(bar_format: str, **options: Any) -> tqdm:
    """A progress bar of tqdm: in a notebook a widget, if ipywidgets is installed, and otherwise text on a terminal.

    bar_format    as tqdm takes it; {bar} takes what the terminal has left, up to WIDEST columns in all

    There is none where stderr is not a terminal, such as a file.
    """
    if in_notebook() and not options.get("disable"):
        import tqdm.notebook as widgets

        if widgets.IProgress is not None:
            return widgets.tqdm(bar_format=bar_format, **options)
    elif not STDERR.isatty():
        options["disable"] = True
    return tqdm(bar_format=bar_format, file=STDERR, ncols=min(shutil.get_terminal_size().columns, WIDEST), **options)


def columns() -> int:
    """The columns of the terminal that stdout writes to, or $COLUMNS; 0 where it is neither, so that lines may have any length."""
    return shutil.get_terminal_size((0, 0)).columns


def filled(parts: list[str], width: int, indent: str = "    ") -> str:
    """Parts with two spaces between them, in lines of at most `width` columns if that is not 0; no part is broken."""
    lines = [indent + parts[0]] if parts else []
    for part in parts[1:]:
        if width and len(lines[-1]) + 2 + len(part) > width:
            lines.append(indent + part)
        else:
            lines[-1] += f"  {part}"
    return "\n".join(lines)


def tell(text: str) -> None:
    """A line on stderr; if there is a progress bar, it goes on below."""
    tqdm.write(f"scratchac: {spoken(text)}", file=STDERR)


def _plain(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    return "".join(PLAIN.get(sign, "?") for sign in error.object[error.start : error.end]), error.end


codecs.register_error("scratchac", _plain)


def degrade() -> None:
    """From now on stdout and stderr replace the characters that they cannot show."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):                  # not where a test or a notebook has replaced it
            stream.reconfigure(errors="scratchac")
