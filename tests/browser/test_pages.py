"""Every page arrives whole: no error, no failed and no outgoing request, every formula drawn."""

import pytest
from visiting import look


def test_console_is_silent(visit, page_name):
    assert not visit(page_name).console


def test_no_request_fails(visit, page_name):
    assert not visit(page_name).failed


def test_no_request_leaves_the_site(visit, page_name):
    assert not visit(page_name).outgoing


def test_maths_is_drawn(visit, page_name):
    assert not visit(page_name).maths
    assert visit(page_name).formulas or not page_name.startswith("chapters/")


@pytest.mark.parametrize(
    ("finding", "body"),
    [
        ("console", "<script>throw new Error('planted')</script>"),
        ("console", "<script>console.error('planted')</script>"),
        ("failed", "<img src='absent.png' alt='nothing'>"),
        ("outgoing", "<img src='http://127.0.0.2:9/x.png' alt='nothing'>"),
        ("outgoing", "<script>fetch('http://127.0.0.2:9/x').catch(() => 0)</script>"),
        ("maths", "<article><p>where $$x$$ is</p></article>"),
        ("maths", "<article><p>where $x$ is</p></article>"),
        ("maths", r"<article><p>where \(x\) is</p></article>"),
        ("maths", r"<article><p>where \frac{1}{2} is</p></article>"),
        ("maths", "<span class='math'>x^2</span>"),
        ("maths", "<span class='katex-error'>x^{2</span>"),
        ("maths", "<span class='math'><span class='katex-html'></span></span>"),
    ],
)
def test_planted_error_is_found(browser, planted, finding, body):
    assert getattr(look(browser, planted(body), "page.html"), finding)


def test_page_without_error_passes(browser, planted):
    body = "<article><p>as <code>$$</code> is</p></article><span class='math'><b class='katex-html'>x</b></span>"
    visit = look(browser, planted(body), "page.html")
    assert not visit.console + visit.failed + visit.outgoing + visit.maths + visit.overflow + visit.light + visit.dark
