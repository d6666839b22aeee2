"""A copy: the cells of a chapter, each converted, with three things added.

Its first cells say where its page is and install the package; every figure has its caption below it; the code of
solutions is a stub, whose output is dropped, as it would say "Correct". Everything else keeps its outputs.
"""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from colab_copies import fences, solutions
from colab_copies.directives import DIRECTIVES, folded
from colab_copies.figures import caption
from colab_copies.first_cell import first_cell
from colab_copies.leftovers import leftovers
from colab_copies.page import Page, glued_values
from colab_copies.roles import ROLES

__all__ = ["convert", "convert_all"]

KERNELSPEC = {"display_name": "Python 3", "language": "python", "name": "python3"}
BEHIND_THE_PAGE = '#@title What stands behind the text (the page does not show it) { display-mode: "form" }'
GLUE = "application/papermill.record/"
GATES = {"exercise-start", "exercise-end", "solution-start", "solution-end"}
HEADING = re.compile(r"^# .+$", re.MULTILINE)


def convert(notebook, name, references, package_files, origin):
    """The copy of a chapter.

    Args:
        notebook: the executed notebook of the chapter; it is not changed.
        name: the chapter, such as "trick".
        references: the content of `references.json`.
        package_files: the sources of the package, a mapping of "companion/..." to text.
        origin: an `origin.Origin`.

    Raises:
        ConversionError: if the chapter holds something that the converter does not know, or a label without a target.
    """
    page = Page(name, references, package_files, origin, glued_values(notebook), ROLES, DIRECTIVES)
    gates, cells = _Gates(), []
    for number, cell in enumerate(notebook.cells, 1):
        here = page.at_cell(number)
        if cell.cell_type == "markdown":
            made = _markdown_cells(here, cell, gates)
        else:
            made = _code_cells(here, cell, gates, notebook.cells[number:])
        _expect_no_leftovers(here, made)
        cells += made
    if gates.inside:
        raise page.at_cell(len(notebook.cells)).error(1, f"the {gates.inside} of {gates.label} is never closed")
    metadata = {"kernelspec": KERNELSPEC, "colab": {"name": f"{name}.ipynb", "provenance": [], "toc_visible": True}}
    return new_notebook(cells=[*_beginning(page, cells), *cells], metadata=metadata)


def convert_all(chapters_folder, references_path, out_folder, origin):
    """Write `out_folder/NAME.ipynb` for each chapter of the table of contents; returns the paths.

    Args:
        chapters_folder: `book/chapters`; the table of contents and the package are found from there.
        references_path: the `references.json` of a build of the site.
        out_folder: where the copies go; notebooks that are there and belong to no chapter are removed.
        origin: an `origin.Origin`.
    """
    chapters_folder, out_folder = Path(chapters_folder), Path(out_folder)
    references = json.loads(Path(references_path).read_text())
    package_files = read_package(chapters_folder.parents[1])
    copies = {
        name: convert(nbformat.read(chapters_folder / f"{name}.ipynb", 4), name, references, package_files, origin)
        for name in chapters_of(chapters_folder.parent / "_toc.yml")
    }
    out_folder.mkdir(parents=True, exist_ok=True)
    for old in out_folder.glob("*.ipynb"):
        old.unlink()
    paths = [out_folder / f"{name}.ipynb" for name in copies]
    for path, copy in zip(paths, copies.values(), strict=True):
        nbformat.validate(copy)
        path.write_text(nbformat.writes(copy) + "\n", encoding="utf-8")
    return paths


def chapters_of(contents):
    """The chapters that a table of contents names, in its order."""
    parts = yaml.safe_load(Path(contents).read_text())["parts"]
    files = [chapter["file"] for part in parts for chapter in part["chapters"]]
    return [file.removeprefix("chapters/") for file in files if file.startswith("chapters/")]


def read_package(folder):
    """The sources of the package in a folder: a mapping of "companion/..." to text."""
    return {path.relative_to(folder).as_posix(): path.read_text() for path in sorted(folder.glob("companion/**/*.py"))}


@dataclass
class _Gates:
    """Which gated directive is open, and the label of its exercise; the gates of one may stand in several cells."""

    inside: str = ""
    label: str = ""
    parts: list = field(default_factory=list)

    def pass_through(self, page, directive):
        """Open or close."""
        what, _, side = directive.name.partition("-")
        if side == "start" and self.inside:
            raise page.error(directive.line, f"{{{directive.name}}} inside of the {self.inside} of {self.label}")
        if side == "end" and self.inside != what:
            raise page.error(directive.line, f"{{{directive.name}}} without {{{what}-start}}")
        self.inside = what if side == "start" else ""
        if side == "start":
            self.label = directive.argument if what == "solution" else directive.options.get("label", "")


def _markdown_cells(page, cell, gates):
    """A Markdown cell converted, or none if nothing is left of it."""
    lines, done = cell.source.split("\n"), []
    for part, first, inside, label in _parts(page, lines, gates):
        converted = page.text(part, first)
        done += _solution(page, converted, label, first) if inside == "solution" else converted
    source = re.sub(r"\n{3,}", "\n\n", "\n".join(done)).strip()
    return [new_markdown_cell(source, id=cell.id, metadata={})] if source else []


def _parts(page, lines, gates):
    """The lines between gates: (lines, number of the first, what they are inside of, its label).

    The start of an exercise belongs to the exercise; the other gates vanish.
    """
    first = 1
    try:
        found = [block for block in fences.blocks(lines) if getattr(block, "name", None) in GATES]
    except fences.Unclosed as error:
        raise page.error(error.line, str(error)) from None
    for block in found:
        yield lines[first - 1 : block.line - 1], first, gates.inside, gates.label
        gates.pass_through(page, block)
        first = block.body_line + len(block.body) + 1
        if block.name == "exercise-start":
            yield lines[block.line - 1 : first - 1], block.line, gates.inside, gates.label
        elif any(text.strip() for text in block.body):
            raise page.error(block.body_line, f"{{{block.name}}} has text inside; it goes below the gate")
    yield lines[first - 1 :], first, gates.inside, gates.label


def _solution(page, lines, label, line):
    """The words of a solution, folded, and where its code is."""
    if not any(text.strip() for text in lines):
        return []
    found = page.look_up("ref", label, line)
    if page.origin.site_url:
        lines = [*lines, "", page.link("The solution with its code is on the page.", found["url"])]
    return folded("Solution, in words", lines)


def _code_cells(page, cell, gates, later):
    """A code cell, and its caption if it draws a figure."""
    copy = new_code_cell(cell.source, id=cell.id, metadata={}, execution_count=cell.execution_count)
    copy.outputs = [output for output in cell.outputs if not _is_glue(output)]
    if gates.inside == "solution" and not solutions.has_solution(cell.source):
        raise page.error(1, f"a code cell in the solution of {gates.label} has no markers, and would tell it")
    if solutions.has_solution(cell.source):
        copy.source = _stub(page, cell, gates, later)
        copy.outputs, copy.execution_count = [], None
    elif "remove-cell" in cell.metadata.get("tags", []):
        copy.source = f"{BEHIND_THE_PAGE}\n{cell.source}"
        copy.metadata["cellView"] = "form"
    text = caption(page, cell)
    return [copy] if text is None else [copy, new_markdown_cell(text, id=f"{cell.id}-caption", metadata={})]


def _stub(page, cell, gates, later):
    if gates.inside != "solution":
        raise page.error(1, "the markers of a solution stand outside of a solution")
    exercise = page.look_up("ref", gates.label, 1)["text"]
    try:
        return solutions.stub(cell.source, exercise, [other.source for other in later if other.cell_type == "code"])
    except (ValueError, SyntaxError) as error:
        raise page.error(1, f"the solution of {gates.label}: {error}") from None


def _is_glue(output):
    return any(mime.startswith(GLUE) for mime in output.get("data", {}))


def _beginning(page, cells):
    """The first cells: the title, which is taken away from the first one, where the page is, and the package."""
    title = HEADING.match(cells[0].source) if cells and cells[0].cell_type == "markdown" else None
    if title is None:
        raise page.at_cell(1).error(1, "expected the chapter to begin with its title, # ...")
    cells[0].source = cells[0].source[title.end() :].strip()
    if not cells[0].source:
        del cells[0]
    install = new_code_cell(first_cell(page.origin, page.name), id="install", metadata={"cellView": "form"})
    return [
        new_markdown_cell(f"{title[0]}\n\n{_where_from(page)}", id="title", metadata={}),
        install,
    ]


def _where_from(page):
    """What a reader should know before running this copy."""
    chapter = page.look_up("doc", f"chapters/{page.name}", 1)
    where = f"chapter {chapter['number']}" if chapter.get("number") else "a chapter"
    if not page.origin.site_url:
        return f"*This is the notebook of {where}, to run and to change. Run the next cell first.*"
    on_its_page = page.link("on its page", chapter["url"])
    return (
        f"*Read this chapter {on_its_page}, where the solutions have their code. This is the notebook of {where}, "
        "to run and to change. Run the next cell first. 'Run all' stops at the first exercise: its stub is yours to "
        "fill.*"
    )


def _expect_no_leftovers(page, cells):
    for cell in cells:
        if cell.cell_type == "markdown" and (found := leftovers(cell.source)):
            raise page.error(1, f"the copy would show {found[0]}")
