"""What the conversion of a chapter knows, and the conversion of its text.

`Page.text` converts lines of Markdown: every block by its kind, every role by its function. It is also what
directives call for their bodies.
"""

import re
from dataclasses import dataclass, field, replace

from colab_copies import fences, spans
from colab_copies.errors import ConversionError

__all__ = ["Page", "glued_values"]

LINK = re.compile(r"\[(?P<text>[^\[\]]*)\]\((?P<target>[^()\s]+)\)|\]\((?P<end>[^()\s]+)\)")
ADDRESS = re.compile(r"^(?:https?:|mailto:|data:)")
GLUE = "application/papermill.record/text/plain"


@dataclass(frozen=True)
class Page:
    """A chapter that is being converted.

    Args:
        name: the chapter, such as "trick".
        references: what `book/_ext/references.py` wrote: for every label its text and its address.
        package_files: the sources of the package, a mapping of "companion/..." to text.
        origin: an `origin.Origin`.
        glued: the values that the chapter's code stored for its text, a mapping of names to text.
        roles, directives: the tables of functions.
        cell: the number of the cell at hand, from 1.
    """

    name: str
    references: dict
    package_files: dict
    origin: object
    glued: dict
    roles: dict = field(repr=False)
    directives: dict = field(repr=False)
    cell: int = 0

    def at_cell(self, number):
        """The same page, at a cell; errors name it."""
        return replace(self, cell=number)

    def error(self, line, message):
        """The error to raise for something in a line of the cell at hand."""
        return ConversionError(self.name, f"cell {self.cell}, line {line}", message)

    def look_up(self, kind, label, line):
        """What the page shows for a label, and where it leads: a mapping with "text" and "url"."""
        try:
            return self.references[kind][label]
        except KeyError:
            raise self.error(line, f"there is no {kind} with the label {label}") from None

    def link(self, text, path):
        """A link to something on the site; only its text where no site is known."""
        address = self.origin.page(path)
        return f"[{text}]({address})" if address else text

    def text(self, lines, line=1):
        """Converts lines of Markdown, the first of which has the number `line`; returns lines."""
        done = []
        try:
            for block in fences.blocks(lines, line):
                done += self._block(block)
        except fences.Unclosed as error:
            raise self.error(error.line, str(error)) from None
        return done

    def sentence(self, text, line):
        """Converts text without blocks, such as a title or a caption."""
        return "".join(self._piece(piece, line + piece.line) for piece in spans.pieces(text))

    def _block(self, block):
        if isinstance(block, fences.Paragraph):
            return self.sentence("\n".join(block.lines), block.line).split("\n")
        if isinstance(block, fences.Code):
            return block.lines
        if isinstance(block, fences.Target):
            return []  # the page has the anchor, and links lead there
        if isinstance(block, fences.Maths):
            return self._formula(block)
        if block.name not in self.directives:
            raise self.error(block.line, f"unknown directive {{{block.name}}}")
        function, allowed = self.directives[block.name]
        if unknown := sorted(set(block.options) - set(allowed)):
            raise self.error(block.line, f"{{{block.name}}} has an unknown option :{unknown[0]}:")
        return [block.indent + text if text else text for text in function(self, block)]

    def _formula(self, block):
        lines = [spans.quiet_maths(text) for text in block.lines]
        if block.label:
            number = self.look_up("eq", block.label, block.line)["text"].strip("()")
            lines[-1:] = [lines[-1].removesuffix("$$") + rf"\tag{{{number}}}", "$$"]
        return lines

    def _piece(self, piece, line):
        if piece.kind == "role":
            if piece.role not in self.roles:
                raise self.error(line, f"unknown role {{{piece.role}}}")
            return self.roles[piece.role](self, piece.content, line, piece.role)
        if piece.kind == "maths":
            return spans.quiet_maths(piece.source)
        if piece.kind == "text":
            return LINK.sub(lambda match: self._markdown_link(match, line), piece.source)
        return piece.source

    def _markdown_link(self, match, line):
        """A Markdown link as it is, or to what MyST finds by the label that it names."""
        target = match["target"] or match["end"]
        if ADDRESS.match(target):
            return match[0]
        if match["end"]:
            raise self.error(line, f"the link to {target} has code or maths in its text; write {{ref}} instead")
        label = target.removeprefix("#")
        for kind in ("ref", "numref", "prf", "eq"):
            if label in self.references.get(kind, {}):
                return self.link(match["text"], self.references[kind][label]["url"])
        raise self.error(line, f"the link to {target} leads nowhere")


def glued_values(notebook):
    """What the code of a notebook stored for its text: a mapping of names to text."""
    return {
        output.metadata["scrapbook"]["name"]: output.data[GLUE]
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if GLUE in output.get("data", {})
    }
