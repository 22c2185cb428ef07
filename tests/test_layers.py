"""The directions of imports: the layers of setup.cfg, and no circle anywhere."""

from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest
import trace_update as trace
from importlinter.cli import lint_imports

from scratchac import algorithms

ROOT = Path(__file__).parents[1]


def imports():
    """Module → the modules that it imports, wherever in the file, but for the names of the packages themselves."""
    graph = grimp.build_graph("scratchac", "kernels", cache_dir=None)
    return {module: graph.find_modules_directly_imported_by(module) - {"scratchac", "kernels"}
            for module in graph.modules - {"scratchac", "kernels"}}


def test_imports_run_from_the_upper_layers_to_the_lower_ones(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert lint_imports(no_cache=True) == 0


def test_no_modules_import_each_other_in_a_circle():
    TopologicalSorter(imports()).prepare()                  # raises CycleError, with the circle


def test_kernels_know_nothing_of_the_library():
    assert not [(module, name) for module, names in imports().items() for name in names
                if module.startswith("kernels.") and name.startswith("scratchac")]


LOOP = "scratchac/training/", "kernels/"        # the loop around an update and its data, and what passes calls of kernels on


@pytest.mark.parametrize("name, most", [("sac", 7), ("td3", 7), ("ddpg", 7), ("ppo", 8), ("a2c", 8), ("reinforce", 8)])
def test_an_update_is_read_in_few_files(name, most):
    """One update is traced: these are the files that whoever reads it opens, its own among them."""
    agent, batch = trace.agent_and_batch(name)
    files = {file for file, _, _ in trace.traced(lambda: agent.update(batch)) if not file.startswith(LOOP)}
    assert f"scratchac/algorithms/{algorithms.ALGORITHMS[name].module}.py" in files and len(files) <= most, sorted(files)


def test_the_table_of_what_a_reader_opens_is_the_present_one():
    assert trace.table() in (ROOT / "CONTRIBUTING.md").read_text(), "python tests/trace_update.py"
