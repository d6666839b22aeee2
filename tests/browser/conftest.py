"""The built site, served on loopback, and one browser to read it with.

`python -m pytest tests/browser -n 2 --dist loadgroup [--site FOLDER]`; `CHROMIUM=PROGRAM` names a browser that is not
on the path. The folder is `book/_build/html` unless it is named: `make book` writes it.

A test that asks for `page_name` runs once for every page, and all tests of a page run in one process, which visits
that page once.
"""

from pathlib import Path

import pytest
from browsing import chromium, has_figures, pages_of
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import sync_playwright
from serving import serve
from visiting import look

BUILT = Path(__file__).resolve().parents[2] / "book" / "_build" / "html"


def pytest_addoption(parser):
    """Name the folder that is tested."""
    parser.addoption("--site", type=Path, default=BUILT, help="the folder of the built site (default: %(default)s)")


def pytest_generate_tests(metafunc):
    """Run a test once for each page (`page_name`), or each page with interactive figures (`figure_page`)."""
    folder = metafunc.config.getoption("--site")
    pages = pages_of(folder)
    if "figure_page" in metafunc.fixturenames:
        pages = [page for page in pages if has_figures(folder / page)]
    if "chapter_page" in metafunc.fixturenames:
        pages = [page for page in pages if page.startswith("chapters/")]
    for name in {"page_name", "figure_page", "chapter_page"} & set(metafunc.fixturenames):
        groups = [pytest.param(page, marks=pytest.mark.xdist_group(page)) for page in pages]
        metafunc.parametrize(name, groups or [pytest.param(None, id="no site")])


@pytest.fixture(scope="session")
def browser():
    """One browser for all tests of a process."""
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(
            executable_path=chromium(), args=["--no-sandbox", "--font-render-hinting=none"]
        ) as browser,
    ):
        yield browser


@pytest.fixture(scope="session")
def site(pytestconfig):
    """The folder of the built site."""
    folder = pytestconfig.getoption("--site")
    assert (folder / "index.html").exists(), f"--site: expected a built site (make book), got {folder}"
    return folder


@pytest.fixture(scope="session")
def address(site):
    """Where the site is served."""
    with serve(site) as address:
        yield address


@pytest.fixture(scope="session")
def visit(browser, address):
    """A function from a page's name to what a visit found; it visits each page once."""
    visits = {}

    def once(name):
        if name not in visits:
            try:
                visits[name] = look(browser, address, name)
            except PlaywrightError as error:
                visits[name] = error
        if isinstance(visits[name], PlaywrightError):
            raise visits[name]
        return visits[name]

    return once


@pytest.fixture
def tab(browser):
    """An empty tab of a wide window."""
    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        yield context.new_page()


@pytest.fixture
def planted(tmp_path):
    """A function that writes a page with an error, serves it and returns the address of its folder."""
    head = '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>A page</title>'
    view = '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,"></head>'
    with serve(tmp_path) as address:

        def write(body, name="page.html"):
            (tmp_path / name).write_text(f"{head}{view}<body><main><h1>A page</h1>{body}</main></body></html>")
            return address

        yield write
