"""Walk the reader's path to every notebook: from the button on a page to the notebook's last cell.

A published site is served on loopback. For each chapter the address behind its Colab button is read from the page, the
notebook is fetched from where that address leads, its first cell installs the package from the served site, and the
rest runs to the end, with the solutions put back. Then every package that was there before must be there as it was. The
environment is that of Colab: made by `make .venv-click`, or the one that runs this script (`--here`).

    python tests/click_path.py SITE (--python PYTHON | --here) [--chapters NAME ...]
"""

import argparse
import contextlib
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import nbformat
from colab_copies import put_solutions_back
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

CHAPTERS = Path(__file__).resolve().parents[1] / "book" / "chapters"
OURS = "reparameterization-companion"
CELL_TIMEOUT = 300  # seconds
BUTTON = re.compile(
    r"https://colab\.research\.google\.com/github/(?P<repository>[\w.-]+/[\w.-]+)/blob/gh-pages/(?P<path>[\w./-]+)"
)


class Links(HTMLParser):
    """The addresses of a page's links by the class of the link."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag == "a":
            attributes = dict(attrs)
            self.found.append((attributes.get("class") or "", attributes.get("href")))

    def of_class(self, name):
        """The addresses of links of a class."""
        return [address for classes, address in self.found if name in classes.split()]


def path_behind_button(page):
    """Where in the branch of the site the Colab button of a page's text leads."""
    addresses = Links(page).of_class("btn-open-in-colab")
    if len(addresses) != 1:
        raise LookupError(f"the Colab button: expected one, got {len(addresses)}")
    match = BUTTON.fullmatch(addresses[0])
    if match is None:
        raise LookupError(f"the Colab button: expected an address of a notebook on gh-pages, got {addresses[0]}")
    return match["path"]


def chapters():
    """The names of the chapters."""
    return sorted(path.stem for path in CHAPTERS.glob("*.md"))


def fetch(address):
    """The text behind an address."""
    with urllib.request.urlopen(address) as response:
        return response.read().decode()


def packages(python):
    """A mapping of the packages of an environment, ours left out, to their versions."""
    listed = subprocess.run(
        [python, "-m", "pip", "list", "--format=json", "--disable-pip-version-check"], check=True, capture_output=True
    )
    return {entry["name"]: entry["version"] for entry in json.loads(listed.stdout) if entry["name"].lower() != OURS}


def changes(before, after):
    """What differs between two mappings of packages, in words."""
    return [
        f"{name}: {before.get(name, 'absent')} before, {after.get(name, 'absent')} after"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]


def remove_ours(python):
    """Take our package out, so that the next notebook starts as a new session of Colab does."""
    command = [python, "-m", "pip", "uninstall", "--yes", "--quiet", "--disable-pip-version-check", OURS]
    subprocess.run(command, check=True, capture_output=True)


def kernel_manager(python):
    """A manager of kernels that run in an environment."""
    manager = AsyncKernelManager()
    manager._kernel_spec = KernelSpec(
        argv=[python, "-m", "ipykernel_launcher", "-f", "{connection_file}"], language="python", display_name="Colab"
    )
    return manager


def run(notebook, python):
    """Run a notebook in an empty folder; returns what went wrong, or None."""
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook,
            km=kernel_manager(python),
            timeout=CELL_TIMEOUT,
            record_timing=False,
            resources={"metadata": {"path": folder}},
        )
        try:
            client.execute(stderr=subprocess.DEVNULL)
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            return str(error)
    return None


def fetched_copy(name, site_url):
    """The notebook that the button of a chapter's page opens."""
    page = fetch(f"{site_url}/chapters/{name}.html")
    notebook = nbformat.reads(fetch(f"{site_url}/{path_behind_button(page)}"), 4)
    nbformat.validate(notebook)
    return notebook


def walk(name, site_url, python):
    """Walk one chapter's path; returns what went wrong, or None."""
    remove_ours(python)
    try:
        notebook = put_solutions_back(fetched_copy(name, site_url), nbformat.read(CHAPTERS / f"{name}.ipynb", 4))
    except (LookupError, OSError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return run(notebook, python)


def first_cell_alone(notebook):
    """A notebook of the first code cell, in which the wheel's address leads nowhere."""
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    first.source = first.source.replace("/dist/", "/no-such-folder/")
    return nbformat.v4.new_notebook(cells=[first], metadata=notebook.metadata)


def missing_package_is_told(name, site_url, python):
    """What is wrong with the words of a first cell that cannot install the package, or None."""
    remove_ours(python)
    problem = run(first_cell_alone(fetched_copy(name, site_url)), python)
    if problem is None:
        return "the first cell passed although there was no package to install"
    if f"{site_url}/chapters/{name}.html" not in problem:
        return f"the first cell does not say where to go when the package cannot be installed: {problem}"
    return None


def walk_all(names, site_url, python):
    """Walk the path of some chapters; returns the exit status."""
    before, failed = packages(python), []
    for name in names:
        start = time.monotonic()
        problem = walk(name, site_url, python)
        print(f"{name}: {'ok' if problem is None else 'FAILED'}, {time.monotonic() - start:.0f} s", flush=True)
        failed += [] if problem is None else [f"{name}: {problem}"]
    if problem := missing_package_is_told(names[0], site_url, python):
        failed.append(problem)
    failed += changes(before, packages(python))
    for problem in failed:
        print(problem, file=sys.stderr)
    if not failed:
        print(f"{len(names)} chapters ran from their buttons; {len(before)} installed packages are as they were")
    return 1 if failed else 0


def is_address(site):
    """Whether a site is an address and not a folder."""
    return site.startswith(("http://", "https://"))


@contextlib.contextmanager
def served(folder, port):
    """The address of a folder while it is served on loopback."""
    if not (folder / "index.html").exists():
        raise FileNotFoundError(f"site: expected a folder with a built site, got {folder}")
    handler = partial(QuietHandler, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves files without a line for each."""

    def log_message(self, *args):
        """Say nothing."""


def main():
    """Serve the site, walk every chapter's path, and say what went wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("site", help="the folder of a built site, or the address of a published one")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--python", type=Path, help="the interpreter of an environment like Colab's")
    where.add_argument(
        "--here", action="store_const", const=Path(sys.executable), dest="python", help="this environment"
    )
    parser.add_argument("--chapters", nargs="*", metavar="NAME", help="which to walk to (default: all)")
    parser.add_argument("--port", type=int, default=8711, help="where the folder is served, as it was built for")
    options = parser.parse_args()
    python = str(options.python.absolute())
    names = options.chapters or chapters()
    if is_address(options.site):
        sys.exit(walk_all(names, options.site.rstrip("/"), python))
    with served(Path(options.site), options.port) as site_url:
        sys.exit(walk_all(names, site_url, python))


if __name__ == "__main__":
    main()
