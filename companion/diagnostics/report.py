"""`AuditReport`: what an audit found."""

import html
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["AuditReport", "Finding"]


class Finding(NamedTuple):
    """One thing that is wrong with a gradient, or that an estimator would get wrong.

    Attributes:
        kind: a word for it; `companion.diagnostics.audit` lists them.
        parameter: the name of the parameter that it is about, or None if it is about all.
        seen: what was seen, with numbers.
        why: why it matters.
        remedy: what to do.
    """

    kind: str
    parameter: str | None
    seen: str
    why: str
    remedy: str


@dataclass(frozen=True, repr=False)
class AuditReport:
    """What `companion.diagnostics.audit` found.

    Attributes:
        findings: a tuple of `Finding`.
        num_samples: how many samples were looked at.
        false_alarm: a bound on the probability of a finding by chance where there is nothing to find.
    """

    findings: tuple
    num_samples: int
    false_alarm: float

    @property
    def ok(self):
        """Whether nothing was found."""
        return not self.findings

    @property
    def kinds(self):
        """The kinds of the findings, each once, in the order in which they were found."""
        return tuple(dict.fromkeys(finding.kind for finding in self.findings))

    def __str__(self):
        lines = [self._headline()]
        for kind in self.kinds:
            found = [f for f in self.findings if f.kind == kind]
            lines.append(_title(kind))
            lines += [f"  seen:   {_about(f)}{f.seen}" for f in found]
            lines += [f"  why:    {found[0].why}", f"  remedy: {found[0].remedy}"]
        return "\n".join(lines)

    def _headline(self):
        n = len(self.findings)
        found = "nothing found" if self.ok else f"{n} finding{'s' if n > 1 else ''}"
        rate = f"false alarms of the checks on chance: at most {self.false_alarm:g}"
        return f"Audit of {self.num_samples} samples: {found} ({rate})."

    def __repr__(self):
        return f"AuditReport({', '.join(self.kinds) or 'nothing found'})"

    def _repr_html_(self):
        parts = [f"<p>{html.escape(self._headline())}</p>"]
        for kind in self.kinds:
            found = [f for f in self.findings if f.kind == kind]
            seen = "".join(f"<li>{html.escape(_about(f) + f.seen)}.</li>" for f in found)
            parts.append(
                f"<p><strong>{html.escape(_title(kind))}</strong></p><ul>{seen}</ul>"
                f"<p><em>Why it matters:</em> {html.escape(found[0].why)}.<br>"
                f"<em>What to do:</em> {html.escape(found[0].remedy)}.</p>"
            )
        return "".join(parts)


def _title(kind):
    return kind.replace("_", " ").capitalize()


def _about(finding):
    return f"{finding.parameter}: " if finding.parameter else ""
