"""Documents the package from its docstrings, which are written to be read as plain text.

Three things stand between such docstrings and reStructuredText: `[num_samples, *event]` looks like emphasis,
`|x|` like a substitution, and "The estimate of E f(z): the mean" on a property like a type and a description.
They are made literal or left alone here, so that no docstring needs a backslash.

The package is imported without TensorFlow's log lines. TensorFlow writes them from C++ to file descriptor 2
while it is imported, where no setting of Python reaches.
"""

import contextlib
import importlib
import os
import re
import sys

SHAPE = re.compile(r"\[[^\[\]`]*\*\w[^\[\]`]*\]")
LITERAL = re.compile(r"(`[^`]*`)")
BEFORE_NAPOLEON, AFTER_NAPOLEON = 400, 900


@contextlib.contextmanager
def silent_stderr():
    """Point file descriptor 2 at nothing for a while."""
    sys.stderr.flush()
    kept = os.dup(2)
    nothing = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


def import_quietly(app, docname, source):
    """Import the package just before the first page that documents it is read."""
    if "automodule::" in source[0]:
        with silent_stderr():
            importlib.import_module("companion")


def as_text(line):
    """A line of a docstring with shapes as literals and bars that stay bars; examples are left alone."""
    if line.lstrip().startswith((">>>", "...", ".. ", ":")):
        return line
    parts = LITERAL.split(line)
    parts[::2] = [SHAPE.sub(r"``\g<0>``", part).replace("|", r"\|") for part in parts[::2]]
    return "".join(parts)


def read_plainly(app, what, name, obj, options, lines):
    """Rewrite a docstring in place, outside of its displayed formulas."""
    in_formula = False
    for number, line in enumerate(lines):
        if line.strip():
            in_formula = line.startswith(".. math::") or (in_formula and line.startswith(" "))
        if not in_formula:
            lines[number] = as_text(line)
    if what == "property":
        app.env.temp_data[f"docstring of {name}"] = list(lines)


def keep_colons(app, what, name, obj, options, lines):
    """Undo napoleon's reading of a property's sentence as "type: description"."""
    if what == "property":
        lines[:] = app.env.temp_data.pop(f"docstring of {name}")


def setup(app):
    """Listen for pages that are about to be read, and for docstrings on both sides of napoleon."""
    app.connect("source-read", import_quietly)
    app.connect("autodoc-process-docstring", read_plainly, priority=BEFORE_NAPOLEON)
    app.connect("autodoc-process-docstring", keep_colons, priority=AFTER_NAPOLEON)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
