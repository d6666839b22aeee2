"""The directives of MyST that the book uses: one function each, `f(page, directive) -> lines of Markdown`.

A statement is a quotation that begins with its number; a proof and a solution are folded; an exercise begins with a
heading. Exercises and solutions are gated: they go from one directive to another, with cells between, and
`copies.py` folds what stands between the gates of a solution.
"""

import posixpath
import re
import textwrap

__all__ = ["DIRECTIVES", "folded", "quoted"]

STATEMENTS = ("claim", "corollary", "definition", "lemma", "proposition", "theorem")
ADMONITIONS = ("caution", "danger", "hint", "important", "note", "tip", "warning")
FOLDER = "book/chapters"


def quoted(lines):
    """Lines as a quotation, without blank ones at its ends. Formulas become one line each."""
    return ["", *(f"> {text}".rstrip() for text in _trimmed(_one_line_formulas(lines))), ""]


def folded(summary, lines):
    """Lines that a click unfolds. Markdown inside of HTML needs blank lines around it."""
    return ["", f"<details><summary>{summary}</summary>", "", *_trimmed(lines), "", "</details>", ""]


def _trimmed(lines):
    return "\n".join(lines).strip("\n").split("\n")


def _one_line_formulas(lines):
    """Joins the lines of displayed formulas: Colab may take formulas out before it reads the marks of a quotation."""
    done, formula, in_code = [], [], False
    for text in lines:
        in_code ^= text.lstrip().startswith("```")
        if formula or (not in_code and _opens_formula(text)):
            formula.append(text.strip() if formula else text.rstrip())
            if len(formula) > 1 and text.rstrip().endswith("$$"):
                done.append(" ".join(formula))
                formula = []
        else:
            done.append(text)
    return done


def _opens_formula(text):
    """Whether a displayed formula begins in a line and goes on in the next one."""
    return text.lstrip().startswith("$$") and text.count("$$") == 1


def statement(page, directive):
    """`{prf:theorem}` and its like."""
    label = directive.options.get("label")
    if label is None:
        raise page.error(directive.line, f"{{{directive.name}}} has no :label:, so no number")
    found = page.look_up("prf", label, directive.line)
    title = page.sentence(directive.argument, directive.line)
    head = f"**{page.link(found['text'], found['url'])}**" + (f" ({title})" if title else "")
    return quoted([head, "", *_trimmed(page.text(directive.body, directive.body_line))])


def proof(page, directive):
    """`{prf:proof}`, folded where it is on the page; on the page a "1." in its first line begins no list."""
    body = _trimmed(page.text(directive.body, directive.body_line))
    body[0] = re.sub(r"^(\d+)\.", r"\1\\.", body[0])
    if "dropdown" in directive.options.get("class", ""):
        return folded("Proof", body)
    return ["", "*Proof.*", "", *body, ""]


def admonition(page, directive):
    """`{admonition} Title`."""
    title = page.sentence(directive.argument, directive.line)
    return quoted([f"**{title}**", "", *_trimmed(page.text(directive.body, directive.body_line))])


def kind_of_admonition(page, directive):
    """`{warning}` and its like, whose name is the title and which may begin in the first line."""
    body = page.text([directive.argument, *directive.body], directive.line)
    return quoted([f"**{directive.name.capitalize()}**", "", *_trimmed(body)])


def exercise_start(page, directive):
    """`{exercise-start} Title`: a heading with the number."""
    label = directive.options.get("label")
    if label is None:
        raise page.error(directive.line, "{exercise-start} has no :label:, so no number")
    found = page.look_up("ref", label, directive.line)
    title = page.sentence(directive.argument, directive.line)
    return ["", f"### {page.link(found['text'], found['url'])}: {title}", "", *directive.body]


def gate(page, directive):
    """The other three gates, which `copies.py` has taken out; whoever comes here stands where no gate may be."""
    raise page.error(directive.line, f"{{{directive.name}}} stands inside of something else")


def literalinclude(page, directive):
    """`{literalinclude}` of a part of the package, chosen as Sphinx chooses it."""
    path = posixpath.normpath(posixpath.join(FOLDER, directive.argument))
    if path not in page.package_files:
        raise page.error(directive.line, f"{{literalinclude}} of {directive.argument}: no such file in the package")
    lines = page.package_files[path].splitlines()
    first, last = 0, len(lines)
    if "start-at" in directive.options:
        first = _first_with(page, directive, "start-at", lines)
    if "end-at" in directive.options:
        last = first + 1 + _first_with(page, directive, "end-at", lines[first:])
    chosen = lines[first:last]
    if "dedent" in directive.options:
        width = directive.options["dedent"]
        whole = "\n".join(chosen)
        chosen = [text[int(width) :] for text in chosen] if width else textwrap.dedent(whole).split("\n")
    address = page.origin.source(path)
    where = f"From [`{path}`]({address}):" if address else f"From `{path}`:"
    return ["", where, "", f"```{directive.options.get('language', '')}", *chosen, "```", ""]


def _first_with(page, directive, option, lines):
    text = directive.options[option]
    found = next((at for at, line in enumerate(lines) if text in line), None)
    if found is None:
        raise page.error(directive.line, f"{{literalinclude}} of {directive.argument}: no line has :{option}: {text}")
    return found


DIRECTIVES = {  # name: the function, and the options that it knows
    "admonition": (admonition, {"class"}),
    "exercise-end": (gate, set()),
    "exercise-start": (exercise_start, {"label"}),
    "literalinclude": (literalinclude, {"language", "start-at", "end-at", "dedent"}),
    "prf:proof": (proof, {"class"}),
    "solution-end": (gate, set()),
    "solution-start": (gate, {"class", "label"}),
    **{f"prf:{kind}": (statement, {"label", "class"}) for kind in STATEMENTS},
    **dict.fromkeys(ADMONITIONS, (kind_of_admonition, {"class"})),
}
