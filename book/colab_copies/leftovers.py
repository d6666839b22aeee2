"""Markup of MyST in the Markdown of a copy, which Colab would show raw."""

import re

from colab_copies import spans

__all__ = ["leftovers"]

FENCED = re.compile(
    r"^(?P<quote>(?:> ?)* *)(?P<marks>`{3,})(?!\{)[^\n`]*\n.*?^(?P=quote)(?P=marks) *$", re.DOTALL | re.MULTILINE
)
DIRECTIVE = re.compile(r"^[> ]*(?:`{3,}|:{3,})\{[^}\n]+\}", re.MULTILINE)
RAW = {
    "a fence of colons": re.compile(r"^[> ]*:{3,}", re.MULTILINE),
    "a role": re.compile(r"\{[A-Za-z][\w:+-]*\}(?=`)"),
    "a target": re.compile(r"^[> ]*\([\w:.+-]+\)= *$", re.MULTILINE),
    "an option": re.compile(r"^[> ]*:[a-z][\w-]*:(?:\s|$)", re.MULTILINE),
    "a substitution": re.compile(r"\{\{.*?\}\}"),
    "a footnote": re.compile(r"\[\^[\w-]+\]"),
    "a comment or a break": re.compile(r"^(?:%|\+\+\+)", re.MULTILINE),
    "a link that leads nowhere in Colab": re.compile(r"\]\((?!https?:|mailto:|data:|#)[^)\s]*\)"),
    "attributes": re.compile(r"(?<=[`\])*])\{[.#:][^}\n]*\}"),
    "a dollar without its other": re.compile(r"(?<!\\)\$"),
}


def leftovers(markdown):
    """What stands raw in a Markdown cell of a copy: a list of sentences."""
    text = FENCED.sub("", markdown)
    text = re.sub(r"(?m)(?<=\n\n)(?:^ {4}[^\n]*\n?)+", "", text)  # indented code
    bare = "".join(_bare(paragraph) for paragraph in re.split(r"(\n(?:>? *\n)+)", text))
    found = [("a directive", match[0]) for match in DIRECTIVE.finditer(text)]
    found += [(what, match[0]) for what, pattern in RAW.items() for match in pattern.finditer(bare)]
    return [f"{what}: {raw.strip()!r}" for what, raw in found]


def _bare(paragraph):
    """A paragraph without its code and its maths; a role stays as one."""
    return "".join(_shadow(piece) for piece in spans.pieces(paragraph))


def _shadow(piece):
    if piece.kind == "role":
        return f"{{{piece.role}}}`"
    return "``" if piece.kind == "code" else "" if piece.kind == "maths" else piece.source
