"""Every figure of the book. Functions take arrays and return a `StaticFigure` or an `InteractiveFigure`.

This is the only part of the package that imports Matplotlib and Altair. One file a family of figures.
"""

from companion.plotting.figure import InteractiveFigure, StaticFigure
from companion.plotting.prose import glue

__all__ = ["InteractiveFigure", "StaticFigure", "glue"]
