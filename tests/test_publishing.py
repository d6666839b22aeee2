"""What the book's own Sphinx extensions add to pages: buttons, permanent links, registers, descriptions."""

from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import permalinks
import publishing
import pytest
import registers

BOOK = Path(__file__).resolve().parents[1] / "book"
SITE = "https://owner.github.io/course"
CHAPTERS = {path.stem: path.read_text() for path in (BOOK / "chapters").glob("*.md")}


def labels(buttons):
    return [button["label"] for button in buttons]


def test_buttons_of_a_chapter():
    found = publishing.buttons("chapters/vae", "chapters/vae.html", SITE, "owner/course", "book/chapters/vae.md")
    assert labels(found) == ["open-in-colab", "download-notebook", "view-source", "suggest-edit", "print"]
    addresses = [button.get("url") for button in found]
    assert addresses[0] == "https://colab.research.google.com/github/owner/course/blob/gh-pages/colab/vae.ipynb"
    assert addresses[1] == "../colab/vae.ipynb"
    assert addresses[2] == "https://github.com/owner/course/blob/main/book/chapters/vae.md"
    assert addresses[3] == "https://github.com/owner/course/edit/main/book/chapters/vae.md"


def test_no_button_that_cannot_work():
    chapter = ("chapters/vae", "chapters/vae.html")
    for site in (None, SITE):
        found = publishing.buttons(*chapter, site, None, "book/chapters/vae.md")
        assert labels(found) == ["download-notebook", "print"]
    of_sources = publishing.buttons(*chapter, None, "owner/course", "book/chapters/vae.md")
    assert labels(of_sources) == ["download-notebook", "view-source", "suggest-edit", "print"]
    assert labels(publishing.buttons("notation", "notation.html", SITE, None, "book/notation.md")) == ["print"]
    of_page = publishing.buttons("notation", "notation.html", SITE, "owner/course", "book/notation.md")
    assert labels(of_page) == ["view-source", "suggest-edit", "print"]


def test_the_map_names_every_page_of_the_book(tmp_path):
    addresses = SimpleNamespace(name="html", get_target_uri="{}.html".format)
    app = SimpleNamespace(
        builder=addresses,
        config=SimpleNamespace(site_address=SITE),
        env=SimpleNamespace(found_docs={"notation", "chapters/vae"}),
        outdir=tmp_path,
    )
    publishing.write_map(app, None)
    namespace = "{http://www.sitemaps.org/schemas/sitemap/0.9}"
    found = ElementTree.parse(tmp_path / "sitemap.xml").getroot().iter(f"{namespace}loc")
    assert [place.text for place in found] == [f"{SITE}/chapters/vae.html", f"{SITE}/notation.html"]


def test_every_chapter_is_described_by_its_question():
    questions = publishing.questions((BOOK / "intro.md").read_text())
    assert questions.keys() == {f"chapters/{name}" for name in CHAPTERS}
    assert all(question.endswith("?") and "$" not in question for question in questions.values())


@pytest.mark.parametrize("kind", ["proof theorem", "proof definition", "exercise"])
def test_boxes_get_permanent_links(kind):
    head = f'<div class="{kind} admonition" id="thm-x">\n\n<p class="admonition-title"><span>Box 2.1 </span> (It)'
    linked = permalinks.with_permalinks(f"{head}</p><p>Text</p></div>")
    assert linked == f'{head}<a class="headerlink" href="#thm-x" title="Permanent link">#</a></p><p>Text</p></div>'


@pytest.mark.parametrize("head", ['<div class="admonition note" id="n">', '<div class="proof theorem admonition">'])
def test_other_boxes_do_not(head):
    text = f'{head}<p class="admonition-title">Note</p></div>'
    assert permalinks.with_permalinks(text) == text


def test_every_exercise_is_found():
    found = [label for text in CHAPTERS.values() for label, _ in registers.exercises_in(text)]
    assert len(found) == len(set(found)) == sum(text.count("{exercise-start}") for text in CHAPTERS.values())


def test_list_of_exercises():
    first = "```{exercise-start} A map\n:label: ex-a\n```\n"
    second = "```{exercise-start} Two\n:class: hard\n:label: ex-b\n```\n"
    text = f"# The trick\n\n{first}\n{second}"
    assert registers.exercise_list({"trick": text}) == [
        "## {doc}`The trick </chapters/trick>`",
        "",
        "- {ref}`ex-a` (A map)",
        "- {ref}`ex-b` (Two)",
        "",
    ]


def test_table_of_times():
    rows = registers.time_table(["b", "a"], {"a": {"seconds": 20}, "b": {"seconds": 41}, "c": {"seconds": 5}})
    assert rows[2:] == ["| {doc}`/chapters/b` | 41 |", "| {doc}`/chapters/a` | 20 |", "| all | 61 |"]


def test_citation():
    citation = {"title": "T", "authors": [{"name": "A"}, {"name": "B"}], "date-released": "2026-11-23", "version": "1"}
    entry = registers.bibtex(citation, "https://owner.github.io/course")
    assert entry.splitlines() == [
        "@misc{reparameterization_course,",
        "  title   = {{T}},",
        "  author  = {{A} and {B}},",
        "  year    = {2026},",
        "  version = {1},",
        "  url     = {https://owner.github.io/course}",
        "}",
    ]
    assert "url" not in registers.bibtex(citation, None)
