"""The package as people install it: what wheel and source distribution hold, and that they are always the same."""

import email
import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from published_wheel import copy_sources
from test_workflow_scripts import release_files

from companion import _about

ROOT = Path(__file__).resolve().parents[1]
WHEN = 1_700_000_000
NAME = f"reparameterization_companion-{_about.__version__}"
ADDRESS = "https://owner.github.io/course"


def sources(folder):
    """A copy of what a build needs, with a test beside it, which must not be packed."""
    folder.mkdir(parents=True)
    copy_sources(folder, _about.__version__, ADDRESS)
    (folder / "tests").mkdir()
    (folder / "tests" / "test_planted.py").write_text("")
    return folder


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder with a wheel and a source distribution."""
    folder = tmp_path_factory.mktemp("built")
    release_files.build_package(sources(folder / "sources"), folder / "out", WHEN)
    return folder / "out"


@pytest.fixture(scope="module")
def wheel(built):
    return built / f"{NAME}-py3-none-any.whl"


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A folder into which the wheel was installed."""
    return install(wheel, tmp_path_factory.mktemp("installed"))


def install(file, folder):
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*command, "--no-compile", "--target", folder, file], check=True, capture_output=True)
    return folder


def modules(folder):
    """The package's files below a folder, with their contents."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted((folder / "companion").rglob("*"))
        if path.is_file() and path.suffix != ".pyc"
    }


def test_two_builds_are_the_same_to_the_last_byte(built, tmp_path):
    again = sources(tmp_path / "elsewhere" / "sources")
    for path in again.rglob("*"):
        os.utime(path, (WHEN + 5_000, WHEN + 5_000))
    release_files.build_package(again, tmp_path / "out", WHEN)
    names = sorted(path.name for path in built.iterdir())
    assert names == [f"{NAME}-py3-none-any.whl", f"{NAME}.tar.gz"]
    assert [(tmp_path / "out" / name).read_bytes() for name in names] == [(built / name).read_bytes() for name in names]


def test_the_wheel_holds_the_package_and_nothing_else(wheel, installed):
    expected = modules(ROOT)
    assert "companion/py.typed" in expected
    assert "companion/__main__.py" in expected
    found = modules(installed)
    assert found.keys() == expected.keys()
    assert [name for name in found if found[name] != expected[name]] == ["companion/_about.py"]  # it names the book
    assert {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()} == {"companion", f"{NAME}.dist-info"}


def test_the_wheel_says_what_it_is(wheel):
    archive = zipfile.ZipFile(wheel)
    about = email.message_from_bytes(archive.read(f"{NAME}.dist-info/METADATA"))
    assert (about["Name"], about["Version"]) == ("reparameterization-companion", _about.__version__)
    assert about["License-Expression"] == "MIT"
    assert about["Requires-Python"] == ">=3.11"
    assert about["Author"]
    assert about.get_payload().startswith("# The reparameterization trick")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = {
        line.split(";")[0].split("<")[0].split(">")[0]
        for line in about.get_all("Requires-Dist")
        if "extra ==" not in line
    }
    assert needed == {line.split(">")[0] for line in project["dependencies"]}
    assert archive.read(f"{NAME}.dist-info/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()


def test_the_source_distribution_holds_what_a_build_needs_and_no_tests(built, installed, tmp_path):
    with tarfile.open(built / f"{NAME}.tar.gz") as tar:
        names = {name.removeprefix(f"{NAME}/") for name in tar.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "PKG-INFO", "companion/py.typed"} <= names
    assert not [name for name in names if name.startswith(("tests/", "book/"))]
    assert modules(install(built / f"{NAME}.tar.gz", tmp_path)) == modules(installed)


def test_the_program_runs_from_an_installed_wheel(installed, tmp_path):
    command = [sys.executable, "-m", "companion", "--versions"]
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True)
    shown = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert shown["companion"] == _about.__version__
    assert shown["book"] == ADDRESS  # so it is the installed copy that ran


def test_the_citation_names_this_version():
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == _about.__version__


def test_the_citation_is_of_its_format(tmp_path):
    def passes(text):
        (tmp_path / "CITATION.cff").write_text(text)
        program = [
            Path(sys.executable).with_name("check-jsonschema"),
            "--builtin-schema",
            "vendor.citation-file-format",
        ]
        return not subprocess.run([*program, tmp_path / "CITATION.cff"], check=False, capture_output=True).returncode

    text = (ROOT / "CITATION.cff").read_text()
    assert passes(text)
    assert not passes(text.replace("authors:", "author:"))
