"""Search finds the pages that hold a word, by the address and by the keyboard, and says so when there is none."""

import re
import shutil

import pytest
from serving import serve

RESULTS = "#search-results ul.search > li"
FINISHED = (
    """() => /found|did not match/.test(document.querySelector("#search-results p.search-summary")?.textContent)"""
)


def found(tab, address, words):
    """The addresses of the pages that a search finds."""
    tab.goto(f"{address}search.html?q={words}")
    tab.wait_for_function(FINISHED, timeout=20_000)
    return [link.get_attribute("href").partition("?")[0] for link in tab.locator(f"{RESULTS} > a").all()]


@pytest.mark.parametrize(
    ("words", "page"),
    [
        ("newsvendor", "chapters/motivation.html"),
        ("reparameterization", "chapters/trick.html"),
        ("posterior collapse", "chapters/vae.html"),
        ("planar", "chapters/flows.html"),
        ("finite_difference", "reference/api.html"),
    ],
)
def test_search_finds_the_page(tab, address, words, page):
    assert page in [result.partition("#")[0] for result in found(tab, address, words)]


def test_a_result_leads_to_its_page(tab, address):
    found(tab, address, "newsvendor")
    tab.locator(f"{RESULTS} > a").first.click()
    tab.wait_for_load_state()
    assert "newsvendor" in tab.locator("article").inner_text().lower()


def test_search_by_keyboard(tab, address):
    tab.goto(address + "intro.html")
    tab.wait_for_load_state()
    tab.keyboard.press("Control+k")
    tab.keyboard.type("newsvendor")
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/search.html?q=newsvendor*")
    tab.wait_for_function(FINISHED, timeout=20_000)
    assert tab.locator(RESULTS).count()


def test_an_unknown_word_finds_nothing(tab, address):
    assert not found(tab, address, "zyzzyva")


def test_a_broken_index_is_noticed(tab, site, tmp_path):
    copy = tmp_path / "site"
    shutil.copytree(site, copy, ignore=shutil.ignore_patterns("_images", "chapters", "_sources"))
    index = copy / "searchindex.js"
    index.write_text(re.sub("newsvendor", "newsvendre", index.read_text(), flags=re.IGNORECASE))
    with serve(copy) as address:
        assert "chapters/motivation.html" not in found(tab, address, "newsvendor")
