"""axe finds nothing on any page, in light and wide or in dark and narrow, with figures drawn and boxes open."""

import pytest
from visiting import look, violations


def test_light(visit, page_name):
    assert not visit(page_name).light


def test_dark(visit, page_name):
    assert not visit(page_name).dark


@pytest.mark.parametrize(
    ("rule", "body"),
    [
        ("label", "<input type='range'>"),
        ("image-alt", "<img src='data:image/gif;base64,R0lGODlhAQABAAAAACw='>"),
        ("color-contrast", "<p style='color: #999; background: #fff'>pale</p>"),
        (
            "scrollable-region-focusable",
            "<div style='width: 90px; height: 30px; overflow: auto'><p style='width: 900px; height: 90px'>x</p></div>",
        ),
        ("heading-order", "<h4>far below</h4>"),
        ("link-name", "<a href='#'></a>"),
        ("empty-table-header", "<table><tr><th></th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table>"),
    ],
)
def test_planted_violation_is_found(browser, planted, rule, body):
    visit = look(browser, planted(body), "page.html")
    for found in (visit.light, visit.dark):
        assert any(violation.startswith(f"{rule}:") for violation in found)


def test_violation_in_one_theme_is_found(browser, planted):
    pale = "<style>@media (prefers-color-scheme: dark) { body { color: #555; background: #000 } }</style><p>pale</p>"
    visit = look(browser, planted(pale), "page.html")
    assert not visit.light
    assert visit.dark


def test_the_theme_follows_the_reader(browser, address):
    """Without this, the look at the dark pages would be a second look at the light ones."""
    for scheme in ("light", "dark"):
        with browser.new_context(color_scheme=scheme) as context:
            tab = context.new_page()
            tab.goto(address + "index.html")
            tab.wait_for_url("**/intro.html")
            tab.wait_for_function(f"document.documentElement.dataset.theme === '{scheme}'")
            tab.add_style_tag(content="* { transition: none !important }")  # no colour half way from one to the other
            other = {"light": "dark", "dark": "light"}[scheme]
            tab.emulate_media(color_scheme=other)
            tab.wait_for_function(f"document.documentElement.dataset.theme === '{other}'")
            assert not violations(tab)
