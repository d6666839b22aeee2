"""What a copy keeps of its chapter, and all copies of a small book."""

import json

import nbformat
import pytest
from colab_copies import ConversionError, convert, convert_all
from colab_copies.copies import chapters_of
from colab_pages import PACKAGE, PUBLISHED, REFERENCES, chapter, code, copied, glued
from nbformat.v4 import new_output

PICTURE = new_output("execute_result", {"image/png": "iVBOR", "text/plain": "<Figure>"}, execution_count=1)
CHART = new_output("display_data", {"text/html": "<script src='https://cdn.jsdelivr.net/npm/vega'></script>"})
PRINTED = new_output("stream", name="stdout", text="3\n")


def test_outputs_stay_but_for_glue():
    cells = copied(code("x", PICTURE), code("y", glued("n", "1"), CHART, PRINTED, tags=["nbval-ignore-output"]))
    assert cells[0].outputs == [PICTURE]
    assert cells[1].outputs == [CHART, PRINTED]
    assert [(cell.execution_count, cell.metadata, cell.id) for cell in cells] == [(1, {}, "c1"), (1, {}, "c2")]


def test_a_cell_that_would_tell_a_solution_is_an_error():
    gated = [
        "```{exercise-start} It\n:label: ex-a\n```\n\nDo it.\n\n```{exercise-end}\n```",
        "```{solution-start} ex-a\n```\n\nSo.",
        code("print('the answer')"),
        "```{solution-end}\n```",
    ]
    with pytest.raises(ConversionError, match=r"a code cell in the solution of ex-a has no markers"):
        copied(*gated)


def test_what_the_page_hides_is_folded():
    (cell,) = copied(code("glue('n', 1)", tags=["remove-cell"]))
    assert cell.source.startswith("#@title What stands behind the text")
    assert cell.source.endswith("\nglue('n', 1)")
    assert cell.metadata == {"cellView": "form"}


def test_copy_is_a_function_of_its_inputs_and_leaves_them_alone():
    notebook = chapter("{ref}`sec-a`", code("draw()", PICTURE, mystnb={"image": {"alt": "A curve."}}))
    before = nbformat.writes(notebook)
    first, second = (convert(notebook, "one", REFERENCES, PACKAGE, PUBLISHED) for _ in range(2))
    assert nbformat.writes(first) == nbformat.writes(second)
    assert nbformat.writes(notebook) == before
    nbformat.validate(first)
    identifiers = [cell.id for cell in first.cells]
    assert identifiers == ["title", "install", "c0", "c1", "c2", "c2-caption"]
    assert first.metadata["colab"] == {"name": "one.ipynb", "provenance": [], "toc_visible": True}
    assert first.metadata["kernelspec"]["name"] == "python3"


def test_chapter_without_a_title_is_an_error():
    notebook = chapter()
    notebook.cells[0].source = "Opening."
    with pytest.raises(ConversionError, match="expected the chapter to begin with its title"):
        convert(notebook, "one", REFERENCES, PACKAGE, PUBLISHED)


@pytest.fixture
def book(tmp_path):
    """A book of two chapters, of which the table of contents names one."""
    chapters = tmp_path / "book" / "chapters"
    chapters.mkdir(parents=True)
    (tmp_path / "companion").mkdir()
    (tmp_path / "companion" / "part.py").write_text(PACKAGE["companion/part.py"])
    nbformat.write(chapter("{doc}`two`", "```{literalinclude} ../../companion/part.py\n```"), chapters / "one.ipynb")
    nbformat.write(chapter("{nonsense}`x`"), chapters / "draft.ipynb")
    contents = {"parts": [{"chapters": [{"file": "chapters/one"}]}, {"chapters": [{"file": "notation"}]}]}
    (tmp_path / "book" / "_toc.yml").write_text(json.dumps(contents))
    (tmp_path / "references.json").write_text(json.dumps(REFERENCES))
    return tmp_path


def test_all_copies_of_a_book(book):
    out = book / "site" / "colab"
    chapters, references = book / "book" / "chapters", book / "references.json"
    assert chapters_of(book / "book" / "_toc.yml") == ["one"]
    assert convert_all(chapters, references, out, PUBLISHED) == [out / "one.ipynb"]
    first = (out / "one.ipynb").read_bytes()
    (out / "gone.ipynb").write_text("{}")
    convert_all(chapters, references, out, PUBLISHED)
    assert (out / "one.ipynb").read_bytes() == first
    assert [path.name for path in out.iterdir()] == ["one.ipynb"]
    notebook = nbformat.read(out / "one.ipynb", 4)
    nbformat.validate(notebook)
    assert "def f():" in notebook.cells[-1].source


def test_failing_chapter_leaves_the_copies_as_they_were(book):
    (book / "book" / "_toc.yml").write_text('{"parts": [{"chapters": [{"file": "chapters/draft"}]}]}')
    out = book / "colab"
    out.mkdir()
    (out / "one.ipynb").write_text("{}")
    with pytest.raises(ConversionError, match="chapters/draft, cell 2, line 1: unknown role"):
        convert_all(book / "book" / "chapters", book / "references.json", out, PUBLISHED)
    assert (out / "one.ipynb").exists()
