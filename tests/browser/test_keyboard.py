"""Everything that opens or moves does so by keyboard, and what has the keyboard's attention can be seen."""

import pytest

STEPS = 40
OPENERS = "details > summary, button.toggle-button, .toggle-details > summary"

# Where the keyboard is, in words that tell two places apart, and whether a reader can see it.
FOCUS = r"""() => {
    const node = document.activeElement;
    if (!node || node === document.body) return ["", true];
    const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(node);
    const ring = boxShadow !== "none" && !/rgba\([^)]*, 0\)/.test(boxShadow);
    const marked = (outlineStyle !== "none" && parseFloat(outlineWidth) > 0) || ring;
    node.dataset.seen ??= String(document.querySelectorAll("[data-seen]").length);
    return [`${node.tagName} ${node.dataset.seen} ${node.textContent.trim().slice(0, 30)}`, marked];
}"""


def walk(tab, steps=STEPS):
    """Press Tab some times; returns where the keyboard went and the places where nothing showed it."""
    places, hidden = [], []
    for _ in range(steps):
        tab.keyboard.press("Tab")
        place, marked = tab.evaluate(FOCUS)
        places.append(place)
        if not marked:
            hidden.append(place)
    return places, hidden


def closed_boxes(tab):
    """Proofs and solutions that Enter does not open; and the number of boxes that were tried."""
    closed, tried = [], 0
    for opener in tab.locator(OPENERS).all():
        if not opener.evaluate("node => node.checkVisibility() && !node.closest('.vega-embed')"):
            continue
        tried += 1
        opener.evaluate("node => node.focus()")
        before = tab.evaluate("() => document.documentElement.scrollHeight")
        tab.keyboard.press("Enter")
        tab.wait_for_timeout(50)
        focused = opener.evaluate("node => document.activeElement === node")
        if not focused or tab.evaluate("() => document.documentElement.scrollHeight") <= before:
            closed.append(opener.evaluate("node => node.parentElement.textContent.trim().slice(0, 60)"))
    return closed, tried


def test_boxes_open_by_keyboard(tab, address, page_name):
    tab.goto(address + page_name)
    tab.wait_for_load_state()
    tab.add_style_tag(content=".bd-article * { content-visibility: visible !important; transition: none !important }")
    closed, tried = closed_boxes(tab)
    assert not closed
    assert tried or not page_name.startswith("chapters/")


def test_keyboard_walks_and_shows_where_it_is(tab, address, page_name):
    tab.goto(address + page_name)
    tab.wait_for_load_state()
    places, hidden = walk(tab)
    assert "Skip to main content" in places[0]
    assert len(set(places)) > STEPS / 2, "the keyboard is caught"
    assert not hidden


def test_figure_answers_arrow_keys(tab, address, figure_page):
    tab.goto(address + figure_page)
    tab.locator("[id^=figure-]").first.scroll_into_view_if_needed()
    control = tab.locator(".vega-embed :is(input[type=range], input[type=radio]:checked)").first
    control.wait_for(timeout=60_000)
    control.focus()
    state = "input => [input.value, input.checked]"
    before = control.evaluate(state)
    for key in ("ArrowRight", "ArrowLeft", "ArrowLeft"):  # one of the two leads away from an end
        tab.keyboard.press(key)
        if control.evaluate(state) != before:
            return
    pytest.fail(f"{figure_page}: arrow keys do not move {before}")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("<details><summary>Proof</summary><p>Long.</p></details>", 0),
        ("<details><summary onclick='return false'>Proof</summary><p>Long.</p></details>", 1),
        ("<div>A box<button class='toggle-button'>Show</button></div>", 1),
    ],
)
def test_box_that_does_not_open_is_found(tab, planted, body, expected):
    tab.goto(planted(body + "<p style='height: 2000px'>tall</p>") + "page.html")
    closed, tried = closed_boxes(tab)
    assert (len(closed), tried) == (expected, 1)


def test_hidden_focus_and_a_trap_are_found(tab, planted):
    links = "<a href='#a' style='outline: none'>a</a><a href='#b'>b</a>"
    tab.goto(planted(links) + "page.html")
    places, hidden = walk(tab, steps=2)
    assert len(set(places)) == 2
    assert len(hidden) == 1
    trap = "<button onkeydown='event.preventDefault()'>caught</button>" + links
    tab.goto(planted(trap, "trap.html") + "trap.html")
    assert len(set(walk(tab, steps=9)[0])) == 1
