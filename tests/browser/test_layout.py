"""Nothing is wider than a phone (what is wide scrolls in a box of its own), and no image is stretched."""

import pytest
from visiting import look


def test_no_horizontal_scroll_at_360_pixels(visit, page_name):
    assert not visit(page_name).overflow


def test_images_arrive_in_their_shape(visit, page_name):
    assert not visit(page_name).images


@pytest.mark.parametrize(
    "body",
    [
        "<table><tr>" + "<td>wide_cell_of_a_table</td>" * 9 + "</tr></table>",
        "<p>" + "word" * 60 + "</p>",
        "<svg role='img' aria-label='wide' width='900' height='9'></svg>",
        "<p style='position: relative; left: 200px'>moved to the right</p>",
    ],
)
def test_planted_overflow_is_found(browser, planted, body):
    assert look(browser, planted(body), "page.html").overflow


def test_a_box_that_scrolls_is_no_overflow(browser, planted):
    body = "<div tabindex='0' style='overflow-x: auto'><p style='width: 900px'>wide</p></div>"
    assert not look(browser, planted(body), "page.html").overflow


@pytest.mark.parametrize(("height", "expected"), [("auto", 0), ("300px", 2)])
def test_stretched_image_is_found(browser, planted, height, expected):
    drawing = "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' width='400' height='200'/>"
    body = f'<img alt="a" src="{drawing}" width="400" height="200" style="max-width: 100%; height: {height}">'
    assert len(look(browser, planted(body), "page.html").images) == expected


def test_absent_image_is_found(browser, planted):
    assert look(browser, planted("<img alt='a long text' src='absent.png'>"), "page.html").images
