"""Every directive becomes Markdown or HTML that Colab shows; formulas in quotations stay on one line."""

import re

import pytest
from colab_copies import ConversionError
from colab_copies.directives import DIRECTIVES, STATEMENTS
from colab_copies.leftovers import leftovers
from colab_pages import CHAPTERS, PUBLISHED, SITE, UNPUBLISHED, code, converted, copied

DIRECTIVE = re.compile(r"^[> ]*(?:`{3,}|:{3,})\{([^}\n]+)\}", re.MULTILINE)
CELLS = {"code-cell"}  # jupytext makes cells of them


@pytest.mark.parametrize("kind", STATEMENTS)
def test_statement(kind):
    text = f"```{{prf:{kind}}} The *title* of $a$\n:label: thm-a\n\nBody {{prf:ref}}`def-a`.\n\n- item\n```"
    assert converted(text) == (
        f"> **[Theorem 1.1]({SITE}/chapters/one.html#thm-a)** (The *title* of $a$)\n>\n"
        f"> Body [Definition 1.2]({SITE}/chapters/one.html#def-a).\n>\n> - item"
    )


def test_statement_without_a_title_or_a_site():
    text = "```{prf:theorem}\n:label: thm-a\nBody.\n```"
    assert converted(text, origin=UNPUBLISHED) == "> **Theorem 1.1**\n>\n> Body."


def test_formulas_in_a_quotation_are_on_one_line():
    text = "```{prf:theorem}\n:label: thm-a\n\nLet $a\n+ b$ and\n\n$$\nc \\\\\n= d\n$$\n\n$$ e\n$$\n\nend\n```"
    shown = converted(text)
    assert "> Let $a + b$ and\n>\n> $$ c \\\\ = d $$\n>\n> $$ e $$\n>\n> end" in shown


def test_dollars_in_code_open_no_formula():
    text = ":::{admonition} Shell\n```\n$$\nx\n```\n:::"
    assert converted(text).endswith("> ```\n> $$\n> x\n> ```")


def test_folded_proof_and_open_proof():
    shown = converted("```{prf:proof}\n:class: dropdown\n\nBody $$ a $$.\n```")
    assert shown == "<details><summary>Proof</summary>\n\nBody $$ a $$.\n\n</details>"
    assert "\n\n1\\. One. 2. Two.\n\n" in converted("```{prf:proof}\n:class: dropdown\n\n1. One. 2. Two.\n```")
    assert converted("```{prf:proof}\nBody.\n```") == "*Proof.*\n\nBody."


def test_admonitions():
    assert converted(":::{admonition} What {ref}`sec-a` says\n:class: tip\nBody.\n:::", origin=UNPUBLISHED) == (
        "> **What A section says**\n>\n> Body."
    )
    assert converted(":::{warning}\nBody.\n:::") == "> **Warning**\n>\n> Body."
    assert converted(":::{note} In its first line.\n:::") == "> **Note**\n>\n> In its first line."


def test_nested_directives():
    text = "````{prf:proof}\n:class: dropdown\n\n```{admonition} Inside\nx\n```\n\n```python\n{x}`y`\n```\n````"
    assert converted(text) == (
        "<details><summary>Proof</summary>\n\n> **Inside**\n>\n> x\n\n```python\n{x}`y`\n```\n\n</details>"
    )


def test_target_is_dropped_and_label_of_a_formula_is_its_number():
    assert converted("(sec-a)=\n## Heading\n\n$$\na\n$$ (one-objective)\n\nText") == (
        "## Heading\n\n$$\na\n\\tag{1}\n$$\n\nText"
    )
    assert converted("$$ a $$ (one-objective)") == "$$ a \\tag{1}\n$$"


def literalinclude(options, origin=PUBLISHED):
    return converted(f"```{{literalinclude}} ../../companion/part.py\n:language: python\n{options}\n```", origin=origin)


def test_literalinclude_pastes_a_part_of_the_package():
    chosen = literalinclude(':start-at: "    a = 1"\n:end-at: return a\n:dedent: 4')
    link = "[`companion/part.py`](https://github.com/someone/course/blob/main/companion/part.py)"
    assert chosen == f"From {link}:\n\n```python\na = 1\nb = 2\nreturn a\n```"
    assert literalinclude(":start-at: def g", UNPUBLISHED) == (
        "From `companion/part.py`:\n\n```python\ndef g():\n    return 3\n```"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x\n\n```{nonsense}\n```", "chapters/one, cell 2, line 3: unknown directive {nonsense}"),
        ("::: plain\n:::", "unknown directive {:::}"),
        ("```{prf:theorem} T\n:label: thm-z\n```", "there is no prf with the label thm-z"),
        ("```{prf:theorem} T\nBody\n```", "{prf:theorem} has no :label:"),
        ("```{exercise-start} T\n```", "{exercise-start} has no :label:"),
        ("```{prf:theorem} T\n:nonumber:\n:label: thm-a\n```", "{prf:theorem} has an unknown option :nonumber:"),
        ("```{literalinclude} ../../companion/none.py\n```", "no such file in the package"),
        ("```{literalinclude} ../../companion/part.py\n:start-at: zzz\n```", "no line has :start-at: zzz"),
        ("$$ a $$ (eq-z)", "there is no eq with the label eq-z"),
        ("````{admonition} T\n```{solution-end}\n```\n````", "{solution-end} stands inside of something else"),
    ],
)
def test_what_cannot_be_converted_is_an_error(text, message):
    with pytest.raises(ConversionError) as caught:
        converted(text)
    assert message in str(caught.value)


def figure(**about):
    return copied(code("draw()", mystnb=about))


def test_caption_stands_below_the_figure():
    caption = {"name": "fig-one", "caption": "Where $a$ is, by\n\n{cite:t}`a2014`.\n"}
    drawing, below = figure(figure=caption, image={"alt": "A  curve."})
    assert below.source == (
        f"**[Fig. 1.1]({SITE}/chapters/one.html#fig-one)** Where $a$ is, by Abe [[2014]({SITE}/bib.html#a)].\n\n"
        "<details><summary>The figure in words</summary>\n\nA curve.\n\n</details>"
    )
    assert drawing.metadata == {}
    assert figure(figure=caption)[1].source.endswith("[2014](https://example.org/course/bib.html#a)].")
    with pytest.raises(ConversionError, match="no numref with the label fig-z"):
        figure(figure={"name": "fig-z", "caption": "x"})


PLANTED = [
    "{ref}`x`",
    ":::{note}\nx\n:::",
    "```{note}\nx\n```",
    "> :::",
    "(sec-a)=",
    ":class: tip",
    "{{ x }}",
    "x[^1]",
    "+++",
    "% comment",
    "[x](two.md)",
    "[x](https://a.org){.wide}",
    "costs 5$ each",
]


@pytest.mark.parametrize("planted", PLANTED)
def test_planted_leftover_is_found(planted):
    assert leftovers(f"Text.\n\n{planted}\n\nMore.")


def test_what_only_looks_like_a_leftover_is_not():
    assert not leftovers("`{ref}` and $a_{b}`c`$ and \\$5\n\n```python\n{ref}`x`\n:::\n```\n\n> ```\n> $\n> ```")
    assert not leftovers("Text:\n\n    {ref}`x`\n    :::\n\n[x](https://a.org) $f'(0)=1$, $a$ [[2014](https://b.org)]")


@pytest.mark.parametrize("planted", ["{{ x }}", "x[^1]", "[x](https://a.org){.wide}", "costs 5$ each", "+++", "% no"])
def test_leftover_in_a_copy_is_an_error(planted):
    with pytest.raises(ConversionError, match="cell 2, line 1: the copy would show"):
        converted(planted)


def unknown_directives(text):
    return sorted(set(DIRECTIVE.findall(text)) - set(DIRECTIVES) - CELLS)


def test_every_directive_of_the_book_has_a_conversion():
    assert not unknown_directives("\n".join(path.read_text() for path in sorted(CHAPTERS.glob("*.md"))))
    assert unknown_directives("```{code-cell}\n```\n::::{nonsense} x\n::::\n") == ["nonsense"]
