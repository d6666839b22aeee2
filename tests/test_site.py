"""The built site: everything a browser needs is in it, and it shows what it should.

`make test` builds the site first. Each check is a function from a page's text to a list of problems, and is also run
on a planted error.
"""

import re
from collections import Counter
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import book_checks
import published_wheel
import pytest
import yaml

BOOK = Path(__file__).resolve().parents[1] / "book"
SITE = BOOK / "_build" / "html"
PAGES = sorted(path for path in SITE.rglob("*.html") if "_static" not in path.parts)  # templates are left there
SHEETS = sorted(SITE.rglob("*.css"))
CONTENTS = book_checks.pages_of_contents(yaml.safe_load((BOOK / "_toc.yml").read_text()))

LOADING_LINKS = {"stylesheet", "icon", "preload", "modulepreload", "prefetch", "preconnect", "dns-prefetch", "manifest"}
URL = re.compile(r"""url\(\s*['"]?([^'")]+)['"]?\s*\)|@import\s+['"]([^'"]+)['"]""")
QUOTED_ADDRESS = re.compile(r"""["'`](?:https?:)?//[\w.-]+\.\w+[^"'`\s]*["'`]""")
# Names that look like addresses and are never fetched: XML namespaces, and the schema that a chart follows.
NAMES = re.compile(r"//www\.w3\.org/|//vega\.github\.io/schema/")
LOG_LINE = re.compile(r"\b[IWE]\d{4} \d\d:\d\d:\d\d|oneDNN custom operations|cudart_stub|absl::InitializeLog")


class Page(HTMLParser):
    """What a page loads, the text of its own scripts, and its identifiers."""

    def __init__(self, text):
        super().__init__()
        self.loads, self.links, self.scripts, self.identifiers = [], [], [], []
        self.inside_script = False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = {name: value or "" for name, value in attrs}
        self.inside_script = tag == "script"
        if "id" in attributes:
            self.identifiers.append(attributes["id"])
        if tag == "link":
            if LOADING_LINKS & set(attributes.get("rel", "").split()):
                self.loads.append(attributes["href"])
        elif tag == "a":
            self.links += [attributes["href"]] if "href" in attributes else []
        else:
            self.loads += [attributes[name] for name in ("src", "data", "poster", "href") if attributes.get(name)]
            self.loads += [part.split()[0] for part in attributes.get("srcset", "").split(",") if part.strip()]
        self.loads += addresses_in_css(attributes.get("style", ""))

    def handle_endtag(self, tag):
        if tag == "script":
            self.inside_script = False

    def handle_data(self, data):
        if self.inside_script:
            self.scripts.append(data)


def addresses_in_css(text):
    """What a stylesheet loads."""
    return [first or second for first, second in URL.findall(text)]


def is_outside(address):
    """Whether a browser would leave the site for an address."""
    parts = urlsplit(address)
    return bool(parts.netloc) or parts.scheme not in {"", "data"}


def outside_loads(text):
    """What a page loads from elsewhere, and addresses in its scripts that could be loaded."""
    page = Page(text)
    in_scripts = [found for script in page.scripts for found in QUOTED_ADDRESS.findall(script)]
    return [address for address in page.loads if is_outside(address)] + [
        address for address in in_scripts if not NAMES.search(address)
    ]


def missing_files(addresses, folder):
    """Addresses that are inside the site and lead to no file."""
    parts = [urlsplit(address) for address in addresses]
    paths = [unquote(part.path) for part in parts if not part.scheme and not part.netloc]
    return [path for path in paths if path and not (folder / path).exists()]


def dead_links(addresses, page, identifiers):
    """Links inside the site to no file, or to no place in a page; `identifiers` gives those of a page."""
    dead = []
    for address in addresses:
        parts = urlsplit(address)
        if parts.scheme or parts.netloc:
            continue
        target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
        place = unquote(parts.fragment)
        if not target.is_file() or (place and target.suffix == ".html" and place not in identifiers(target)):
            dead.append(address)
    return dead


@cache
def identifiers_of(page):
    """The identifiers of a page, and the empty one for its top."""
    return {*Page(page.read_text()).identifiers, ""}


def repeated_identifiers(text):
    """Identifiers that stand more than once on a page, where a permanent link would be ambiguous."""
    return [name for name, count in Counter(Page(text).identifiers).items() if count > 1]


def unrendered(text):
    """Formulas that KaTeX refused or a script would have to render, and log lines of TensorFlow."""
    scripts = [address for address in Page(text).loads if re.search("mathjax|katex.*js", address, re.IGNORECASE)]
    return scripts + re.findall("katex-error", text) + LOG_LINE.findall(text)


@pytest.fixture(scope="module", params=PAGES or [None], ids=lambda page: page and page.relative_to(SITE).as_posix())
def page(request):
    assert request.param is not None, "there is no built site: run make book"
    return request.param


def test_page_loads_nothing_from_elsewhere(page):
    assert not outside_loads(page.read_text())


def test_page_finds_its_files(page):
    assert not missing_files(Page(page.read_text()).loads, page.parent)


def test_links_inside_the_site_lead_somewhere(page):
    assert not dead_links(Page(page.read_text()).links, page, identifiers_of)


def test_identifiers_are_unique(page):
    assert not repeated_identifiers(page.read_text())


def test_page_shows_rendered_maths_and_no_log(page):
    assert not unrendered(page.read_text())


@pytest.mark.parametrize("sheet", SHEETS, ids=lambda sheet: sheet.relative_to(SITE).as_posix())
def test_stylesheet_loads_nothing_from_elsewhere(sheet):
    addresses = addresses_in_css(sheet.read_text())
    assert not [address for address in addresses if is_outside(address)]
    assert not missing_files(addresses, sheet.parent)


@pytest.mark.parametrize("name", CONTENTS)
def test_page_of_the_contents_was_built(name):
    assert (SITE / f"{name}.html").exists()


def test_statements_figures_and_exercises_have_permanent_links():
    for name in CONTENTS:
        text = (SITE / f"{name}.html").read_text()
        boxes = re.findall(r'<div class="(?:proof|exercise) [^"]*admonition[^"]*" id="([^"]+)"', text)
        figures = re.findall(r'<figure class="[^"]*" id="([^"]+)"', text)
        missing = [label for label in boxes + figures if f'class="headerlink" href="#{label}"' not in text]
        assert not missing
        assert boxes or not name.startswith("chapters/")


def test_site_holds_the_notebooks_and_one_wheel():
    names = [Path(name).name for name in CONTENTS if name.startswith("chapters/")]
    assert sorted(path.stem for path in (SITE / "colab").iterdir()) == sorted(names)
    (wheel,) = (SITE / "dist").iterdir()
    assert f"-{published_wheel.exact_version()}-" in wheel.name
    assert (SITE / ".nojekyll").exists()


def test_what_cannot_work_is_not_shown():
    """`make test` builds the site for no address."""
    text = "".join(page.read_text() for page in PAGES)
    assert "btn-download-notebook" in text
    assert not re.findall(r"btn-(?:open-in-colab|view-source|suggest-edit)|colab\.research|rel=\"canonical", text)
    assert not (SITE / "sitemap.xml").exists()


def test_maths_is_in_the_page_and_vega_only_where_it_is_used():
    texts = {name: (SITE / f"{name}.html").read_text() for name in CONTENTS}
    assert all('class="katex-html"' in text for name, text in texts.items() if name.startswith("chapters/"))
    assert {name for name, text in texts.items() if "vega.min.js" in text} == {
        name for name, text in texts.items() if "vegaEmbed" in text
    }


@pytest.mark.parametrize(
    "planted",
    [
        '<script src="https://example.org/x.js"></script>',
        '<link rel="stylesheet" href="//example.org/x.css">',
        '<link rel="preconnect" href="https://fonts.example.org">',
        '<img srcset="https://example.org/a.png 2x">',
        "<p style=\"background: url('https://example.org/a.png')\">",
        '<script>load("https://example.org/vega.js")</script>',
        "<iframe src='http://example.org'></iframe>",
    ],
)
def test_outside_load_is_found(planted):
    assert outside_loads(f"<html><body>{planted}</body></html>")


def test_other_planted_errors_are_found(tmp_path):
    assert not outside_loads('<a href="https://example.org">x</a><script>s("http://www.w3.org/2000/svg")</script>')
    assert addresses_in_css("@import 'https://example.org/x.css'; a { src: url(fonts/a.woff2) }") == [
        "https://example.org/x.css",
        "fonts/a.woff2",
    ]
    assert missing_files(["absent.js?v=1", "data:image/png;base64,x", "#part"], tmp_path) == ["absent.js"]
    page = tmp_path / "page.html"
    page.write_text('<p id="here">')
    links = ["#here", "page.html#here", "#there", "absent.html", "page.html#there", "https://example.org"]
    assert dead_links(links, page, identifiers_of) == ["#there", "absent.html", "page.html#there"]
    assert repeated_identifiers('<p id="a"></p><p id="a"></p><p id="b"></p>') == ["a"]
    assert unrendered('<span class="katex-error">')
    assert unrendered('<script src="_static/MathJax/tex.js"></script>')
    assert unrendered("W0000 00:00:00.1 cuda")
