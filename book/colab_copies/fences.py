"""The blocks of a Markdown cell.

Directives are fences of backticks or of colons whose first line holds a name in braces. A fence ends at the first
line that holds nothing but as many of its marks, or more; so a fence may hold shorter ones, and other marks.
"""

import re
from dataclasses import dataclass, field

import yaml

__all__ = ["Code", "Directive", "Maths", "Paragraph", "Target", "Unclosed", "blocks"]

OPENING = re.compile(r"^(?P<indent> *)(?P<marks>`{3,}|:{3,})(?P<info>.*)$")
DIRECTIVE = re.compile(r"^\{(?P<name>[A-Za-z][\w:+-]*)\}(?P<argument>.*)$")
OPTION = re.compile(r"^ *:(?P<key>[A-Za-z][\w-]*):(?P<value>.*)$")
TARGET = re.compile(r"^\((?P<label>[\w:.+-]+)\)=\s*$")
END_OF_MATHS = re.compile(r"\$\$ *(?:\((?P<label>[\w:.+-]+)\))? *$")
LIST_ITEM = re.compile(r"^ *(?:[-*+]|\d+[.)]) ")


class Unclosed(ValueError):
    """A fence or a formula that never ends, and the line where it begins."""

    def __init__(self, what, line):
        super().__init__(f"{what} is never closed")
        self.line = line


@dataclass(frozen=True)
class Paragraph:
    """Lines of text, without a blank one among them; or one blank line."""

    lines: list[str]
    line: int


@dataclass(frozen=True)
class Code:
    """A fence without a directive, or indented code; shown as it is."""

    lines: list[str]
    line: int


@dataclass(frozen=True)
class Maths:
    """A displayed formula, `$$` included, and its label."""

    lines: list[str]
    line: int
    label: str | None = None


@dataclass(frozen=True)
class Target:
    """`(label)=`."""

    label: str
    line: int


@dataclass(frozen=True)
class Directive:
    """A directive. `body_line` is where its body begins; `indent` is how far the whole is indented."""

    name: str
    argument: str
    options: dict[str, str]
    body: list[str]
    line: int
    body_line: int
    indent: str = field(default="")


def blocks(lines, line=1):
    """The blocks of some lines, the first of which has the number `line`."""
    at, in_list = 0, False
    while at < len(lines):
        text = lines[at]
        opening = OPENING.match(text)
        if opening and not (opening["marks"][0] == "`" and "`" in opening["info"]):
            found, used = _fence(lines[at:], line + at, opening)
        elif text.lstrip().startswith("$$"):
            found, used = _maths(lines[at:], line + at)
        elif target := TARGET.match(text):
            found, used = Target(target["label"], line + at), 1
        elif text.startswith("    ") and not in_list and text.strip() and (at == 0 or not lines[at - 1].strip()):
            found, used = _indented(lines[at:], line + at)
        else:
            found, used = _paragraph(lines[at:], line + at)
        if text.strip():
            in_list = bool(LIST_ITEM.match(text)) or (in_list and text.startswith("  "))
        yield found
        at += used


def _fence(lines, line, opening):
    marks, indent = opening["marks"], opening["indent"]
    closing = re.compile(rf"^ *{re.escape(marks[0])}{{{len(marks)},}} *$")
    end = next((at for at, text in enumerate(lines[1:], 1) if closing.match(text)), None)
    if end is None:
        raise Unclosed(f"the fence {(marks + opening['info']).strip()}", line)
    directive = DIRECTIVE.match(opening["info"].strip())
    if directive is None and marks[0] == "`":
        return Code(lines[: end + 1], line), end + 1
    inside = [text.removeprefix(indent) for text in lines[1:end]]
    name, argument = directive.groups() if directive else (marks, opening["info"])
    options, used = _options(inside)
    body_line = line + 1 + used
    return Directive(name, argument.strip(), options, inside[used:], line, body_line, indent), end + 1


def _options(inside):
    """The options at the beginning of a directive's body, as `:key: value` lines or as YAML; and how many lines."""
    if inside and inside[0].strip() == "---":
        end = next((at for at, text in enumerate(inside[1:], 1) if text.strip() == "---"), len(inside))
        values = yaml.safe_load("\n".join(inside[1:end])) or {}
        return {key: _text_of(value) for key, value in values.items()}, end + 1
    options, used = {}, 0
    for text in inside:
        option = OPTION.match(text)
        if option is None:
            break
        options[option["key"]] = _unquoted(option["value"].strip())
        used += 1
    return options, used


def _text_of(value):
    return "" if value is None else str(value)


def _unquoted(value):
    """An option's value is YAML where it stands in quotation marks; else it is what stands there."""
    return str(yaml.safe_load(value)) if value[:1] in {'"', "'"} else value


def _maths(lines, line):
    for at, text in enumerate(lines):
        inside = text.lstrip()[2:] if at == 0 else text
        if end := END_OF_MATHS.search(inside):
            bare = text[: len(text) - len(inside) + end.start()] + "$$"
            return Maths([*lines[:at], bare], line, end["label"]), at + 1
        if "$$" in inside:  # a formula inside of a sentence
            return _paragraph(lines, line)
        if at and not text.strip():
            break
    raise Unclosed("the formula $$", line)


def _indented(lines, line):
    end = next((at for at, text in enumerate(lines) if text.strip() and not text.startswith("    ")), len(lines))
    while not lines[end - 1].strip():
        end -= 1
    return Code(lines[:end], line), end


def _paragraph(lines, line):
    end = 1
    if lines[0].strip():
        while end < len(lines) and lines[end].strip() and not _starts_block(lines[end]):
            end += 1
    return Paragraph(lines[:end], line), end


def _starts_block(text):
    opening = OPENING.match(text)
    fence = opening and not (opening["marks"][0] == "`" and "`" in opening["info"])
    return fence or text.lstrip().startswith("$$") or TARGET.match(text)
