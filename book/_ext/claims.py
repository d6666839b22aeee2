"""The labelled statements of the chapters and the tests that verify them.

A statement is a `{prf:theorem}`, `{prf:definition}`, ... with a `:label:` that begins with one of `PREFIXES`.
A test verifies it when it carries `@pytest.mark.verifies("<label>")`. The tests read both with the functions
below, and the directive `{claims}` lists them in the book.
"""

import ast
import re
from dataclasses import dataclass
from pathlib import Path

from origin import source_url
from registers import Register, heading

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


def linked(test, repository):
    """MyST of a test's name, which leads to its file if the repository is known."""
    address = source_url(repository, f"tests/{test.partition('::')[0]}")
    return f"[`{test}`]({address})" if address else f"`{test}`"


def list_of_claims(texts, verifications, repository=None):
    """The MyST text of all statements by chapter, each with the tests that verify it.

    `texts` maps a chapter's name to its text, in reading order.
    """
    lines = []
    for chapter, text in texts.items():
        lines += [heading(chapter, text), ""]
        for statement in statements_in(text, chapter):
            tests = (linked(test, repository) for test in verifications.get(statement.label, []))
            lines += [f"{{prf:ref}}`{statement.label}` {statement.title}".strip(), *(f": {test}" for test in tests), ""]
    return lines


class Claims(Register):
    """`{claims}`: every labelled statement and the tests that verify it."""

    def text(self):
        tests = Path(self.env.srcdir).parent / "tests"
        return list_of_claims(self.chapters(), verifications_of(tests), self.config.repository)


def always_outdated(app, env, added, changed, removed):
    """Read the page of claims in every build: it depends on tests, which Sphinx does not follow."""
    return [PAGE] if PAGE in env.found_docs else []


def setup(app):
    """Register the directive."""
    app.add_directive("claims", Claims)
    app.connect("env-get-outdated", always_outdated)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
