"""What a copy of the package says of itself, and the wheel that is published with the book."""

import re
import zipfile
from importlib import metadata

import published_wheel
import pytest
from packaging.version import Version

import companion
from companion import _about

NOBODY = "https://nobody.example/course"


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    """The same wheel built twice, in two folders."""
    folders = [tmp_path_factory.mktemp(name) for name in ("first", "second")]
    return [folder / published_wheel.build_wheel(folder, NOBODY)[0] for folder in folders]


def test_one_version_everywhere():
    assert companion.__version__ == _about.__version__ == metadata.version("reparameterization-companion")


def test_sources_belong_to_no_book():
    assert _about.BOOK_URL is None


def test_exact_version_follows_the_sources(tmp_path):
    (tmp_path / "_about.py").write_text('__version__ = "1.2.3"\n')
    version = published_wheel.exact_version(tmp_path)
    assert re.fullmatch(r"1\.2\.3\+[0-9a-f]{8}", version)
    assert str(Version("1.2.3")) == Version(version).public
    (tmp_path / "module.py").write_text("x = 1\n")
    assert published_wheel.exact_version(tmp_path) != version


def test_wheel_is_the_same_to_the_last_byte(wheels):
    first, second = wheels
    assert first.name == second.name
    assert first.read_bytes() == second.read_bytes()


def test_wheel_knows_its_version_and_its_book(wheels):
    version = published_wheel.exact_version()
    with zipfile.ZipFile(wheels[0]) as archive:
        found = {}
        exec(archive.read("companion/_about.py"), found)
        (described,) = [name for name in archive.namelist() if name.endswith("METADATA")]
        assert f"\nVersion: {version}\n" in archive.read(described).decode()
    assert (found["__version__"], found["BOOK_URL"]) == (version, NOBODY)


def test_wheel_holds_the_sources_and_nothing_else(wheels):
    with zipfile.ZipFile(wheels[0]) as archive:
        modules = {name for name in archive.namelist() if name.startswith("companion/")}
    package = published_wheel.ROOT / "companion"
    sources = {path.relative_to(package.parent).as_posix() for path in package.rglob("*.py")}
    assert modules == {*sources, "companion/py.typed"}


def test_an_older_wheel_is_removed(tmp_path):
    (tmp_path / "reparameterization_companion-0.0.1-py3-none-any.whl").touch()
    name, _ = published_wheel.build_wheel(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]
