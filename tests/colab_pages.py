"""Small references and small chapters for the tests of the Colab copies."""

from pathlib import Path

from colab_copies import convert
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from origin import Origin

CHAPTERS = Path(__file__).resolve().parents[1] / "book" / "chapters"
NAMES = sorted(path.stem for path in CHAPTERS.glob("*.md"))
SITE = "https://example.org/course"
PUBLISHED = Origin(SITE, "someone/course", "companion-0.1.0+1a2b3c4d-py3-none-any.whl", "0.1.0+1a2b3c4d")
UNPUBLISHED = Origin(None, None, PUBLISHED.wheel, PUBLISHED.version)
REFERENCES = {
    "cite": {
        "b2019": {"place": 1, "textual": "Bo et al. [2019]", "parenthetical": "[Bo et al., 2019]", "url": "bib.html#b"},
        "a2014": {"place": 0, "textual": "Abe [2014]", "parenthetical": "[Abe, 2014]", "url": "bib.html#a"},
    },
    "doc": {
        "chapters/one": {"text": "One", "url": "chapters/one.html", "number": "1"},
        "chapters/two": {"text": "Two", "url": "chapters/two.html", "number": "2"},
        "notation": {"text": "Notation", "url": "notation.html"},
    },
    "eq": {"one-objective": {"text": "(1)", "url": "chapters/one.html#equation-one-objective"}},
    "numref": {"fig-one": {"text": "Fig. 1.1", "url": "chapters/one.html#fig-one"}},
    "prf": {
        "thm-a": {"text": "Theorem 1.1", "url": "chapters/one.html#thm-a"},
        "def-a": {"text": "Definition 1.2", "url": "chapters/one.html#def-a"},
    },
    "py": {"companion.VAE.fit": {"text": "companion.VAE.fit", "url": "api.html#companion.VAE.fit"}},
    "ref": {
        "sec-a": {"text": "A section", "url": "chapters/one.html#sec-a"},
        "ex-a": {"text": "Exercise 1.1", "url": "chapters/one.html#ex-a"},
    },
}
PACKAGE = {
    "companion/part.py": "import x\n\n\ndef f():\n    a = 1\n    b = 2\n    return a\n\n\ndef g():\n    return 3\n"
}


def chapter(*cells):
    """A chapter that begins with its title; text stands for a Markdown cell."""
    made = [new_markdown_cell(cell) if isinstance(cell, str) else cell for cell in ("# One\n\nOpening.", *cells)]
    for number, cell in enumerate(made):
        cell.id = f"c{number}"
    return new_notebook(cells=made)


def code(source, *outputs, **metadata):
    """A code cell that was executed."""
    return new_code_cell(source, outputs=list(outputs), metadata=metadata, execution_count=1)


def glued(name, value):
    """What `glue` leaves in a notebook."""
    mime = "application/papermill.record/text/plain"
    return new_output("display_data", {mime: value}, metadata={"scrapbook": {"name": name}})


def copied(*cells, origin=PUBLISHED):
    """The copy of a small chapter, without its first three cells: title, package, and the rest of the first cell."""
    return convert(chapter(*cells), "one", REFERENCES, PACKAGE, origin).cells[3:]


def converted(text, *cells, origin=PUBLISHED):
    """A Markdown cell as it stands in the copy."""
    return copied(text, *cells, origin=origin)[0].source
