"""Permanent links of theorems, exercises and their like.

Sphinx gives headings and figures a sign that links to them; boxes only carry their label as an identifier. Here their
titles get the same sign, and as the labels are names, not numbers, a link stays right when statements are added.
"""

import re

BOX = re.compile(
    r'(<div class="(?:proof|exercise) [^"]*\badmonition\b[^"]*" id="(?P<label>[^"]+)">\s*'
    r'<p class="admonition-title">)(?P<title>.*?)(?=</p>)',
    re.DOTALL,
)


def with_permalinks(body):
    """A page's body in which the title of every box ends in a link to the box."""
    return BOX.sub(add_link, body)


def add_link(match):
    """One title with its link."""
    sign = f'<a class="headerlink" href="#{match["label"]}" title="Permanent link">#</a>'
    return f"{match[1]}{match['title']}{sign}"


def link_boxes(app, pagename, templatename, context, doctree):
    """Rewrite one finished page."""
    context["body"] = with_permalinks(context.get("body", ""))


def setup(app):
    """Look at every page after its body is made."""
    app.connect("html-page-context", link_boxes)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
