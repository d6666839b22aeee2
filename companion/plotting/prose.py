"""Numbers for the prose of a page, stored by the cell that computes them."""

from IPython.display import display

__all__ = ["glue"]


def glue(name, value, digits=3):
    """Stores a number or a string in the notebook, for `{glue:text}` in the page's text to show.

    It writes what `myst_nb.glue` writes, without needing myst-nb, which Colab does not have. A number takes a
    format on the page: `{glue:text}` with the name and ``:.2f``.

    Args:
        name: a name, unique in the book.
        value: a number or a string.
        digits: significant digits to which a number is rounded before it is stored, so that the stored
            output is the same on other processors. Three suit a Monte Carlo result, more an exact one.
    """
    text = value if isinstance(value, str) else f"{float(value):.{digits}g}"
    mime = "application/papermill.record/"
    metadata = {"scrapbook": {"name": name, "mime_prefix": mime}}
    display({f"{mime}text/plain": text}, raw=True, metadata=metadata)
