"""`book/_ext/page_weight.py`: pages lose weight and nothing that a reader sees, and a second run changes nothing."""

import struct
from io import BytesIO
from pathlib import Path

import page_weight
import pytest
from fontTools.ttLib import TTFont

HEAD = """<head><link rel="preload" as="script" href="../_static/scripts/bootstrap.js?digest=8" />
<script src="../_static/scripts/fontawesome.js?digest=8"></script>
<script src="../_static/documentation_options.js?v=9"></script><script src="../_static/doctools.js"></script>
<script>let x;</script></head>"""
OPTIONS = "const DOCUMENTATION_OPTIONS = {};"


@pytest.fixture
def page(tmp_path):
    folder = tmp_path / "chapters"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        (folder / name).write_bytes(page_weight.PNG_HEAD + struct.pack(">II", 640, 480))
    return folder / "page.html"


def test_head_waits_for_no_script(page):
    text = page_weight.lighten(HEAD, page, OPTIONS)
    assert "fontawesome" not in text
    assert "preload" not in text
    assert f"<script>{OPTIONS}</script>" in text
    assert '<script defer src="../_static/doctools.js">' in text
    assert "<script>let x;</script>" in text


def test_images_have_sizes_and_only_the_first_is_awaited(page):
    text = page_weight.lighten('<img alt="x" src="a.png" /><img src="b.png"><img src="absent.png">', page, OPTIONS)
    first, second, third = text.split("<img ")[1:]
    assert first == 'alt="x" src="a.png" width="640" height="480" />'
    assert second == 'src="b.png" width="640" height="480" loading="lazy" />'
    assert third == 'src="absent.png">'


def test_figures_sleep(page):
    text = page_weight.lighten('<script type="text/javascript">\n  var VEGA_DEBUG = 1</script>', page, OPTIONS)
    assert text.startswith('<script type="text/plain" class="sleeping-figure">')


def test_a_second_run_changes_nothing(page):
    text = HEAD + '<img src="a.png"><script type="text/javascript">\n  var VEGA_DEBUG = 1</script>'
    once = page_weight.lighten(text, page, OPTIONS)
    assert page_weight.lighten(once, page, OPTIONS) == once


def test_the_page_of_search_keeps_its_scripts():
    text = page_weight.lighten(HEAD, Path("search.html"), OPTIONS)
    assert '<script src="../_static/doctools.js">' in text


def test_only_used_icons_stay():
    styles = '.fa-bars:before,.fa-navicon:before{content:"\\f0c9"}.fa-unused:before{content:"\\f000"}p{margin:0}'
    kept, characters = page_weight.with_used_icons(styles, {"fa-bars"})
    assert kept == '.fa-bars:before,.fa-navicon:before{content:"\\f0c9"}p{margin:0}'
    assert characters == {"\uf0c9"}
    assert page_weight.font_of(characters) == page_weight.font_of(characters)
    assert len(page_weight.font_of(characters)) < 3000


def test_icons_that_the_stylesheet_draws_stay():
    """Such as the bell before the title of an admonition, which no page names."""
    styles = (page_weight.THEME / page_weight.STYLES).read_text()
    _, characters = page_weight.with_used_icons(styles, set())
    assert {"\uf0f3", "\uf0eb", "\uf010"} <= characters  # bell, light bulb, "hide search matches"
    font = TTFont(BytesIO(page_weight.font_of(characters)))
    assert {ord(character) for character in characters - {"\uf09b", "\uf296"}} <= font.getBestCmap().keys()  # brands


def test_theme_is_the_one_that_is_known():
    assert "none-of-these" in page_weight.without_tab_stops((page_weight.THEME / page_weight.SCRIPT).read_text())
    assert page_weight.ICON_FACE.search((page_weight.THEME / page_weight.STYLES).read_text())
    with pytest.raises(ValueError, match="expected one search"):
        page_weight.without_tab_stops("let nothing;")
