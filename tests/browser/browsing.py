"""Where the browser is, and which pages there are."""

import os
import shutil


def chromium():
    """The path of the browser."""
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        raise FileNotFoundError("no chromium on the path: install it (Debian: apt install chromium) or set CHROMIUM")
    return found


def pages_of(folder):
    """The pages of a site that a reader can open, as addresses inside the site."""
    pages = sorted(path.relative_to(folder) for path in folder.rglob("*.html"))
    return [page.as_posix() for page in pages if page.parts[0] != "_static" and not leads_elsewhere(folder / page)]


def leads_elsewhere(path):
    """Whether a page only sends its reader on to another one."""
    return 'http-equiv="Refresh"' in path.read_text()[:2000]


def has_figures(path):
    """Whether a page holds interactive figures."""
    return "vegaEmbed" in path.read_text()
