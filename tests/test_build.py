"""What makes the next build of the site start anew."""

import shutil

import build
import pytest

SETTINGS = ["_config.yml", "_toc.yml", "build.py", "_ext/permalinks.py", "../requirements/lock.txt"]


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A copy of what shapes every page."""
    folder = tmp_path / "book"
    for name in SETTINGS:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(build.BOOK / name, folder / name)
    monkeypatch.setattr(build, "BOOK", folder)
    return folder


@pytest.mark.parametrize("name", SETTINGS)
def test_a_changed_setting_or_extension_does(book, name):
    before = build.machinery(None, None)
    assert build.machinery(None, None) == before
    (book / name).write_text((book / name).read_text() + "\n# changed\n")
    assert build.machinery(None, None) != before


def test_another_address_does(book):
    assert len({build.machinery(site, name) for site in (None, "https://a.org") for name in (None, "o/r")}) == 4


def test_a_changed_page_does_not(book):
    before = build.machinery(None, None)
    (book / "intro.md").write_text("# Another\n")
    assert build.machinery(None, None) == before
