"""The chapters: what is published is what was executed, and every chapter holds what CONTRIBUTING.md asks for.

Each check is run twice: on every chapter, where it must find nothing, and on a planted error, which it must find.
"""

import re
from pathlib import Path

import book_checks as checks
import claims
import nbformat
import notebooks
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

BOOK = Path(__file__).resolve().parents[1] / "book"
CHAPTERS = BOOK / "chapters"
NAMES = sorted({path.stem for path in CHAPTERS.iterdir() if path.suffix in {".md", ".ipynb"}})
BIBLIOGRAPHY = (BOOK / "references.bib").read_text()


def executed(name):
    """The committed notebook of a chapter."""
    return nbformat.read(CHAPTERS / f"{name}.ipynb", as_version=4)


def code(source, *outputs, count=1, **metadata):
    """A code cell for a planted error."""
    return new_code_cell(source, outputs=list(outputs), execution_count=count, metadata=metadata)


def shown(**data):
    """An output that displays something; `image_png` stands for the type image/png."""
    return new_output("display_data", data={mime.replace("_", "/", 1): value for mime, value in data.items()})


def of(*cells):
    """A notebook of some cells."""
    return new_notebook(cells=list(cells))


def exercise(
    label, solution="### BEGIN SOLUTION\nx = 1\n### END SOLUTION\ncheck.check_x(x)", how="`check.check_x(x)`."
):
    """The cells of an exercise and its solution."""
    task = f"Do.\n\nCheck your answer with {how}"
    return (
        new_markdown_cell(f"```{{exercise-start}} A title\n:label: {label}\n```\n{task}\n\n```{{exercise-end}}\n```"),
        new_markdown_cell(f"```{{solution-start}} {label}\n:class: dropdown\n```"),
        code(solution),
        new_markdown_cell("```{solution-end}\n```"),
    )


def exercises(number):
    """The cells of some good exercises."""
    return [cell for index in range(number) for cell in exercise(f"ex-{index}")]


INTERACTIVE = "<script>vegaEmbed(div, {})</script>"

# One line a check: the check, and notebooks with an error that it must find.
NOTEBOOK_CHECKS = [
    (
        checks.not_executed_in_order,
        [of(code("1", count=None)), of(code("1"), code("2", count=3)), of(code("1", count=2))],
    ),
    (
        checks.errors_or_noise,
        [
            of(code("1", new_output("stream", name="stderr", text="W0000 cuda"))),
            of(code("1 / 0", new_output("error", ename="ZeroDivisionError", evalue="", traceback=[]))),
        ],
    ),
    (
        checks.machine_in_outputs,
        [
            of(code("f", new_output("stream", name="stdout", text="saved to /tmp/abc/model.keras"))),
            of(code("f", shown(text_plain="<Chart object at 0x7f12ab34cd>"))),
            of(code("f", shown(text_html="<a href='C:\\Users'>"))),
        ],
    ),
    (checks.ignored_without_assertion, [of(code("draw()", tags=["nbval-ignore-output"]))]),
    (checks.trailing_semicolons, [of(code("plot(x);")), of(code("x = 1;  # quiet\nx"))]),
    (
        checks.installs,
        [of(code("%pip install tensorflow")), of(code("import os\n!pip install -q x")), of(code("!conda install x"))],
    ),
    (checks.long_cells, [of(code("x = 1\n" * 26))]),
    (
        checks.images_without_alternative,
        [
            of(code("f", shown(image_png="iVBOR"))),
            of(code("f", shown(image_png="iVBOR"), mystnb={"image": {"alt": " "}})),
            of(code("f", new_output("display_data", data={"application/papermill.record/image/png": "iVBOR"}))),
        ],
    ),
    (checks.interactive_without_description, [of(code("f", shown(text_html=INTERACTIVE)))]),
    (checks.no_interactive_figure, [of(code("f", shown(image_png="iVBOR")))]),
    (checks.missing_sections, [of(new_markdown_cell("# A chapter\n\n## Exercises"))]),
    (
        checks.exercise_problems,
        [
            of(*exercises(3)),
            of(*exercises(4), *exercise("ex-unmarked", "x = 1")),
            of(*exercises(4), *exercise("ex-unsolved")[:1]),
            of(*exercises(4), new_markdown_cell("```{exercise}\nWithout a label.\n```")),
        ],
    ),
    (
        checks.checks_not_as_stated,
        [
            of(*exercise("ex-a", how="`check.check_x(y)`.")),
            of(*exercise("ex-a", how="`check.check_y(x)`.")),
            of(*exercise("ex-a", how="`check.check_x(x, y)`, where `y` is a number.")),
            of(*exercise("ex-a", how="`check.check_x(y)`, where `z` is a number.")),
        ],
    ),
]
CHECK_NAMES = [check.__name__ for check, _ in NOTEBOOK_CHECKS]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("check", [check for check, _ in NOTEBOOK_CHECKS], ids=CHECK_NAMES)
def test_chapter(check, name):
    assert not check(executed(name))


@pytest.mark.parametrize(("check", "planted"), NOTEBOOK_CHECKS, ids=CHECK_NAMES)
def test_planted_error_is_found(check, planted):
    for notebook in planted:
        assert check(notebook)


def test_a_stated_check_may_explain_its_argument():
    assert not checks.checks_not_as_stated(of(*exercise("ex-a", how="`check.check_x(y)`, where `y` is a number.")))


def test_good_notebook_passes_every_check():
    opening = "You will be able to:\n\n## Common mistakes\n\n## Exercises"
    notebook = of(
        new_markdown_cell(opening),
        code("f", shown(text_html=INTERACTIVE.replace("{}", '{"description": "A curve."}'))),
        code("assert f", shown(image_png="iVBOR"), mystnb={"image": {"alt": "A curve."}}, tags=["nbval-ignore-output"]),
        *exercises(4),
        new_markdown_cell("## What to remember\n\n## Further reading\n\nSee the web."),
    )
    for number, cell in checks.code_cells(notebook):
        cell.execution_count = number
    assert [check(notebook) for check, _ in NOTEBOOK_CHECKS] == [[]] * len(NOTEBOOK_CHECKS)


@pytest.mark.parametrize("name", NAMES)
def test_pair_has_not_drifted(name):
    text = notebooks.read_text((CHAPTERS / f"{name}.md").read_text())
    assert not checks.drift(text, executed(name))


def test_drift_is_found():
    text = "# Title\n\n```{code-cell} ipython3\nx = 1\n```\n"
    notebook = notebooks.blank_notebook(text)
    assert not checks.drift(notebooks.read_text(text), notebook)
    notebook.cells[1].source = "x = 2"
    assert checks.drift(notebooks.read_text(text), notebook)
    assert checks.drift(notebooks.read_text(text + "\nMore.\n"), notebooks.blank_notebook(text))
    retagged = text.replace("x = 1", ":tags: [nbval-ignore-output]\nx = 1")
    assert checks.drift(notebooks.read_text(retagged), notebooks.blank_notebook(text))


def test_every_chapter_was_executed_with_this_text_and_package():
    assert not notebooks.stale_chapters(), "run make notebooks"


def test_changed_text_or_package_is_stale(tmp_path):
    chapters, package = tmp_path / "chapters", tmp_path / "package"
    chapters.mkdir()
    package.mkdir()
    text, module = chapters / "one.md", package / "module.py"
    text.write_text("# One\n")
    module.write_text("x = 1\n")
    (chapters / "one.ipynb").write_text("{}")
    entry = {"fingerprint": notebooks.fingerprint("# One\n", package), "seconds": 1}
    notebooks.write_manifest({"one": entry, "gone": entry}, chapters)
    assert notebooks.read_manifest(chapters).keys() == {"one"}
    assert not notebooks.stale_chapters(chapters, package)
    module.write_text("x = 2\n")
    assert notebooks.stale_chapters(chapters, package) == ["one"]
    module.write_text("x = 1\n")
    text.write_text("# Two\n")
    assert notebooks.stale_chapters(chapters, package) == ["one"]


@pytest.mark.parametrize("name", NAMES)
def test_text_is_as_jupytext_writes_it(name):
    text = (CHAPTERS / f"{name}.md").read_text()
    assert notebooks.normal_text(text) == text, "run make notebooks"


def test_identifiers_of_cells_follow_from_their_content():
    text = "# Title\n\n```{code-cell} ipython3\nx\n```\n\n```{code-cell} ipython3\nx\n```\n"
    identifiers = [cell.id for cell in notebooks.blank_notebook(text).cells]
    assert identifiers == [cell.id for cell in notebooks.blank_notebook(text).cells]
    assert len(set(identifiers)) == len(identifiers)


def test_every_page_is_in_the_table_of_contents():
    contents = yaml.safe_load((BOOK / "_toc.yml").read_text())
    pages = {
        path.relative_to(BOOK).with_suffix("").as_posix()
        for path in [*BOOK.rglob("*.md"), *BOOK.rglob("*.ipynb")]
        if not {"_build", ".ipynb_checkpoints", "_assets"} & set(path.relative_to(BOOK).parts)
    }
    assert not checks.not_in_contents(pages, contents)
    assert checks.not_in_contents(pages | {"chapters/forgotten"}, contents)


def test_no_function_is_defined_on_two_pages():
    assert not checks.defined_twice({name: executed(name) for name in NAMES})


def test_second_definition_is_found():
    one, two = of(code("def f():\n    pass")), of(code("%time\nif True:\n    def f():\n        pass"))
    assert checks.defined_twice({"one": one, "two": two}) == ["f is defined in one, two"]


@pytest.mark.parametrize("name", NAMES)
def test_citations_are_in_the_bibliography(name):
    assert not checks.unknown_citations(executed(name), BIBLIOGRAPHY)


def test_unknown_citation_is_found():
    page = of(new_markdown_cell("See {cite:t}`kingma2014` and {cite:p}`price1958, nobody1900`."))
    assert checks.unknown_citations(page, BIBLIOGRAPHY) == ["nobody1900 is cited and not in references.bib"]


STATEMENTS = claims.statements_of_book(CHAPTERS)
VERIFICATIONS = claims.verifications_of(Path(__file__).parent)


def test_every_labelled_statement_has_a_test():
    assert not claims.unverified(STATEMENTS, VERIFICATIONS)


def test_every_mark_names_a_labelled_statement():
    assert not claims.unknown(STATEMENTS, VERIFICATIONS)


def test_labels_of_statements_are_unique():
    labels = [statement.label for statement in STATEMENTS]
    assert sorted(set(labels)) == sorted(labels)


def test_claims_and_tests_are_matched_in_both_directions():
    text = ":::{prf:theorem} A *title*\n:class: wide\n:label: thm-a\nx\n:::\n\n"
    text += "```{prf:definition}\n:label: def-b\n```\n\n```{prf:example} No claim\n:label: ex-c\n```\n"
    statements = claims.statements_in(text, "trick")
    assert statements == [
        claims.Statement("thm-a", "theorem", "A *title*", "trick"),
        claims.Statement("def-b", "definition", "", "trick"),
    ]
    source = "import pytest\n\n@pytest.mark.verifies('thm-a', 'thm-z')\ndef test_a():\n    pass\n"
    tests = {}
    for label, test in claims.verifications_in(source, "test_x.py"):
        tests.setdefault(label, []).append(test)
    assert tests["thm-a"] == ["test_x.py::test_a"]
    assert claims.unverified(statements, tests) == ["def-b"]
    assert claims.unknown(statements, tests) == ["thm-z"]


def test_list_of_claims():
    trick = "# The trick\n\n```{prf:theorem} The first\n:label: thm-a\n```\n\n```{prf:definition}\n:label: def-b\n```\n"
    vae = "# Autoencoders\n\n```{prf:proposition} The last\n:label: prop-c\n```\n"
    verified = {"thm-a": ["test_x.py::test_a", "test_y.py::test_b"], "prop-c": ["test_x.py::test_c"]}
    assert claims.list_of_claims({"trick": trick, "vae": vae}, verified) == [
        "## {doc}`The trick </chapters/trick>`",
        "",
        "{prf:ref}`thm-a` The first",
        ": `test_x.py::test_a`",
        ": `test_y.py::test_b`",
        "",
        "{prf:ref}`def-b`",
        "",
        "## {doc}`Autoencoders </chapters/vae>`",
        "",
        "{prf:ref}`prop-c` The last",
        ": `test_x.py::test_c`",
        "",
    ]
    published = claims.list_of_claims({"vae": vae}, verified, "owner/course")
    assert published[3] == ": [`test_x.py::test_c`](https://github.com/owner/course/blob/main/tests/test_x.py)"


def test_no_chapter_is_promised():
    for name in NAMES:
        assert not re.search(r"[Cc]hapters? to come", (CHAPTERS / f"{name}.md").read_text())
