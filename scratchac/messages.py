"""Messages and progress bars. Telling something never ends what it tells about, whatever has become of stderr."""

import codecs
import sys
from contextlib import suppress
from typing import Any

from tqdm import tqdm

from scratchac.wording import spoken

# What an output that is not Unicode shows instead of the characters that are used here; ? for all others.
PLAIN = {"±": "+-", "−": "-", "–": "-", "—": "-", "…": "...", "·": "*", "×": "x", "→": "->", "≤": "<=", "≥": ">=", "✓": "ok",
         "✗": "x", "│": "|", "─": "-", "█": "#", "′": "'", "∇": "grad ", "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta",
         "ε": "eps", "λ": "lambda", "μ": "mu", "π": "pi", "ρ": "rho", "σ": "sigma", "τ": "tau"}
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

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stderr, name)


STDERR: Any = Stderr()


def in_notebook() -> bool:
    """Whether a Jupyter kernel runs this code. IPython is not imported to find out: a kernel has done so."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and "IPKernelApp" in shell.config


def progress_bar(bar_format: str, **options: Any) -> tqdm:
    """A progress bar of tqdm: in a notebook a widget, if ipywidgets is installed, and otherwise text on stderr.

    bar_format    as tqdm takes it, with {bar:30} for the bar
    """
    if in_notebook() and not options.get("disable"):
        import tqdm.notebook as widgets

        if widgets.IProgress is not None:
            return widgets.tqdm(bar_format=bar_format.replace("{bar:30}", "{bar}"), **options)
    return tqdm(bar_format=bar_format, file=STDERR, **options)


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
