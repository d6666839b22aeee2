"""What belongs to a figure and is not in the output of its cell: its number and caption, and its words.

myst-nb reads them from the cell's metadata. Colab does not, so they stand in a cell of their own below.
"""

from colab_copies.directives import folded

__all__ = ["caption"]


def caption(page, cell):
    """The Markdown below a cell that draws a figure, or None."""
    about = cell.metadata.get("mystnb", {})
    figure, words = about.get("figure", {}), about.get("image", {}).get("alt")
    lines = []
    if figure:
        found = page.look_up("numref", figure["name"], 1)
        text = page.sentence(" ".join(figure["caption"].split()), 1)
        lines.append(f"**{page.link(found['text'], found['url'])}** {text}")
    if words:
        lines += folded("The figure in words", [" ".join(words.split())])
    return "\n".join(lines).strip() or None
