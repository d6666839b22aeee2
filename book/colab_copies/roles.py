"""The roles of MyST that the book uses: one function each, `f(page, content, line, role) -> Markdown`.

Every one shows what the page of the site shows, and leads where its link leads.
"""

import posixpath
import re
from ast import literal_eval

__all__ = ["ROLES"]

TITLED = re.compile(r"^(?P<title>.+?)\s*<(?P<target>[^<>]+)>$", re.DOTALL)
KINDS_OF_NUMBER = {**dict.fromkeys("bcdoxX", int), **dict.fromkeys("eEfFgGn%", float)}


def titled(content):
    """The title, or None, and the target of `title <target>`."""
    match = TITLED.match(content)
    return (match["title"], match["target"]) if match else (None, content.strip())


def reference(kind):
    """A role that names a label of one kind; a title of one's own wins."""

    def convert(page, content, line, role):
        title, target = titled(content)
        found = page.look_up(kind, target, line)
        return page.link(title or found["text"], found["url"])

    return convert


def numbered(page, content, line, role):
    """`{numref}`: the text with the number; in a title, `%s` stands for the number."""
    title, target = titled(content)
    found = page.look_up("numref", target, line)
    number = found["text"].split()[-1]
    text = title.replace("%s", number).replace("{number}", number) if title else found["text"]
    return page.link(text, found["url"])


def document(page, content, line, role):
    """`{doc}`: paths are relative to the chapter, or to the book when they begin with a slash."""
    title, target = titled(content)
    name = target[1:] if target.startswith("/") else posixpath.normpath(posixpath.join("chapters", target))
    found = page.look_up("doc", name, line)
    return page.link(title or found["text"], found["url"])


def cited_as_subject(page, content, line, role):
    """`{cite:t}`: Kingma and Welling [2014]; the year is the link."""
    found = (page.look_up("cite", key.strip(), line) for key in content.split(","))
    texts = []
    for entry in sorted(found, key=lambda entry: entry["place"]):
        authors, _, year = entry["textual"].removesuffix("]").rpartition(" [")
        texts.append(f"{_italic(authors)} [{page.link(year, entry['url'])}]")
    return ", ".join(texts)


def cited_in_brackets(page, content, line, role):
    """`{cite:p}`: [Kingma and Welling, 2014, Rezende et al., 2014]; every work is a link."""
    found = (page.look_up("cite", key.strip(), line) for key in content.split(","))
    in_order = sorted(found, key=lambda entry: entry["place"])
    return f"[{', '.join(page.link(_italic(entry['parenthetical'][1:-1]), entry['url']) for entry in in_order)}]"


def _italic(authors):
    return authors.replace("et al.", "*et al.*")


def glued(page, content, line, role):
    """`{glue:text}`: a value of the executed notebook, formatted as myst-nb formats it."""
    name, _, form = content.rpartition(":") if ":" in content else (content, "", "s")
    if name not in page.glued:
        raise page.error(line, f"there is no glued value with the name {name}")
    try:
        value = literal_eval(page.glued[name])
    except (SyntaxError, ValueError):
        value = page.glued[name]
    return format(KINDS_OF_NUMBER.get(form[-1:], str)(value), form)


def python_object(page, content, line, role):
    """`{py:func}` and its like: the name as code, with `()` for what is called; `~` shortens it to its last part."""
    title, target = titled(content)
    found = page.look_up("py", target.lstrip("~"), line)
    name = target.rpartition(".")[2] if target.startswith("~") else target
    text = title or name + ("()" if role in {"py:func", "py:meth"} else "")
    return page.link(f"`{text}`", found["url"])


ROLES = {
    "cite:p": cited_in_brackets,
    "cite:t": cited_as_subject,
    "doc": document,
    "glue:text": glued,
    "numref": numbered,
    "prf:ref": reference("prf"),
    "ref": reference("ref"),
    **dict.fromkeys(("py:attr", "py:class", "py:func", "py:meth", "py:mod"), python_object),
}
