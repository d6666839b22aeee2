"""On paper: the text without the site around it, every proof and solution open, nothing cut at the edge."""

from io import BytesIO

import pytest
from pypdf import PdfReader
from visiting import DRAWN, READ

PAPER = {"width": 718, "height": 1000}  # the printable width of A4 in CSS pixels, with the margins of `paper`
CONTENT = "table, pre, .katex-display, .cell_output img, figure img, .vega-embed > canvas, .vega-embed > svg"

# What is wider than the paper, or hides a part of itself in a box that scrolls: paper does not scroll.
CUT = """selector => [...document.querySelectorAll(selector)].filter(node => {
    const box = node.getBoundingClientRect();
    const hides = node.scrollWidth > node.clientWidth + 1 && getComputedStyle(node).overflowX !== "visible";
    return box.width && (box.right > document.documentElement.clientWidth + 1 || hides);
}).map(node => `${node.tagName}: ${node.textContent.trim().slice(0, 60)}`)"""
SHOWN = """selectors => selectors.filter(
    selector => [...document.querySelectorAll(selector)].some(node => node.checkVisibility()))"""
AROUND = [".bd-sidebar-primary", ".bd-sidebar-secondary", ".bd-header-article", ".prev-next-footer", ".copybtn"]


def words(text):
    """A text without the spaces and hyphens that lines and pages add."""
    return "".join(text.replace("-", "").replace("\\xad", "").split())


def paper(tab):
    """The text of a printed page, and the number of sheets."""
    margins = dict.fromkeys(("top", "bottom", "left", "right"), "10mm")
    sheets = PdfReader(BytesIO(tab.pdf(format="A4", margin=margins))).pages
    return words("".join(sheet.extract_text() for sheet in sheets)), len(sheets)


def missing(tab, text, selector):
    """Paragraphs without formulas that are on the page and not in a text."""
    paragraphs = tab.locator(selector).evaluate_all(
        "nodes => nodes.filter(node => !node.querySelector('.katex, .headerlink, a')).map(node => node.textContent)"
    )
    return [paragraph for paragraph in paragraphs if words(paragraph) not in text]


@pytest.fixture
def printed(tab, address, page_name):
    """A page in the dark theme, at the width of paper, in the style of print."""
    if not page_name.startswith("chapters/") and page_name not in ("reference/claims.html", "reference/api.html"):
        pytest.skip("printed are the chapters and the long pages of reference")
    tab.set_viewport_size(PAPER)
    tab.emulate_media(color_scheme="dark")
    tab.goto(address + page_name)
    tab.evaluate(READ)
    tab.wait_for_function(DRAWN, timeout=60_000)
    return tab


def test_print(printed):
    text, sheets = paper(printed)
    assert len(text) > 300 * sheets, "sheets are almost empty"
    assert not missing(printed, text, ".bd-article details p, .bd-article .solution p, .bd-article > section > p")
    printed.emulate_media(media="print")
    printed.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert printed.evaluate("document.documentElement.dataset.theme") == "light"
    assert not printed.evaluate(SHOWN, AROUND)
    assert not printed.evaluate(CUT, CONTENT)
    printed.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert printed.evaluate("document.documentElement.dataset.theme") == "dark"


def test_a_closed_box_is_missed(tab, planted):
    tab.goto(planted("<details><summary>Proof</summary><p>The end of it.</p></details><p>Outside.</p>") + "page.html")
    text, _ = paper(tab)
    assert missing(tab, text, "p") == ["The end of it."]


@pytest.mark.parametrize(
    "body",
    [
        "<table><tr>" + "<td>wide_cell_of_a_table</td>" * 9 + "</tr></table>",
        "<pre style='overflow-x: auto'>" + "long " * 90 + "</pre>",
        "<div class='vega-embed'><canvas width='900'></canvas></div>",
    ],
)
def test_a_cut_is_found(tab, planted, body):
    tab.set_viewport_size(PAPER)
    tab.goto(planted(body) + "page.html")
    tab.emulate_media(media="print")
    assert tab.evaluate(CUT, CONTENT)


def test_what_stands_around_is_found(tab, planted):
    tab.goto(planted("<div class='bd-sidebar-primary'>Contents</div>") + "page.html")
    assert tab.evaluate(SHOWN, AROUND) == [".bd-sidebar-primary"]
