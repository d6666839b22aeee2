"""Solutions in the Colab copies: words are folded, code is a stub that fails with a sentence, and comes back."""

import ast

import nbformat
import pytest
from colab_copies import ConversionError, put_solutions_back, solutions
from colab_pages import (
    CHAPTERS,
    NAMES,
    PACKAGE,
    PUBLISHED,
    REFERENCES,
    SITE,
    UNPUBLISHED,
    chapter,
    code,
    convert,
    copied,
)
from nbformat.v4 import new_output

START = "```{exercise-start} By *hand*\n:label: ex-a\n```\nDo it.\n"
BETWEEN = "```{exercise-end}\n```\n\n```{solution-start} ex-a\n:class: dropdown\n```\nThink of $a$.\n"
END = "```{solution-end}\n```"
SOLUTION = "### BEGIN SOLUTION\ndef f(x):\n    return x\n### END SOLUTION\ncheck(f)"


def exercise(origin=PUBLISHED, source=SOLUTION, end=END):
    correct = new_output("stream", name="stdout", text="Correct.\n")
    return copied(START + "\n" + BETWEEN, code(source, correct), end + "\n\n## Next", origin=origin)


def test_exercise_and_its_words():
    words, stub, after = exercise()
    assert words.source == (
        f"### [Exercise 1.1]({SITE}/chapters/one.html#ex-a): By *hand*\n\nDo it.\n\n"
        "<details><summary>Solution, in words</summary>\n\nThink of $a$.\n\n"
        f"[The solution with its code is on the page.]({SITE}/chapters/one.html#ex-a)\n\n</details>"
    )
    assert stub.source.startswith("# Exercise 1.1: your answer\ndef f(x):\n")
    assert (stub.outputs, stub.execution_count) == ([], None)  # it would say "Correct"
    assert after.source == "## Next"
    assert "on the page" not in exercise(UNPUBLISHED)[0].source


def test_code_outside_of_the_markers_and_outputs_of_other_cells_stay():
    _, stub, _ = exercise(source=f"before = 1\n{SOLUTION}\nprint(before)")
    assert stub.source.startswith("before = 1\n# Exercise 1.1: your answer\n")
    assert stub.source.endswith("\ncheck(f)\nprint(before)")
    shown = new_output("stream", name="stdout", text="3\n")
    *_, other = copied(START + BETWEEN, code(SOLUTION), END, code("f(3)", shown))
    assert other.outputs == [shown]
    assert other.execution_count == 1


def test_words_may_stand_on_both_sides_of_the_code():
    *_, words = copied(START + BETWEEN, code(SOLUTION), f"And {{ref}}`sec-a`.\n\n{END}", origin=UNPUBLISHED)
    assert words.source == "<details><summary>Solution, in words</summary>\n\nAnd A section.\n\n</details>"


def test_gate_alone_in_a_cell_leaves_no_cell():
    assert [cell.cell_type for cell in copied(START + BETWEEN, code(SOLUTION), END)] == ["markdown", "code"]


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([START], "the exercise of ex-a is never closed"),
        ([END], "{solution-end} without {solution-start}"),
        ([START + START], "{exercise-start} inside of the exercise of ex-a"),
        ([code(SOLUTION)], "the markers of a solution stand outside of a solution"),
        ([START + BETWEEN, code("### BEGIN SOLUTION\nx = 1"), END], "expected one line ### BEGIN SOLUTION"),
        ([START + BETWEEN, code("### BEGIN SOLUTION\nx = (\n### END SOLUTION"), END], "the solution of ex-a"),
        ([START + BETWEEN.replace("Think", "```{solution-end}\nText\n```\nThink")], "has text inside"),
        ([(START + BETWEEN).replace("start} ex-a", "start} ex-z"), code(SOLUTION), END], "no ref with the label ex-z"),
    ],
)
def test_gates_that_do_not_match_are_an_error(cells, message):
    with pytest.raises(ConversionError) as caught:
        copied(*cells)
    assert message in str(caught.value)


def cut(solution, after, later=()):
    return solutions.stub(f"### BEGIN SOLUTION\n{solution}\n### END SOLUTION\n{after}", "Exercise 1.1", later)


def test_stub_of_a_function():
    assert cut('def f(a, *, b=1) -> int:\n    """What it is."""\n    return a', "check(f)") == (
        "# Exercise 1.1: your answer\n"
        "def f(a, *, b=1) -> int:\n"
        '    """What it is."""\n'
        '    raise NotImplementedError("Exercise 1.1: your code goes here")\n'
        "\n\n"
        "check(f)"
    )


def test_stub_of_values():
    assert cut("k = 2\nscale, loc = k, 3\nfor i in range(3):\n    k += i", "check(loc, scale)") == (
        "# Exercise 1.1: your answer\n"
        "scale = ...  # your answer\n"
        "loc = ...  # your answer\n"
        'assert scale is not ... and loc is not ..., "Exercise 1.1: your answer goes above"\n'
        "check(loc, scale)"
    )


def test_stub_keeps_what_is_used_below_only():
    stub = cut(
        "import a\nfrom b import c\ndef helper():\n    pass\ndef f():\n    inner = 1\nx = [y for y in f()]", "g(f, c)"
    )
    assert "def f" in stub
    assert "from b import c" in stub
    assert not [name for name in ("helper", "import a", "inner", "x =", "y =") if name in stub]
    assert "x = ..." in cut("x = 1\nz = 2", "check(z)", ["print(x)"])  # a later cell reads it
    assert "x = ..." not in cut("x = 1\nz = 2", "check(z)", ["x = 3\nprint(x)"])  # and makes it itself
    assert "x = ..." in cut("x = 1\nz = 2", "check(z)", ["%time x\nprint(x)"])


def test_stub_of_a_registered_map_and_of_a_class():
    stub = cut("@register(D)\ndef the_map(d):\n    return d", "check()")
    assert "@register(D)\ndef the_map(d):\n    raise NotImplementedError" in stub
    stub = cut('class A(B):\n    """Doc."""\n    size = 3\n    def call(self, x):\n        return x', "check(A)")
    assert 'class A(B):\n    """Doc."""\n\n    def call(self, x):\n        raise NotImplementedError' in stub
    assert "size" not in stub


@pytest.mark.parametrize("solution", ["def f(x):\n    return x", "f = lambda x: x"])
def test_stub_fails_with_a_sentence_that_names_the_exercise(solution):
    with pytest.raises((NotImplementedError, AssertionError), match=r"Exercise 1\.1: your \w+ goes"):
        exec(cut(solution, "f(1)"), {})


def solved(notebook):
    return [cell for cell in notebook.cells if solutions.has_solution(cell.source)]


@pytest.mark.parametrize("name", NAMES)
def test_no_line_of_a_solution_is_left_in_a_stub(name):
    """But signatures, imports, and names that get a value."""
    cells = nbformat.read(CHAPTERS / f"{name}.ipynb", 4).cells
    found = 0
    for place, cell in enumerate(cells):
        if not solutions.has_solution(cell.source):
            continue
        found += 1
        later = [other.source for other in cells[place + 1 :] if other.cell_type == "code"]
        stub = solutions.stub(cell.source, "Exercise 1.1", later)
        before, solution, after = solutions._parts(cell.source)
        ast.parse(stub)
        allowed = {line.strip() for line in before + after} | {""}
        left = [
            line.strip()
            for line in solution
            if line.strip() in {text.strip() for text in stub.split("\n")} - allowed
            and not line.lstrip().startswith(("def ", "class ", "@", "import ", "from "))
        ]
        assert not left
        assert stub.endswith("\n".join(after))
        assert "Exercise 1.1: your code goes here" in stub or "Exercise 1.1: your answer goes above" in stub
    assert found >= 4


def test_solutions_are_put_back():
    notebook = chapter(START + BETWEEN, code(SOLUTION), END)
    copy = convert(notebook, "one", REFERENCES, PACKAGE, PUBLISHED)
    assert not solved(copy)
    back = put_solutions_back(copy, notebook)
    assert [cell.source for cell in solved(back)] == [SOLUTION]
    assert len(back.cells) == len(copy.cells)
    assert not solved(copy)  # the copy itself is as it was
    with pytest.raises(ValueError, match="expected a copy of this chapter"):
        put_solutions_back(chapter("other"), notebook)


@pytest.mark.parametrize(
    "check",
    ["{name: b for name, b in base.items()}", "f(lambda name: base[name])", "def g(name):\n    return base[name]"],
)
def test_a_stub_does_not_ask_for_a_variable_of_the_check(check):
    made = cut("base = {'a': 1}\nfor name in base: pass", check)
    assert "base = ...  # your answer" in made
    assert "name = ..." not in made
