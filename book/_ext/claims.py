"""The labelled statements of the chapters and the tests that verify them.

A statement is a `{prf:theorem}`, `{prf:definition}`, ... with a `:label:` that begins with one of `PREFIXES`.
A test verifies it when it carries `@pytest.mark.verifies("<label>")`. The tests read both with the functions
below, and the directive `{claims}` writes them as a table into the book.
"""

import ast
import re
from dataclasses import dataclass
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

PREFIXES = ("thm", "prop", "def", "claim", "lem", "cor")
STATEMENT = re.compile(
    r"^(?P<fence>`{3,}|:{3,})\{prf:(?P<kind>\w+)\}[ \t]*(?P<title>[^\n]*)\n"
    r"(?:[ \t]*:(?!label:)[\w-]+:[^\n]*\n)*[ \t]*:label:[ \t]*(?P<label>\S+)",
    re.MULTILINE,
)
PAGE = "reference/claims"


@dataclass(frozen=True)
class Statement:
    """One labelled statement: where it is, what it is called."""

    label: str
    kind: str
    title: str
    chapter: str


def statements_in(text, chapter):
    """The labelled statements of a chapter's text, in reading order."""
    return [
        Statement(match["label"], match["kind"], match["title"].strip(), chapter)
        for match in STATEMENT.finditer(text)
        if match["label"].split("-")[0] in PREFIXES
    ]


def statements_of_book(chapters):
    """The labelled statements of a folder of chapters."""
    return [
        statement
        for path in sorted(Path(chapters).glob("*.md"))
        for statement in statements_in(path.read_text(), path.stem)
    ]


def marked_labels(decorators):
    """The labels in the `pytest.mark.verifies(...)` among some decorators."""
    for call in decorators:
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "pytest.mark.verifies":
            yield from (argument.value for argument in call.args if isinstance(argument, ast.Constant))


def verifications_in(source, where):
    """Pairs (label, test) of a test module; a marked class gives its label to the class's name."""
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return [
        (label, f"{where}::{node.name}")
        for node in ast.walk(ast.parse(source))
        if isinstance(node, definitions)
        for label in marked_labels(node.decorator_list)
    ]


def verifications_of(tests):
    """A mapping of each label to the tests of a folder that verify it."""
    found = {}
    for path in sorted(Path(tests).glob("test_*.py")):
        for label, test in verifications_in(path.read_text(), path.name):
            found.setdefault(label, []).append(test)
    return found


def unverified(statements, verifications):
    """Labels of statements without a test."""
    return [statement.label for statement in statements if not verifications.get(statement.label)]


def unknown(statements, verifications):
    """Labels that a test names and no chapter has."""
    return sorted(set(verifications) - {statement.label for statement in statements})


def table(statements, verifications):
    """The MyST text of the table of claims."""
    rows = ["| Statement | About | Chapter | Tests |", "|---|---|---|---|"]
    for statement in statements:
        tests = "<br>".join(f"`{test}`" for test in verifications.get(statement.label, []))
        rows.append(
            f"| {{prf:ref}}`{statement.label}` | {statement.title.replace('|', chr(92) + '|')} "
            f"| {{doc}}`/chapters/{statement.chapter}` | {tests} |"
        )
    return rows


class Claims(SphinxDirective):
    """`{claims}`: the table of every labelled statement and the tests that verify it."""

    def run(self):
        book = Path(self.env.srcdir)
        order = {page: place for place, page in enumerate(self.env.external_site_map)}
        statements = statements_of_book(book / "chapters")
        statements.sort(key=lambda statement: order[f"chapters/{statement.chapter}"])
        rows = table(statements, verifications_of(book.parent / "tests"))
        node = nodes.container(classes=["claims"])
        self.state.nested_parse(StringList(rows, source=self.env.doc2path(self.env.docname)), 0, node)
        return [node]


def always_outdated(app, env, added, changed, removed):
    """Read the page of claims in every build: it depends on tests, which Sphinx does not follow."""
    return [PAGE] if PAGE in env.found_docs else []


def setup(app):
    """Register the directive."""
    app.add_directive("claims", Claims)
    app.connect("env-get-outdated", always_outdated)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
