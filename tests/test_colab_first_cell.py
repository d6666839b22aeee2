"""The first code cell of a copy, run with every way in which the package can be missing or another one."""

import sys
import types
from importlib import metadata

import pytest
from colab_copies.first_cell import first_cell
from colab_pages import PACKAGE, PUBLISHED, REFERENCES, SITE, UNPUBLISHED, chapter, convert

VERSION = PUBLISHED.version


def run(monkeypatch, installed, imported, origin=PUBLISHED):
    """Run the cell as if pip had left `installed` and an import gave `imported`."""

    def version(name):
        if name == "reparameterization-companion" and installed is not None:
            return installed
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", version)
    companion = types.ModuleType("companion")
    companion.__version__ = imported
    monkeypatch.setitem(sys.modules, "companion", companion)
    source = "\n".join(line for line in first_cell(origin, "one").split("\n") if not line.startswith("%"))
    exec(source, {})


def test_it_says_that_the_package_is_ready(monkeypatch, capsys):
    run(monkeypatch, VERSION, VERSION)
    assert capsys.readouterr().out == f"companion {VERSION} is ready\n"


@pytest.mark.parametrize(
    ("installed", "imported", "words"),
    [
        (
            None,
            VERSION,
            ["could not be installed from", "%2B1a2b3c4d", f"{SITE}/chapters/one.html", "run this cell again"],
        ),
        ("0.1.0+ffffffff", "0.1.0+ffffffff", ["Here is version 0.1.0+ffffffff", f"needs {VERSION}", "open it anew"]),
        ("0.1.0", "0.1.0", ["Here is version 0.1.0 of"]),
        (VERSION, "0.1.0+ffffffff", ["already imported 0.1.0+ffffffff", "Runtime > Restart session"]),
    ],
)
def test_it_says_what_is_wrong_and_what_to_do(monkeypatch, installed, imported, words):
    with pytest.raises(RuntimeError) as caught:
        run(monkeypatch, installed, imported)
    assert not [text for text in words if text not in str(caught.value)]
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_without_a_site_it_only_checks(monkeypatch):
    run(monkeypatch, "0.1.0", "0.1.0", UNPUBLISHED)  # the sources, which have no fingerprint
    run(monkeypatch, VERSION, VERSION, UNPUBLISHED)
    for installed in (None, "0.1.1", "0.1.01"):
        with pytest.raises(RuntimeError, match="pip install --no-deps"):
            run(monkeypatch, installed, installed, UNPUBLISHED)


def test_it_installs_the_wheel_and_nothing_else():
    lines = first_cell(PUBLISHED, "one").split("\n")
    address = f"{SITE}/dist/companion-0.1.0%2B1a2b3c4d-py3-none-any.whl"
    assert lines[0].startswith("#@title Install")
    assert [line for line in lines if line.startswith(("%", "!"))] == [f'%pip install --quiet --no-deps "{address}"']
    assert "%pip" not in first_cell(UNPUBLISHED, "one")
    assert max(map(len, lines)) < 150


def test_beginning_of_a_copy():
    title, install, rest = convert(chapter(), "one", REFERENCES, PACKAGE, PUBLISHED).cells[:3]
    assert title.source.startswith(f"# One\n\n*Read this chapter [on its page]({SITE}/chapters/one.html)")
    assert "notebook of chapter 1" in title.source
    assert install.metadata == {"cellView": "form"}
    assert (install.outputs, install.execution_count) == ([], None)
    unpublished = convert(chapter(), "one", REFERENCES, PACKAGE, UNPUBLISHED).cells[0].source
    assert "](" not in unpublished
    assert "notebook of chapter 1" in unpublished
    assert rest.source == "Opening."
    notebook = chapter()
    notebook.cells[0].source = "# One"
    assert len(convert(notebook, "one", REFERENCES, PACKAGE, PUBLISHED).cells) == 2  # nothing is left of it
