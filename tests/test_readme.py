"""What the README says of itself."""

import re
import runpy
from pathlib import Path

ROOT = Path(__file__).parents[1]
TABLE = runpy.run_path(str(ROOT / "demos/results/table.py"))


def test_tables_are_the_generated_ones():
    for path in TABLE["READMES"]:
        assert TABLE["filled"](path.read_text()) == path.read_text(), path


def test_files_that_are_named_exist():
    for document in (ROOT / "README.md", ROOT / "demos/README.md", ROOT / "kernels/README.md"):
        for target in re.findall(r"\]\(([^)#:]+)[)#]", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name} points to {target}"


def test_every_module_is_in_the_reading_order():
    text = (ROOT / "README.md").read_text()
    modules = [*(ROOT / "scratchac").glob("*.py"), *(ROOT / "scratchac/algorithms").glob("*.py")]
    support = {"__init__.py", "errors.py", "hyperparameters.py", "doctor.py", "play.py", "plots.py", "video.py"}
    missing = {path.name for path in modules if path.name not in text} - support
    assert not missing
