"""What only a published site has: the map, descriptions, and buttons that lead to what is there."""

import re
from xml.etree import ElementTree

import pytest
from browsing import pages_of
from click_path import Links, path_behind_button

LOC = "{http://www.sitemaps.org/schemas/sitemap/0.9}loc"
MADE_BY_SPHINX = {"genindex.html", "py-modindex.html", "search.html"}


@pytest.fixture(scope="module")
def root(site):
    """The address that the site was built for."""
    address = re.search(r'<link rel="canonical" href="(?P<root>.+)/intro\.html"', (site / "index.html").read_text())
    assert address, "--site: expected a site built for an address (SITE_URL), got one that is not"
    return address["root"]


def described(text):
    """The descriptions of a page by name."""
    return dict(re.findall(r'<meta (?:property|name)="([^"]+)" content="([^"]*)"', text))


def test_the_map_names_every_page(site, root):
    found = [place.text for place in ElementTree.parse(site / "sitemap.xml").getroot().iter(LOC)]
    assert found == sorted(f"{root}/{page}" for page in set(pages_of(site)) - MADE_BY_SPHINX)


def test_every_page_describes_itself(site, root):
    for page in set(pages_of(site)) - MADE_BY_SPHINX:
        text = (site / page).read_text()
        found = described(text)
        assert found["og:url"] == f"{root}/{page}"
        assert found["og:title"]
        assert "\\" not in found["og:description"] or page == "notation.html", page
        assert f'<link rel="canonical" href="{root}/{page}"' in text
        if page.startswith("chapters/"):
            assert found["description"] == found["og:description"]
            assert found["description"].endswith("?")


def test_the_bare_address_describes_the_course(site, root):
    found = described((site / "index.html").read_text())
    assert found["og:url"] == f"{root}/"
    assert (
        found["description"] == found["og:description"] == described((site / "intro.html").read_text())["description"]
    )


def test_buttons_of_every_chapter_lead_to_its_notebook(site):
    for page in (site / "chapters").glob("*.html"):
        text = page.read_text()
        assert path_behind_button(text) == f"colab/{page.stem}.ipynb"
        (download,) = Links(text).of_class("btn-download-notebook")
        assert (page.parent / download).resolve() == (site / "colab" / f"{page.stem}.ipynb").resolve()
        for button in ("btn-view-source", "btn-suggest-edit"):
            (address,) = Links(text).of_class(button)
            assert address.endswith(f"/main/book/chapters/{page.stem}.md")


@pytest.mark.parametrize(
    "planted",
    [
        "<p>no button</p>",
        '<a class="btn btn-open-in-colab" href="https://colab.research.google.com/">x</a>',
        '<a class="btn-open-in-colab" href="https://colab.research.google.com/github/o/r/blob/main/colab/a.ipynb">x</a>',
    ],
)
def test_wrong_button_is_found(planted):
    with pytest.raises(LookupError, match="the Colab button: expected"):
        path_behind_button(planted)
