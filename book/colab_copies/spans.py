"""The pieces of a paragraph: roles, code, maths, and the text between them.

Only the text between them may hold markup; what looks like a role inside of code or maths is not one.
"""

import re
from dataclasses import dataclass

__all__ = ["Piece", "pieces", "quiet_maths"]

PATTERN = re.compile(
    r"(?P<escape>\\[\\`$])"
    r"|\{(?P<role>[A-Za-z][\w:+-]*)\}(?P<ticks>`+)(?P<content>.+?)(?<!`)(?P=ticks)(?!`)"
    r"|(?P<code>(?P<fence>`+)(?!`).*?(?<!`)(?P=fence)(?!`))"
    r"|(?P<display>\$\$.+?\$\$)"
    r"|(?P<maths>\$[^$]+?(?<!\\)\$)",
    re.DOTALL,
)


@dataclass(frozen=True)
class Piece:
    """A piece of a paragraph.

    Args:
        kind: "text", "code", "maths" or "role".
        source: as it stands in the paragraph.
        line: how many lines of the paragraph come before it.
        role: the name of a role, else "".
        content: what stands between the ticks of a role, else "".
    """

    kind: str
    source: str
    line: int
    role: str = ""
    content: str = ""


def pieces(paragraph):
    """The pieces of a paragraph, in order; their sources together are the paragraph."""
    end = 0
    for match in PATTERN.finditer(paragraph):
        if match.start() > end:
            yield Piece("text", paragraph[end : match.start()], paragraph.count("\n", 0, end))
        line = paragraph.count("\n", 0, match.start())
        if match["role"]:
            yield Piece("role", match[0], line, match["role"], match["content"])
        else:
            kind = "text" if match["escape"] else "code" if match["code"] else "maths"
            yield Piece(kind, match[0], line)
        end = match.end()
    if end < len(paragraph):
        yield Piece("text", paragraph[end:], paragraph.count("\n", 0, end))


def quiet_maths(source):
    """A formula on one line, without what Markdown or HTML could take for a mark of its own.

    In a quotation every line begins with `>`: a formula over two lines would swallow the second one.
    """
    return re.sub(r"<(?=[A-Za-z/!?])", "< ", re.sub(r"[ \t]*\n[ \t>]*", " ", source))
