"""What makes the next build of the site start anew."""

import shutil

import build_site
import pytest

SETTINGS = ["_config.yml", "_toc.yml", "build_site.py", "_ext/permalinks.py", "../requirements/lock.txt"]


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A copy of what shapes every page."""
    folder = tmp_path / "book"
    for name in SETTINGS:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(build_site.BOOK / name, folder / name)
    monkeypatch.setattr(build_site, "BOOK", folder)
    return folder


@pytest.mark.parametrize("name", SETTINGS)
def test_a_changed_setting_or_extension_does(book, name):
    before = build_site.machinery(None, None)
    assert build_site.machinery(None, None) == before
    (book / name).write_text((book / name).read_text() + "\n# changed\n")
    assert build_site.machinery(None, None) != before


def test_another_address_does(book):
    assert len({build_site.machinery(site, name) for site in (None, "https://a.org") for name in (None, "o/r")}) == 4


def test_a_changed_page_does_not(book):
    before = build_site.machinery(None, None)
    (book / "intro.md").write_text("# Another\n")
    assert build_site.machinery(None, None) == before
