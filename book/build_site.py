"""Build the site: the book's pages, a copy of each chapter for Colab, and the wheel of the package they import.

All three come from one state of the sources. Every warning and every dangling reference is an error. What a published
site needs to know about itself is in the environment variables `SITE_URL` and `REPOSITORY` (see `origin`).

    python book/build_site.py [--fresh] [--output FOLDER]
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import colab_copies
import yaml
from front_page import first_page
from origin import Origin, repository_from, site_url_from
from published_wheel import build_wheel

BOOK = Path(__file__).resolve().parent


def machinery(site_url, repository):
    """A fingerprint of what shapes every page but is invisible to Sphinx's own incremental build."""
    sources = [*sorted((BOOK / "_ext").glob("*.py")), *sorted(BOOK.glob("*.py")), *sorted(BOOK.glob("_*.yml"))]
    sources += [BOOK.parent / "requirements" / "lock.txt"]
    parts = [path.read_bytes() for path in sources] + [repr((site_url, repository)).encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def build_pages(folder, site_url, repository, fresh):
    """Build the pages below FOLDER/_build, incrementally when that is safe, and return the exit status."""
    build = folder / "_build"
    stamp = build / ".machinery"
    wanted = machinery(site_url, repository)
    if fresh or not stamp.exists() or stamp.read_text() != wanted:
        shutil.rmtree(build, ignore_errors=True)
    program = [Path(sys.executable).with_name("jupyter-book"), "build", BOOK, "--path-output", folder]
    command = [*program, "--warningiserror", "--nitpick", "--keep-going", "--quiet"]
    settings = {**os.environ, "SITE_URL": site_url or "", "REPOSITORY": repository or ""}
    # Warnings come on stderr.
    status = subprocess.run(command, check=False, stdout=subprocess.DEVNULL, env=settings).returncode
    if status:
        # Sphinx would not warn again about pages it has read, so a second build would seem to pass.
        stamp.unlink(missing_ok=True)
    else:
        stamp.write_text(wanted)
    return status


def title():
    """The title of the book."""
    return yaml.safe_load((BOOK / "_config.yml").read_text())["title"]


def add_package_and_copies(build, site_url, repository):
    """Put the wheel and the chapters' copies beside the pages."""
    site = build / "html"
    origin = Origin(site_url, repository, *build_wheel(site / "dist", site_url))
    shutil.rmtree(site / "colab", ignore_errors=True)
    colab_copies.convert_all(BOOK / "chapters", build / "references.json", site / "colab", origin)
    (site / "index.html").write_text(first_page(title(), site_url))  # in the place of Jupyter Book's bare redirect
    (site / ".nojekyll").touch()  # GitHub would leave out folders whose name begins with an underscore


def main():
    """Parse the command line, build, and say which file to open."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fresh", action="store_true", help="build every page anew")
    parser.add_argument("--output", type=Path, default=BOOK, help="the site is written to OUTPUT/_build/html")
    options = parser.parse_args()
    try:
        site_url, repository = site_url_from(os.environ.get("SITE_URL")), repository_from(os.environ.get("REPOSITORY"))
    except ValueError as error:
        parser.error(str(error))
    folder = options.output.resolve()
    if status := build_pages(folder, site_url, repository, options.fresh):
        sys.exit(status)
    add_package_and_copies(folder / "_build", site_url, repository)
    print(f"The book is built. Open {folder / '_build' / 'html' / 'index.html'}")


if __name__ == "__main__":
    main()
