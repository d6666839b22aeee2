"""The blocks of a Markdown cell, and the pieces of a paragraph, as the converter for Colab reads them."""

import textwrap

import pytest
from colab_copies import ConversionError, fences, spans
from colab_pages import converted


def blocks(text):
    return list(fences.blocks(textwrap.dedent(text).strip("\n").split("\n")))


def test_directive_has_name_argument_options_and_body():
    (found,) = blocks("""
        ```{prf:theorem} A *title*
        :label: thm-a
        :class: wide

        Body.
        ```
    """)
    assert (found.name, found.argument) == ("prf:theorem", "A *title*")
    assert found.options == {"label": "thm-a", "class": "wide"}
    assert (found.body, found.line, found.body_line) == (["", "Body."], 1, 4)


def test_options_may_be_yaml_and_values_quoted():
    assert blocks("```{x}\n---\nclass: tip\nempty:\n---\nBody\n```")[0].options == {"class": "tip", "empty": ""}
    assert blocks('```{x}\n:start-at: "    z = 1"\n```')[0].options == {"start-at": "    z = 1"}


def test_fences_nest_by_length_and_by_mark():
    (outer,) = blocks("````{a}\n```{b}\nx\n```\n````")
    assert [block.name for block in fences.blocks(outer.body)] == ["b"]
    outer, _ = blocks(":::{a}\n```python\n:::\nText")
    assert outer.body == ["```python"]  # a fence ends at the first of its marks, as in MyST
    (outer,) = blocks("::::{a}\n:::{b}\nx\n:::\n::::")
    assert outer.body == [":::{b}", "x", ":::"]


def test_code_is_left_alone():
    fenced, blank, paragraph = blocks("```python\n{x}`y`\n:::{a}\n```\n\nText")
    assert isinstance(fenced, fences.Code)
    assert isinstance(paragraph, fences.Paragraph)
    assert blank.lines == [""]
    _, _, indented, *_ = blocks("Text\n\n    {x}`y`\n\n    more\n\nText")
    assert isinstance(indented, fences.Code)
    assert indented.lines == ["    {x}`y`", "", "    more"]
    assert converted("Text\n\n    {x}`y`") == "Text\n\n    {x}`y`"


def test_text_inside_of_a_list_is_no_code():
    kinds = [type(block).__name__ for block in blocks("- item\n\n    {x}`y`\n")]
    assert "Code" not in kinds


def test_displayed_formulas_and_their_labels():
    whole, _, labelled, line = blocks("$$\na\n$$\n\n$$ b\n+ c $$ (eq-a)\n$$ d $$")
    assert whole.lines == ["$$", "a", "$$"]
    assert (labelled.lines, labelled.label) == (["$$ b", "+ c $$"], "eq-a")
    assert (line.lines, line.line) == (["$$ d $$"], 7)
    assert isinstance(blocks("$$x$$ is in a sentence.")[0], fences.Paragraph)


def test_target_is_a_block():
    assert blocks("(sec-a)=\n## Heading")[0] == fences.Target("sec-a", 1)


def test_indented_directive_keeps_its_indent():
    text = "- item\n\n  ```{admonition} Title\n  Body\n  ```\n"
    assert "  > **Title**\n  >\n  > Body" in converted(text)


@pytest.mark.parametrize(
    ("text", "line"), [("```{a}\nx", 1), ("x\n\n:::{a}\n``", 3), ("$$\na\n\nb", 1), ("````{a}\n```\n", 1)]
)
def test_what_is_never_closed_is_an_error(text, line):
    with pytest.raises(ConversionError, match=rf"chapters/one, cell 2, line {line}: .* is never closed"):
        converted(text)


def kinds(paragraph):
    return [piece.kind for piece in spans.pieces(paragraph)]


def test_pieces_are_the_paragraph():
    paragraph = r"A {ref}`x` and `{ref}` in ``a ` b``, $a `b` c$ and $$d$$ for \$5 and \`."
    assert "".join(piece.source for piece in spans.pieces(paragraph)) == paragraph
    assert kinds("a {ref}`x` b") == ["text", "role", "text"]
    assert kinds("`{ref}`") == ["code"]
    assert kinds("``{ref}`x` ``") == ["code"]
    assert kinds("${ref}`x`$") == ["maths"]
    assert kinds(r"\$ 5 and \$ 6") == ["text", "text", "text", "text"]


def test_piece_knows_its_role_and_line():
    role = list(spans.pieces("one\ntwo {cite:t}`a,\nb` three"))[1]
    assert (role.role, role.content, role.line) == ("cite:t", "a,\nb", 1)


def test_formula_becomes_one_quiet_line():
    assert spans.quiet_maths("$a\n  b$") == "$a b$"
    assert spans.quiet_maths("$a <b < c$") == "$a < b < c$"
