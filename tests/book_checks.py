"""What must hold of every chapter, as functions from a notebook to a list of problems.

Contract: a check takes a `nbformat` notebook (and, where it says so, something to compare with) and returns one
sentence for each problem, or an empty list. Nothing here reads a file, so `test_book.py` can hand each check a
notebook with a planted error and see that it is found.
"""

import ast
import json
import re

LONGEST_CELL = 25
FEWEST_EXERCISES = 4
SECTIONS = {
    "the objectives (a sentence with 'you will be able to')": r"(?i)\byou will be able to\b",
    "a section 'Common mistakes'": r"(?im)^#{2,3} .*common mistakes",
    "a section 'Exercises'": r"(?im)^#{2,3} .*exercises",
    "a section 'What to remember'": r"(?im)^#{2,3} .*what to remember",
    "a section 'Further reading'": r"(?im)^#{2,3} .*further reading",
}
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:home|root|Users|tmp|opt|work|usr|var|mnt|private|content)/\w|\b[A-Z]:\\\w")
ADDRESS_IN_MEMORY = re.compile(r"\bat 0x[0-9a-f]{6,}")
INSTALL = re.compile(r"^\s*[!%]*\s*(?:python3? -m )?(?:pip3?|conda|mamba|uv)\s+(?:install|add|pip)\b", re.MULTILINE)
CITATION = re.compile(r"\{cite(?::\w+)*\}`([^`]+)`")
BIB_KEY = re.compile(r"^@\w+\{\s*([^,\s]+)\s*,", re.MULTILINE)
DIRECTIVE = re.compile(r"^(?:`{3,}|:{3,})\s*\{(exercise|solution)(-start|-end)?\}[ \t]*([^\n]*)", re.MULTILINE)
STATED_CHECK = re.compile(r"Check your answer with `(check\.\w+\(.*?\))`(.*)")
LABEL = re.compile(r"\n(?:[ \t]*:[\w-]+:[^\n]*\n)*?[ \t]*:label:[ \t]*(\S+)")


def code_cells(notebook):
    """Pairs (number, cell) of the code cells, numbered from 1 as a reader counts them."""
    return list(enumerate((cell for cell in notebook.cells if cell.cell_type == "code"), start=1))


def prose(notebook):
    """All Markdown of a notebook."""
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def tags(cell):
    """The tags of a cell."""
    return cell.metadata.get("tags", [])


def output_texts(cell):
    """Every text that a code cell's outputs hold, images left out."""
    for output in cell.outputs:
        if output.output_type == "stream":
            yield output.text
        for mime, data in output.get("data", {}).items():
            if not mime.startswith("image/png"):
                yield data if isinstance(data, str) else json.dumps(data)


def is_interactive(output):
    """Whether an output is an interactive figure of Altair's."""
    return "vegaEmbed" in output.get("data", {}).get("text/html", "")


# Execution ---------------------------------------------------------------------------------------------------


def not_executed_in_order(notebook):
    """Code cells that were not run, or not from top to bottom in a fresh kernel."""
    return [
        f"code cell {number} has execution count {cell.execution_count}"
        for number, cell in code_cells(notebook)
        if cell.execution_count != number
    ]


def errors_or_noise(notebook):
    """Stored errors and stored stderr (TensorFlow's log lines, warnings, progress bars)."""
    return [
        f"code cell {number} stores {output.get('name', output.output_type)}"
        for number, cell in code_cells(notebook)
        for output in cell.outputs
        if output.output_type == "error" or output.get("name") == "stderr"
    ]


def machine_in_outputs(notebook):
    """Paths of a machine and addresses in memory: no two machines agree on them."""
    return [
        f"code cell {number} prints {found.group()!r}"
        for number, cell in code_cells(notebook)
        for text in output_texts(cell)
        for found in [MACHINE_PATH.search(text) or ADDRESS_IN_MEMORY.search(text)]
        if found
    ]


def ignored_without_assertion(notebook):
    """Cells whose output nbval does not compare, and which assert nothing instead."""
    return [
        f"code cell {number} is tagged nbval-ignore-output and has no assert"
        for number, cell in code_cells(notebook)
        if "nbval-ignore-output" in tags(cell) and not re.search(r"^\s*assert\b|\bassert_", cell.source, re.MULTILINE)
    ]


# Code --------------------------------------------------------------------------------------------------------


def trailing_semicolons(notebook):
    """Lines that end in a semicolon: it hides an output from Jupyter and from nbval's comparison."""
    return [
        f"code cell {number} has a line that ends in ';': {line.strip()}"
        for number, cell in code_cells(notebook)
        for line in cell.source.splitlines()
        if line.split("#")[0].rstrip().endswith(";")
    ]


def installs(notebook):
    """Cells that install something."""
    cells = code_cells(notebook)
    return [f"code cell {number} installs packages" for number, cell in cells if INSTALL.search(cell.source)]


def long_cells(notebook):
    """Code cells too long to take in at a glance; blank lines are free."""
    return [
        f"code cell {number} has {length} lines, more than {LONGEST_CELL}"
        for number, cell in code_cells(notebook)
        for length in [sum(bool(line.strip()) for line in cell.source.splitlines())]
        if length > LONGEST_CELL
    ]


def defined_names(notebook):
    """The functions and classes that a chapter defines."""
    names = set()
    for _, cell in code_cells(notebook):
        python = [line for line in cell.source.splitlines() if not line.lstrip().startswith(("%", "!"))]
        definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        names |= {node.name for node in ast.walk(ast.parse("\n".join(python))) if isinstance(node, definitions)}
    return names


def defined_twice(notebooks):
    """Functions that several chapters define; takes a mapping of chapter names to notebooks."""
    pages = {}
    for chapter, notebook in notebooks.items():
        for name in defined_names(notebook):
            pages.setdefault(name, []).append(chapter)
    twice = {name: sorted(where) for name, where in sorted(pages.items()) if len(where) > 1}
    return [f"{name} is defined in {', '.join(where)}" for name, where in twice.items()]


# Figures -----------------------------------------------------------------------------------------------------


def images_without_alternative(notebook):
    """Images without alternative text, and images shown by glue, which can carry none."""
    problems = []
    for number, cell in code_cells(notebook):
        mimes = [mime for output in cell.outputs for mime in output.get("data", {})]
        alternative = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
        if any(mime.startswith("image/") for mime in mimes) and not alternative.strip():
            problems.append(f"code cell {number} shows an image without mystnb: image: alt:")
        if any(mime.startswith("application/papermill.record/image") for mime in mimes):
            problems.append(f"code cell {number} glues an image; show it where it is made")
    return problems


def interactive_without_description(notebook):
    """Interactive figures whose specification has no description, which is their alternative text."""
    return [
        f"code cell {number} shows an interactive figure without a description"
        for number, cell in code_cells(notebook)
        for output in cell.outputs
        if is_interactive(output) and not re.search(r'"description": "[^"]', output["data"]["text/html"])
    ]


def no_interactive_figure(notebook):
    """A chapter without a figure that moves."""
    outputs = [output for _, cell in code_cells(notebook) for output in cell.outputs]
    return [] if any(map(is_interactive, outputs)) else ["the chapter has no interactive figure"]


# Text --------------------------------------------------------------------------------------------------------


def missing_sections(notebook):
    """Parts that every chapter has."""
    text = prose(notebook)
    return [f"the chapter lacks {what}" for what, pattern in SECTIONS.items() if not re.search(pattern, text)]


def solutions(notebook):
    """A mapping of exercise labels to the code between the solution's start and end."""
    found, current = {}, None
    for cell in notebook.cells:
        if cell.cell_type == "code":
            if current is not None:
                found[current] += cell.source + "\n"
            continue
        for kind, part, argument in DIRECTIVE.findall(cell.source):
            if kind == "solution":
                current = None if part == "-end" else argument.strip()
                if current is not None:
                    found[current] = ""
                if part == "":
                    current = None
    return found


def exercise_labels(notebook):
    """The labels of the exercises, in order; an exercise without one counts as an empty label."""
    text = prose(notebook)
    starts = [match for match in DIRECTIVE.finditer(text) if match[1] == "exercise" and match[2] != "-end"]
    labels = [LABEL.match(text, match.end()) for match in starts]
    return [label[1] if label else "" for label in labels]


def exercise_problems(notebook):
    """Too few exercises, or one without a label, a solution or marked code in its solution."""
    labels, solved = exercise_labels(notebook), solutions(notebook)
    problems = []
    if len(labels) < FEWEST_EXERCISES:
        problems.append(f"the chapter has {len(labels)} exercises, fewer than {FEWEST_EXERCISES}")
    for label in labels:
        code = solved.get(label)
        if not label:
            problems.append("an exercise has no label")
        elif code is None:
            problems.append(f"exercise {label} has no solution")
        elif not re.search(r"### BEGIN SOLUTION\n[\s\S]*?### END SOLUTION", code):
            problems.append(f"the solution of {label} has no code cell with ### BEGIN SOLUTION ... ### END SOLUTION")
    return problems


def checks_not_as_stated(notebook):
    """Exercises whose text states another call of its check than the solution makes.

    A stated argument may differ if the text goes on to say what it is: "`check.check_x(f)`, where `f` is ...".
    """
    solved, text = solutions(notebook), prose(notebook)
    starts = [match for match in DIRECTIVE.finditer(text) if match[1] == "exercise" and match[2] != "-end"]
    problems = []
    for start, label in zip(starts, exercise_labels(notebook), strict=True):
        stated = STATED_CHECK.search(text, start.end(), text.find("{exercise-end}", start.end()))
        if not stated:
            continue
        name, *wanted = call_parts(ast.parse(stated[1], mode="eval").body)
        calls = [call_parts(node) for node in ast.walk(ast.parse(solved.get(label, ""))) if isinstance(node, ast.Call)]
        made = [call for call in calls if call[0] == name and len(call) == len(wanted) + 1]
        explained = {each for each in wanted if f"where `{each}" in stated[2]}
        if not any(all(a == b or a in explained for a, b in zip(wanted, call[1:], strict=True)) for call in made):
            problems.append(f"exercise {label} states {stated[1]}, which its solution does not call")
    return problems


def call_parts(call):
    """The function of a call and its arguments, as source text."""
    return [ast.unparse(part) for part in (call.func, *call.args)]


def unknown_citations(notebook, bibliography):
    """Citation keys that the text of a bibliography does not define."""
    known = set(BIB_KEY.findall(bibliography))
    cited = {key.strip() for keys in CITATION.findall(prose(notebook)) for key in keys.split(",")}
    return [f"{key} is cited and not in references.bib" for key in sorted(cited - known)]


# The pair and the table of contents --------------------------------------------------------------------------


def essence(notebook):
    """What a text and its notebook share: kinds, sources and kept metadata of the cells."""
    return [
        (cell.cell_type, cell.source.strip(), sorted(tags(cell)), cell.metadata.get("mystnb", {}))
        for cell in notebook.cells
    ]


def drift(text, notebook):
    """Where a text (read as a notebook) and its executed notebook differ."""
    ours, theirs = essence(text), essence(notebook)
    if len(ours) != len(theirs):
        return [f"the text has {len(ours)} cells and the notebook {len(theirs)}: run make notebooks"]
    return [
        f"cell {number} differs: run make notebooks"
        for number, (mine, other) in enumerate(zip(ours, theirs, strict=True), start=1)
        if mine != other
    ]


def pages_of_contents(entry):
    """Every page that a table of contents names, at any depth."""
    if isinstance(entry, dict):
        named = [entry[key] for key in ("root", "file") if key in entry]
        return named + [page for value in entry.values() for page in pages_of_contents(value)]
    return [page for item in entry for page in pages_of_contents(item)] if isinstance(entry, list) else []


def not_in_contents(pages, contents):
    """Pages that exist and that no reader can reach."""
    return [f"{page} is not in _toc.yml" for page in sorted(set(pages) - set(pages_of_contents(contents)))]
