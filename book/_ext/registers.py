"""Pages that list what the chapters hold: `{all-exercises}`, `{execution-times}` and `{citation}`."""

import json
import re
from pathlib import Path

import yaml
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

EXERCISE = re.compile(
    r"^`{3,}\{exercise-start\}[ \t]*(?P<title>[^\n]*)\n(?:[ \t]*:(?!label:)[\w-]+:[^\n]*\n)*"
    r"[ \t]*:label:[ \t]*(?P<label>\S+)",
    re.MULTILINE,
)
PAGES = ("reference/exercises", "reference/execution", "reference/cite")


def exercises_in(text):
    """Pairs (label, title) of a chapter's exercises, in reading order."""
    return [(match["label"], match["title"].strip()) for match in EXERCISE.finditer(text)]


def title_of(text):
    """The first heading of a text."""
    return re.search(r"^# (.+)$", text, re.MULTILINE)[1].strip()


def heading(name, text):
    """The MyST text of a heading that leads to a chapter; its title is written out for the page's own contents."""
    return f"## {{doc}}`{title_of(text)} </chapters/{name}>`"


def exercise_list(texts):
    """The MyST text of all exercises by chapter; `texts` maps a chapter's name to its text, in reading order."""
    lines = []
    for name in texts:
        lines += [heading(name, texts[name]), ""]
        lines += [f"- {{ref}}`{label}` ({title})" for label, title in exercises_in(texts[name])]
        lines.append("")
    return lines


def time_table(chapters, manifest):
    """The MyST text of the table of execution times, in seconds; `manifest` is that of `notebooks`."""
    rows = ["| Chapter | Seconds |", "|---|---|"]
    rows += [f"| {{doc}}`/chapters/{name}` | {manifest[name]['seconds']:.0f} |" for name in chapters]
    return [*rows, f"| all | {sum(manifest[name]['seconds'] for name in chapters):.0f} |"]


def bibtex(citation, site_url):
    """A BibTeX entry from the contents of CITATION.cff."""
    authors = " and ".join(f"{{{author['name']}}}" for author in citation["authors"])
    fields = {
        "title": f"{{{citation['title']}}}",
        "author": authors,
        "year": citation["date-released"][:4],
        "version": citation["version"],
        **({"url": site_url} if site_url else {}),
    }
    body = ",\n".join(f"  {name:<7} = {{{value}}}" for name, value in fields.items())
    return f"@misc{{reparameterization_course,\n{body}\n}}"


class Register(SphinxDirective):
    """A directive that is replaced by MyST text, made from the book's own files."""

    def chapters(self):
        """The texts of the chapters by name, in the order of the contents."""
        pages = [page for page in self.env.external_site_map if page.startswith("chapters/")]
        return {Path(page).name: Path(self.env.srcdir, f"{page}.md").read_text() for page in pages}

    def text(self):
        """Lines of MyST."""
        raise NotImplementedError

    def run(self):
        node = nodes.section()
        lines = StringList(self.text(), source=self.env.doc2path(self.env.docname))
        self.state.nested_parse(lines, 0, node, match_titles=True)
        return node.children


class AllExercises(Register):
    """`{all-exercises}`: every exercise with a link."""

    def text(self):
        return exercise_list(self.chapters())


class ExecutionTimes(Register):
    """`{execution-times}`: how long each chapter ran when its outputs were made."""

    def text(self):
        manifest = json.loads((Path(self.env.srcdir) / "chapters" / "executed.json").read_text())
        return time_table(self.chapters(), manifest)


class Citation(Register):
    """`{citation}`: how to cite the course, as BibTeX."""

    def text(self):
        citation = yaml.safe_load((Path(self.env.srcdir).parent / "CITATION.cff").read_text())
        return ["```bibtex", *bibtex(citation, self.config.site_address).splitlines(), "```"]


def always_outdated(app, env, added, changed, removed):
    """Read these pages in every build: they depend on files that Sphinx does not follow."""
    return [page for page in PAGES if page in env.found_docs]


def setup(app):
    """Register the directives."""
    app.add_directive("all-exercises", AllExercises)
    app.add_directive("execution-times", ExecutionTimes)
    app.add_directive("citation", Citation)
    app.connect("env-get-outdated", always_outdated)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
