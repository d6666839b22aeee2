"""Every role becomes what the page shows, with a link to where the page's link leads."""

import re

import pytest
from colab_copies import ConversionError
from colab_copies.roles import ROLES
from colab_pages import CHAPTERS, SITE, UNPUBLISHED, code, converted, glued

ROLE = re.compile(r"\{([A-Za-z][\w:+-]*)\}`")

CASES = [
    ("{cite:t}`a2014`", f"Abe [[2014]({SITE}/bib.html#a)]", "Abe [2014]"),
    ("{cite:t}`b2019`", f"Bo *et al.* [[2019]({SITE}/bib.html#b)]", "Bo *et al.* [2019]"),
    ("{cite:p}`a2014`", f"[[Abe, 2014]({SITE}/bib.html#a)]", "[Abe, 2014]"),
    (  # in the order of the bibliography, as on the page
        "{cite:p}`b2019,a2014`",
        f"[[Abe, 2014]({SITE}/bib.html#a), [Bo *et al.*, 2019]({SITE}/bib.html#b)]",
        "[Abe, 2014, Bo *et al.*, 2019]",
    ),
    ("{prf:ref}`thm-a`", f"[Theorem 1.1]({SITE}/chapters/one.html#thm-a)", "Theorem 1.1"),
    ("{ref}`sec-a`", f"[A section]({SITE}/chapters/one.html#sec-a)", "A section"),
    ("{ref}`below <sec-a>`", f"[below]({SITE}/chapters/one.html#sec-a)", "below"),
    ("{ref}`ex-a`", f"[Exercise 1.1]({SITE}/chapters/one.html#ex-a)", "Exercise 1.1"),
    ("{numref}`fig-one`", f"[Fig. 1.1]({SITE}/chapters/one.html#fig-one)", "Fig. 1.1"),
    ("{numref}`Figure %s <fig-one>`", f"[Figure 1.1]({SITE}/chapters/one.html#fig-one)", "Figure 1.1"),
    ("{doc}`two`", f"[Two]({SITE}/chapters/two.html)", "Two"),
    ("{doc}`/notation`", f"[Notation]({SITE}/notation.html)", "Notation"),
    ("{doc}`../notation`", f"[Notation]({SITE}/notation.html)", "Notation"),
    ("{doc}`the next <two>`", f"[the next]({SITE}/chapters/two.html)", "the next"),
    ("{py:meth}`companion.VAE.fit`", f"[`companion.VAE.fit()`]({SITE}/api.html#companion.VAE.fit)", None),
    ("{py:func}`~companion.VAE.fit`", f"[`fit()`]({SITE}/api.html#companion.VAE.fit)", "`fit()`"),
    ("{py:class}`companion.VAE.fit`", f"[`companion.VAE.fit`]({SITE}/api.html#companion.VAE.fit)", None),
    ("{py:class}`VAE <companion.VAE.fit>`", f"[`VAE`]({SITE}/api.html#companion.VAE.fit)", "`VAE`"),
    ("[there](sec-a)", f"[there]({SITE}/chapters/one.html#sec-a)", "there"),
    ("[there](#sec-a)", f"[there]({SITE}/chapters/one.html#sec-a)", "there"),
    ("[out](https://example.com/a)", "[out](https://example.com/a)", "[out](https://example.com/a)"),
]


@pytest.mark.parametrize(("source", "linked", "plain"), CASES, ids=[case[0] for case in CASES])
def test_role(source, linked, plain):
    assert converted(f"See {source}, please.") == f"See {linked}, please."
    if plain is not None:
        assert converted(f"See {source}, please.", origin=UNPUBLISHED) == f"See {plain}, please."


@pytest.mark.parametrize(
    ("stored", "form", "shown"),
    [
        ("3.14159", "", "3.14159"),
        ("3.14159", ":.2f", "3.14"),
        ("0.0000502", ":.1e", "5.0e-05"),
        ("88", ":d", "88"),
        ("12345", ":.0f", "12345"),
        ("'words'", "", "words"),
        ("words", "", "words"),
        ("0.258", ":.1%", "25.8%"),
    ],
)
def test_glued_value_is_formatted_as_myst_nb_formats_it(stored, form, shown):
    from myst_nb.core.variables import format_plain_text

    cell = code("glue('a-b', x)", glued("a-b", stored))
    assert converted(f"It is {{glue:text}}`a-b{form}`.", cell) == f"It is {shown}."
    assert format_plain_text(stored, form[1:] or "s") == shown


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("one\ntwo {nonsense}`x`", "chapters/one, cell 2, line 2: unknown role {nonsense}"),
        ("one\n\n{prf:ref}`thm-z`", "chapters/one, cell 2, line 3: there is no prf with the label thm-z"),
        ("{ref}`sec-z`", "there is no ref with the label sec-z"),
        ("{numref}`fig-z`", "there is no numref with the label fig-z"),
        ("{doc}`three`", "there is no doc with the label chapters/three"),
        ("{cite:p}`a2014,z`", "there is no cite with the label z"),
        ("{py:func}`companion.z`", "there is no py with the label companion.z"),
        ("{glue:text}`z`", "there is no glued value with the name z"),
        ("[x](sec-z)", "the link to sec-z leads nowhere"),
        ("[x](two.md)", "the link to two.md leads nowhere"),
        ("[`x`](sec-a)", "the link to sec-a has code or maths in its text"),
    ],
)
def test_what_cannot_be_converted_is_an_error(text, message):
    with pytest.raises(ConversionError) as caught:
        converted(text)
    assert message in str(caught.value)


def test_error_in_a_directive_names_its_line():
    with pytest.raises(ConversionError, match=r"cell 2, line 6: unknown role \{nonsense\}"):
        converted("text\n\n```{prf:theorem}\n:label: thm-a\n\n{nonsense}`x`\n```")


def unknown_roles(text):
    return sorted(set(ROLE.findall(text)) - set(ROLES))


def test_every_role_of_the_book_has_a_conversion():
    texts = [path.read_text() for path in sorted(CHAPTERS.glob("*.md"))]
    assert not unknown_roles("\n".join(texts))
    assert unknown_roles("{ref}`a` {nonsense}`b`") == ["nonsense"]
