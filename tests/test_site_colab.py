"""The Colab copies of the built site say what its pages say, and their links lead where the pages' links lead.

`make test` builds the site first. Each check is also run on a planted error.
"""

import json
import re
from collections import Counter
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import nbformat
import pytest
from bs4 import BeautifulSoup, SoupStrainer
from colab_copies import convert, put_solutions_back
from colab_copies.copies import chapters_of, read_package
from colab_copies.leftovers import leftovers
from colab_copies.solutions import has_solution
from colab_pages import NAMES, PUBLISHED, SITE
from markdown_it import MarkdownIt

BOOK = Path(__file__).resolve().parents[1] / "book"
BUILT = BOOK / "_build" / "html"
REFERENCES = BOOK / "_build" / "references.json"
FORMULA = re.compile(r"\$\$.+?\$\$|\$[^$]+?\$", re.DOTALL)
CODE = re.compile(r"^((?:> )?```)[^\n]*\n.*?\n\1 *$|`[^`\n]+`", re.DOTALL | re.MULTILINE)
# What only a copy says, and what a page says in another way.
OF_THE_COPY = {"on its page", "The solution with its code is on the page."}
APART = "script, style, code, pre, nav, .cell_input, .cell_output, .headerlink, .admonition-title, .eqno, .katex"
MATHML = re.compile(r"<math .*?</math>", re.DOTALL)  # half of a page, and nothing of it is looked at


def words(text):
    """Words without marks, which stand elsewhere where maths or links were."""
    return re.findall(r"\w+", text)


def page_of(html, path):
    """A page's paragraphs, list items and captions as lists of words, without code and maths; and its links.

    Links are pairs (address from the site's root, text), and so are numbers: they lead to their own box or figure.
    """
    soup = BeautifulSoup(MATHML.sub("", html), "html.parser", parse_only=SoupStrainer("article"))
    for title in soup.select(".solution > .admonition-title"):
        title.decompose()  # a copy has no title there
    links = {
        (urljoin(path, tag["href"]), " ".join(tag.get_text().split()))
        for tag in soup.select("a.reference[href]")
        if not urlsplit(tag["href"]).netloc
    }
    for number in soup.select(".caption-number"):
        links.add((f"{path}#{number.find_parent(id=True)['id']}", " ".join(number.get_text().split())))
    for tag in soup.select(APART):
        tag.replace_with(" ")
    said = [words(tag.get_text(" ")) for tag in soup.select("p, td, th, dt")]
    return [each for each in said if len(each) > 2], links


def said_by_copy(notebook):
    """All words of a copy's Markdown cells, without code and maths."""
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    bare = FORMULA.sub(" ", CODE.sub(" ", "\n\n".join(cells)))
    html = MarkdownIt("commonmark").enable("table").render(bare)
    return words(BeautifulSoup(html, "html.parser").get_text(" "))


def missing_paragraphs(paragraphs, notebook):
    """Paragraphs of a page whose words, one after the other, are nowhere in the copy."""
    said = f" {' '.join(said_by_copy(notebook))} "
    return [" ".join(each) for each in paragraphs if f" {' '.join(each)} " not in said]


def links_of_copy(notebook):
    """Pairs (address from the site's root, text) that a copy links."""
    text = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    html = MarkdownIt("commonmark").enable("table").render(FORMULA.sub(" ", text))
    return {
        (tag["href"].removeprefix(f"{SITE}/"), " ".join(tag.get_text().split()))
        for tag in BeautifulSoup(html, "html.parser").select("a")
        if tag["href"].startswith(SITE) and tag.get_text() not in OF_THE_COPY
    }


def wrong_links(here, notebook):
    """Links of a copy that the page does not have, and those of the page that the copy lacks."""
    there = links_of_copy(notebook)
    return sorted(there - here) + sorted(here - there)


def dead_addresses(references, folder):
    """Addresses of references that lead to no file, or to no place in one."""
    addresses = {entry["url"] for kind in references.values() for entry in kind.values()}
    places = {}
    for path in sorted({urlsplit(address).path for address in addresses}):
        page = folder / path
        places[path] = set(re.findall(r'\bid="([^"]+)"', page.read_text())) | {""} if page.exists() else set()
    return sorted(each for each in addresses if urlsplit(each).fragment not in places[urlsplit(each).path])


@pytest.fixture(scope="module")
def references():
    assert REFERENCES.exists(), "there is no built site: run make book"
    return json.loads(REFERENCES.read_text())


@pytest.fixture(scope="module", params=NAMES)
def pair(request, references):
    """A chapter's name, what its page says and links, its notebook, and its copy as it would be published."""
    name = request.param
    notebook = nbformat.read(BOOK / "chapters" / f"{name}.ipynb", 4)
    copy = convert(notebook, name, references, read_package(BOOK.parent), PUBLISHED)
    path = f"chapters/{name}.html"
    return name, page_of((BUILT / path).read_text(), path), notebook, copy


def test_copy_says_what_the_page_says(pair):
    _, (paragraphs, _), _, copy = pair
    assert len(paragraphs) > 50
    assert not missing_paragraphs(paragraphs, copy)


def test_links_of_the_copy_are_those_of_the_page(pair):
    _, (_, links), _, copy = pair
    assert len(links_of_copy(copy)) > 20
    assert not wrong_links(links, copy)


def test_nothing_is_left_raw(pair):
    *_, copy = pair
    nbformat.validate(copy)
    assert not [found for cell in copy.cells if cell.cell_type == "markdown" for found in leftovers(cell.source)]
    assert max(Counter(cell.id for cell in copy.cells).values()) == 1


def code_of(notebook):
    """The sources of code cells, without the titles that fold them."""
    sources = [cell.source for cell in notebook.cells if cell.cell_type == "code" and cell.id != "install"]
    return [re.sub(r"\A#@title[^\n]*\n", "", source) for source in sources]


def test_code_is_the_chapters_with_the_solutions_put_back(pair):
    _, _, notebook, copy = pair
    assert not [cell for cell in copy.cells if has_solution(cell.source)]
    assert code_of(put_solutions_back(copy, notebook)) == code_of(notebook)
    assert code_of(copy) != code_of(notebook)


def test_outputs_are_the_chapters_but_for_glue_and_stubs(pair):
    _, _, notebook, copy = pair
    outputs = {cell.id: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}
    for cell in copy.cells:
        if cell.cell_type == "code" and cell.outputs:
            kept = [out for out in outputs[cell.id] if "scrapbook" not in out.get("metadata", {})]
            assert cell.outputs == kept
    assert "scrapbook" not in nbformat.writes(copy)


def test_site_holds_a_copy_of_every_chapter():
    names = chapters_of(BOOK / "_toc.yml")
    assert sorted(path.stem for path in (BUILT / "colab").glob("*.ipynb")) == sorted(names) == NAMES
    for name in names:
        nbformat.validate(nbformat.read(BUILT / "colab" / f"{name}.ipynb", 4))


def test_references_lead_to_places_of_the_site(references):
    assert not dead_addresses(references, BUILT)


def test_references_lead_to_works_by_their_keys(references):
    assert all(work["url"].endswith(f"#cite-{key}") for key, work in references["cite"].items())
    assert len(references["cite"]) > 100


def test_planted_errors_are_found(tmp_path):
    page = (
        '<article><p>One <code>x</code> two <span class="katex">z</span> three.</p><a class="reference" href="#a">'
        'Theorem 1.1</a><div id="b"><p><span class="caption-number">Claim 1.2</span></p></div></article>'
    )
    said = nbformat.v4.new_markdown_cell(f"One `x` two $z$ [three]({SITE}/p.html#c). Claim 1.2")
    copy = nbformat.v4.new_notebook(cells=[said])
    paragraphs, links = page_of(page, "p.html")
    assert not missing_paragraphs(paragraphs, copy)
    assert missing_paragraphs([*paragraphs, ["One", "four"]], copy) == ["One four"]
    assert wrong_links(links, copy) == [
        ("p.html#c", "three"),
        ("p.html#a", "Theorem 1.1"),
        ("p.html#b", "Claim 1.2"),
    ]
    (tmp_path / "p.html").write_text(page)
    urls = ["p.html#b", "p.html", "p.html#a", "q.html"]
    planted = {"ref": {url: {"url": url} for url in urls}}
    assert dead_addresses(planted, tmp_path) == ["p.html#a", "q.html"]
