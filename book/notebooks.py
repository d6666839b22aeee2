"""Execute the chapters whose text or whose package changed, and write each pair of text and notebook.

`chapters/NAME.md` is what people edit. `chapters/NAME.ipynb` is the same cells with their outputs, and
`chapters/executed.json` holds for every chapter a fingerprint of the text and the package it was executed
with, and the seconds that it took. The notebook is a function of the text and its outputs alone (no times,
no random identifiers), so executing twice writes the same bytes.

    python book/notebooks.py [--force] [--workers 2] [NAME ...]
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import jupytext
import nbformat
from jupytext.config import load_jupytext_configuration_file
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

BOOK = Path(__file__).resolve().parent
CHAPTERS = BOOK / "chapters"
PACKAGE = BOOK.parent / "companion"
KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
CELL_TIMEOUT = 120  # seconds; a whole chapter may take 60


def chapter_names(folder=CHAPTERS):
    """The chapters of a folder by name, sorted."""
    return sorted(path.stem for path in folder.glob("*.md"))


def package_files(package=PACKAGE):
    """The sources that every chapter depends on, in a fixed order."""
    return sorted(package.rglob("*.py"))


def fingerprint(text, package=PACKAGE):
    """The sha256 of a chapter's text and of the package it runs with."""
    digest = hashlib.sha256(text.encode())
    for path in package_files(package):
        digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def read_manifest(folder=CHAPTERS):
    """What is known of the last execution: a mapping of chapter names to "fingerprint" and "seconds"."""
    path = folder / "executed.json"
    return json.loads(path.read_text()) if path.exists() else {}


def write_manifest(manifest, folder=CHAPTERS):
    """Write what is known of the chapters that still exist."""
    known = {name: manifest[name] for name in chapter_names(folder) if name in manifest}
    write_if_changed(folder / "executed.json", json.dumps(known, indent=2, sort_keys=True) + "\n")


def stale_chapters(folder=CHAPTERS, package=PACKAGE):
    """Chapters whose notebook is missing or was executed with another text or another package."""
    manifest = read_manifest(folder)
    return [
        name
        for name in chapter_names(folder)
        if manifest.get(name, {}).get("fingerprint") != fingerprint((folder / f"{name}.md").read_text(), package)
        or not (folder / f"{name}.ipynb").exists()
    ]


def read_text(text):
    """The notebook, without outputs, that a chapter's text describes."""
    return jupytext.reads(text, fmt="md:myst")


def normal_text(text):
    """The chapter's text as jupytext would write it."""
    config = load_jupytext_configuration_file(str(CHAPTERS / "jupytext.toml"))
    notebook = read_text(text)
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNELSPEC, "language_info": {"pygments_lexer": "ipython3"}})
    return jupytext.writes(notebook, fmt="md:myst", config=config)


def kept_metadata(cell):
    """The part of a cell's metadata that belongs to the pair."""
    return {key: cell.metadata[key] for key in ("tags", "mystnb") if cell.metadata.get(key)}


def blank_notebook(text):
    """The notebook of a chapter's text with identifiers that follow from its cells, ready to execute."""
    cells = read_text(text).cells
    seen = {}
    for cell in cells:
        occurrence = seen[cell.source] = seen.get(cell.source, -1) + 1
        cell.id = hashlib.sha256(f"{cell.cell_type}:{occurrence}:{cell.source}".encode()).hexdigest()[:8]
        cell.metadata = nbformat.from_dict(kept_metadata(cell))
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": KERNELSPEC})


def without_noise(notebook):
    """Drop what an execution leaves that is no result: TensorFlow's log lines and the kernel's own metadata."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [out for out in cell.outputs if out.get("name") != "stderr"]
        cell.metadata.pop("execution", None)
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNELSPEC})
    return notebook


def execute(name, folder=CHAPTERS):
    """Execute one chapter in a fresh kernel and write its pair; returns its entry in the manifest."""
    start = time.monotonic()
    path = folder / f"{name}.md"
    text = normal_text(path.read_text())
    write_if_changed(path, text)
    notebook = blank_notebook(text)
    NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(folder)}},
    ).execute(stderr=subprocess.DEVNULL)  # what Python writes comes by message; this is TensorFlow's C++ log
    write_if_changed(path.with_suffix(".ipynb"), nbformat.writes(without_noise(notebook)) + "\n")
    return {"fingerprint": fingerprint(text), "seconds": round(time.monotonic() - start)}


def write_if_changed(path, text):
    """Write a file only when its text differs, so that nothing is rebuilt for nothing."""
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def execute_all(names, workers, folder=CHAPTERS):
    """Execute chapters in parallel, report each, and return the names of those that failed."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    package = fingerprint("")
    manifest, failed = read_manifest(folder), []
    with ProcessPoolExecutor(max_workers=workers) as pool:
        running = {pool.submit(execute, name, folder): name for name in names}
        for future in as_completed(running):
            name = running[future]
            try:
                manifest[name] = future.result()
                print(f"{name}: executed in {manifest[name]['seconds']} s", flush=True)
            except CellExecutionError as error:
                print(f"{name}: failed\n{error}", file=sys.stderr, flush=True)
                failed.append(name)
    if fingerprint("") != package:
        print("the package changed while chapters were running: run make notebooks again", file=sys.stderr)
        return sorted(names)
    write_manifest(manifest, folder)
    return failed


def main():
    """Parse the command line and execute what is asked for or what is stale."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="chapters to look at (default: all)")
    parser.add_argument("--force", action="store_true", help="execute even what has not changed")
    parser.add_argument("--workers", type=int, default=2, help="notebooks that run at the same time")
    options = parser.parse_args()
    if unknown := sorted(set(options.names) - set(chapter_names())):
        parser.error(f"no chapter named {', '.join(unknown)}; there are {', '.join(chapter_names())}")
    asked = options.names or chapter_names()
    names = asked if options.force else [name for name in asked if name in stale_chapters()]
    if not names:
        print("nothing changed since the chapters were last executed")
    elif failed := execute_all(names, options.workers):
        sys.exit(f"not executed: {', '.join(sorted(failed))}")


if __name__ == "__main__":
    main()
