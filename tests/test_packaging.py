"""The package: what its page says, what is in a wheel, and what an unrelated package called `kernels` does to it."""

import configparser
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from scratchac.__main__ import COMMANDS

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "scratchac" / "PACKAGE.md").read_text()
SAYS = re.compile(r"scratchac needs its own package `kernels`, and \S+/kernels is an unrelated one, or what it has left: "
                  r"pip uninstall kernels, then install scratchac once more, with pip's --force-reinstall\n$")


def test_the_package_s_page_needs_nothing_beside_it():
    """It is shown without the other files of the project: no link, no picture, and commands that exist."""
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    assert settings["metadata"]["long_description"] == "file: scratchac/PACKAGE.md"
    assert not re.findall(r"\]\(|<img|://", PAGE)
    rows = re.findall(r"^\| (`.+?`) \|", PAGE, re.MULTILINE)
    named = {command.removeprefix("scratchac ").split()[0] for row in rows for command in re.findall(r"`(.+?)`", row)}
    assert len(named) > 8 and named <= set(COMMANDS)


@pytest.fixture
def site(tmp_path):
    """A folder as pip leaves it: a function installs `ours` or `theirs` there, another uninstalls."""
    folder = tmp_path / "site"
    folder.mkdir()
    theirs = {"kernels/__init__.py": "def get_kernel(): ...\n", "kernels/layer.py": ""}

    def install(which):
        if which == "theirs":
            for name, text in theirs.items():
                (folder / name).parent.mkdir(exist_ok=True)
                (folder / name).write_text(text)
        else:
            for name in ("scratchac", "kernels"):
                shutil.copytree(ROOT / name, folder / name, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))

    def uninstall_theirs():
        for name in theirs:
            (folder / name).unlink()

    def python(*words):
        """What a program of that name gets whose packages are in the folder."""
        program = (f"import sys; sys.path.insert(0, {str(folder)!r}); sys.argv = {list(words)!r}; "
                   "import scratchac, kernels; from scratchac import nn; print(kernels.__file__)")
        alone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        return subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, env=alone, cwd=tmp_path)

    return install, uninstall_theirs, python, folder


def test_an_unrelated_package_that_is_installed_later_is_named_in_one_line(site):
    install, uninstall, python, folder = site
    install("ours")
    install("theirs")
    for _ in ("installed", "uninstalled again"):
        command, library = python("/usr/bin/scratchac"), python("mine.py")
        assert command.returncode == 2 and SAYS.fullmatch(command.stderr.removeprefix("scratchac: "))
        assert library.returncode == 1 and SAYS.search(library.stderr) and "ImportError: scratchac needs" in library.stderr
        if (folder / "kernels" / "layer.py").exists():
            uninstall()
    install("ours")
    assert python("scratchac").stdout == f"{folder}/kernels/__init__.py\n"


def test_an_unrelated_package_that_is_installed_before_is_replaced(site):
    install, _, python, folder = site
    install("theirs")
    install("ours")
    done = python("scratchac")
    assert done.returncode == 0 and done.stdout == f"{folder}/kernels/__init__.py\n", done.stderr


@pytest.mark.slow
def test_a_wheel_has_every_file_and_nothing_else(tmp_path):
    """Built without the network, where setuptools is there; that it runs by itself is tried in .ci/run."""
    pytest.importorskip("setuptools", "70.1", reason="setuptools is missing, or cannot make wheels")
    source = tmp_path / "source"
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    tracked = listed.split("\0")[:-1]
    for name in tracked:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    words = ["wheel", "-q", "--no-deps", "--no-build-isolation", "-w", tmp_path, source]
    subprocess.run([sys.executable, "-m", "pip", *words], check=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
        page = wheel.read(next(name for name in wheel.namelist() if name.endswith("/METADATA"))).decode()
    kept = {name for name in tracked if name.startswith(("scratchac/", "kernels/"))}
    assert names == kept - {"kernels/README.md"}
    assert page.endswith(PAGE)


def test_what_a_message_tells_to_install_is_an_extra():
    """With the lowest version that setup.cfg allows: a newer one may keep another extra from being installed."""
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    allowed = {line.replace(" ", "") for extra in settings["options.extras_require"].values() for line in extra.splitlines()}
    code = "\n".join(path.read_text() for path in (ROOT / "scratchac").rglob("*.py"))
    commands = re.findall(r"pip install ((?:'[\w\[\]>=.-]+' ?)+)", code)
    pinned = {word for command in commands for word in re.findall(r"'(.+?)'", command) if ">=" in word}
    assert len(pinned) > 10 and pinned <= allowed
