"""A link to a place in a page leads to that place, although what lies before it is laid out only on the way."""

import pytest
from visiting import NARROW, WIDE

HIGHEST, LOWEST = -2, 140  # pixels from the top of the window: below the header
LAST_BOX = ".bd-article div.admonition[id]:is(.proof, .exercise)"
FIGURE = ".bd-article figure[id]"
MOVES_ON = (
    "<p style='height: 3000px'>far</p><p id='end'>the end</p><p style='height: 3000px'>below</p>"
    "<script>setTimeout(() => scrollBy(0, -900), 500)</script>"
)


def top_of(tab, address, label, viewport):
    """How far below the top of the window a labelled place is when its address was opened and all is quiet."""
    tab.set_viewport_size(viewport)
    tab.goto("about:blank")
    tab.goto(f"{address}#{label}")
    tab.wait_for_timeout(1500)
    return tab.evaluate("label => document.getElementById(label).getBoundingClientRect().top", label)


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
def test_links_land_where_they_point(tab, address, chapter_page, viewport):
    tab.goto(address + chapter_page)
    labels = [tab.locator(LAST_BOX).last.get_attribute("id")]
    figures = tab.locator(FIGURE)
    labels.append(figures.nth(figures.count() // 2).get_attribute("id"))
    for label in labels:
        assert HIGHEST <= top_of(tab, address + chapter_page, label, viewport) <= LOWEST, label


def test_an_entry_of_the_contents_lands(tab, address):
    tab.set_viewport_size({"width": 1440, "height": 900})
    tab.goto(address + "chapters/trick.html")
    entry = tab.locator(".bd-sidebar-secondary a[href='#common-mistakes']")
    entry.click()
    tab.wait_for_timeout(1500)
    top = tab.evaluate("document.getElementById('common-mistakes').getBoundingClientRect().top")
    assert HIGHEST <= top <= LOWEST


def test_a_link_that_misses_is_found(tab, planted):
    assert not HIGHEST <= top_of(tab, planted(MOVES_ON) + "page.html", "end", WIDE) <= LOWEST
