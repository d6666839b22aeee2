"""The copies of the chapters that Colab opens: made from the executed notebooks when the site is built.

Colab knows Markdown, maths and HTML, but neither MyST's directives nor its roles. Every construct that a chapter
uses is turned into what Colab shows, with links to the published page; what the converter does not know is a
`ConversionError`, never raw text in a copy. A copy is a function of its inputs alone: no times, no random identifiers.

(`sphinx-tojupyter` was tried first: as it comes it fences code cells, drops outputs and breaks displayed maths.)

    spans.py       pieces of a paragraph: code, maths, text
    fences.py      blocks of a cell: fences with their options, displayed maths, indented code, paragraphs
    page.py        what a conversion knows (references, glued values, where the site is), and the text it converts
    roles.py       one function a role
    directives.py  one function a directive
    figures.py     captions
    solutions.py   code between the markers becomes a stub, and is put back
    first_cell.py  installs the package of the page and checks that it is the one
    leftovers.py   looks for markup that Colab would show raw
    copies.py      a notebook, and all of them
"""

from colab_copies.copies import convert, convert_all
from colab_copies.errors import ConversionError
from colab_copies.solutions import put_solutions_back

__all__ = ["ConversionError", "convert", "convert_all", "put_solutions_back"]
