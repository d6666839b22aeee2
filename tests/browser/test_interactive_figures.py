"""Interactive figures answer: every slider that is dragged, every choice that is made, changes the picture."""

import pytest
from pictures import changed_pixels, picture
from visiting import DRAWN, OPEN, READ

ENOUGH = 20  # pixels: a line of a few pixels that moves by one
SETTLED = "() => new Promise(done => setTimeout(() => requestAnimationFrame(() => requestAnimationFrame(done)), 150))"
THUMB = 16


def drag(tab, slider):
    """Take a slider's thumb by the mouse and leave it at three quarters of the way, or at one if it was above half."""
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    low, high, value = slider.evaluate("input => [+(input.min || 0), +(input.max || 100), +input.value]")
    place = (value - low) / (high - low)
    middle = box["y"] + box["height"] / 2
    start, way = box["x"] + THUMB / 2, box["width"] - THUMB
    tab.mouse.move(start + place * way, middle)
    tab.mouse.down()
    tab.mouse.move(start + (0.25 if place > 0.5 else 0.75) * way, middle, steps=4)
    tab.mouse.up()
    tab.evaluate(SETTLED)
    assert slider.evaluate("input => +input.value") != value, "the slider did not follow the mouse"


def choose(tab, option):
    """Choose a radio button or tick a box."""
    option.click()
    tab.evaluate(SETTLED)


def idle_inputs(tab):
    """The inputs of a page that leave their figure as it was, and the number of inputs that were tried."""
    idle, tried = [], 0
    for number, figure in enumerate(tab.locator(".vega-embed").all()):
        drawing = figure.locator("canvas, svg").first
        sliders = figure.locator("input[type=range]").all()
        choices = figure.locator("input[type=radio]:not(:checked), input[type=checkbox]").all()
        for control, move in [*((slider, drag) for slider in sliders), *((choice, choose) for choice in choices)]:
            before = picture(drawing)
            move(tab, control)
            tried += 1
            if changed_pixels(before, picture(drawing)) < ENOUGH:
                idle.append(f"figure {number}: {control.get_attribute('name')}")
    return idle, tried


def test_every_input_changes_its_figure(tab, address, figure_page):
    tab.goto(address + figure_page)
    tab.evaluate(OPEN)
    tab.evaluate(READ)
    tab.wait_for_function(DRAWN, timeout=60_000)
    idle, tried = idle_inputs(tab)
    assert tried
    assert not idle


def test_figures_wait_until_they_come_near(tab, address, figure_page):
    """Vega's scripts are not what a reader waits for; without a move of the reader, far figures are not drawn."""
    loaded = []
    tab.on("request", lambda request: loaded.append(request.url))
    tab.goto(address + figure_page)
    tab.wait_for_load_state("networkidle")
    first = tab.locator("[id^=figure-]").first
    far = first.evaluate("box => box.getBoundingClientRect().top > 3 * innerHeight")
    assert not far or not [name for name in loaded if "vega" in name]


@pytest.mark.parametrize("draws", [True, False])
def test_slider_that_moves_nothing_is_found(tab, planted, draws):
    script = "c.clearRect(0, 0, 99, 99); c.fillRect(this.value, 9, 40, 40)" if draws else ""
    body = f"""<div class="vega-embed"><canvas id="c" width="150" height="99"></canvas>
        <input type="range" name="s" min="0" max="100" value="90" aria-label="s" oninput="{script}"></div>
        <script>const c = document.getElementById("c").getContext("2d"); c.fillRect(90, 9, 40, 40)</script>"""
    tab.goto(planted(body) + "page.html")
    assert idle_inputs(tab) == ([] if draws else ["figure 0: s"], 1)


def test_slider_that_cannot_be_dragged_is_found(tab, planted):
    body = '<div class="vega-embed"><canvas></canvas><input type="range" value="90" disabled></div>'
    tab.goto(planted(body) + "page.html")
    with pytest.raises(AssertionError, match="did not follow"):
        idle_inputs(tab)
