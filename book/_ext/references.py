"""What a reader sees for every label, and where it leads: written beside the built site for the Colab copies.

After a build `_build/references.json` holds, by kind of role, a mapping of labels to `{"text": ..., "url": ...}`:
what the page shows, in plain text, and an address relative to the site's root.

    doc     pages: the title; a chapter's "number" as well
    ref     labelled sections (their titles) and exercises ("Exercise 2.1")
    numref  figures ("Fig. 2.1")
    prf     theorems and their like ("Theorem 2.1")
    eq      labelled formulas ("(1)")
    cite    works: "textual" and "parenthetical" instead of a text, and the "place" in the bibliography
    py      what the package's reference documents

Everything is read from Sphinx's environment when the pages have been written, and citations are formatted by the
extension that formats those on the pages.
"""

import json
from pathlib import Path

from docutils import nodes
from sphinx.util.nodes import clean_astext

FILE = "references.json"


def dotted(number):
    """A tuple of numbers as a reader sees it."""
    return ".".join(map(str, number))


def address(app, docname, anchor=""):
    """The address of a place, relative to the site's root."""
    page = app.builder.get_target_uri(docname)
    return f"{page}#{anchor}" if anchor else page


def pages(app):
    """Every page by its name."""
    found = {}
    for docname, title in app.env.titles.items():
        found[docname] = {"text": clean_astext(title), "url": address(app, docname)}
        if number := app.env.toc_secnumbers.get(docname, {}).get(""):
            found[docname]["number"] = dotted(number)
    return found


def numbers(app, docname, kind, label):
    """The number that Sphinx gave to a figure, an exercise or a statement."""
    return dotted(app.env.toc_fignumbers[docname][kind][label])


def sections(app):
    """Labelled sections with their titles, and exercises with their numbers.

    Sphinx labels the indices of its domains as well, even those that a site leaves out: they are no pages of the book.
    """
    found = {}
    exercises = getattr(app.env, "sphinx_exercise_registry", {})
    for label, (docname, anchor, title) in app.env.get_domain("std").labels.items():
        if docname not in app.env.found_docs:
            continue
        if label in exercises:
            if exercises[label]["type"].startswith("exercise"):
                text = app.config.numfig_format["exercise"] % numbers(app, docname, "exercise", label)
                found[label] = {"text": text, "url": address(app, docname, anchor)}
        elif title:
            found[label] = {"text": str(title), "url": address(app, docname, anchor)}  # a title may be lazy
    return found


def figures(app):
    """Figures that have a label."""
    found = {}
    labels = app.env.get_domain("std").anonlabels
    for label, (docname, anchor) in labels.items():
        number = app.env.toc_fignumbers.get(docname, {}).get("figure", {}).get(anchor)
        if number:
            text = app.config.numfig_format["figure"] % dotted(number)
            found[label] = {"text": text, "url": address(app, docname, anchor)}
    return found


def statements(app):
    """Theorems and their like."""
    found = {}
    for label, about in getattr(app.env, "proof_list", {}).items():
        if not about["nonumber"] and about["realtype"] != "proof":
            number = numbers(app, about["docname"], about["countertype"], label)
            text = f"{about['realtype'].title()} {number}"
            found[label] = {"text": text, "url": address(app, about["docname"], label)}
    return found


def formulas(app):
    """Labelled formulas."""
    return {
        label: {"text": f"({number})", "url": address(app, docname, f"equation-{nodes.make_id(label)}")}
        for label, (docname, number) in app.env.get_domain("math").equations.items()
    }


def works(app):
    """Works of the bibliography, as both roles cite them."""
    domain = app.env.get_domain("cite")
    root = app.config.root_doc
    found = {}
    for place, citation in enumerate(domain.citations):
        entry = {"place": place, "url": address(app, citation.bibliography_key.docname, citation.citation_id)}
        for style, role in (("textual", "t"), ("parenthetical", "p")):
            cited = domain.resolve_xref(app.env, root, app.builder, role, citation.key, nodes.inline(), nodes.inline())
            entry[style] = cited.astext()
        found[citation.key] = entry
    return found


def objects(app):
    """What the reference of the package documents."""
    return {
        name: {"text": name, "url": address(app, entry.docname, entry.node_id)}
        for name, entry in app.env.get_domain("py").objects.items()
    }


def references(app):
    """All of it."""
    kinds = {
        "cite": works,
        "doc": pages,
        "eq": formulas,
        "numref": figures,
        "prf": statements,
        "py": objects,
        "ref": sections,
    }
    return {kind: collect(app) for kind, collect in kinds.items()}


def write(app, exception):
    """Write the file beside the folder of the site."""
    if exception is None and app.builder.name == "html":
        text = json.dumps(references(app), indent=1, sort_keys=True, ensure_ascii=False)
        Path(app.outdir).parent.joinpath(FILE).write_text(text + "\n", encoding="utf-8")


def setup(app):
    """Listen for the end of a build."""
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
