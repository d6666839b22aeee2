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

    def __str__(self):
        about = f" ({self.parameter})" if self.parameter else ""
        return f"{self.kind}{about}\n  seen:   {self.seen}\n  why:    {self.why}\n  remedy: {self.remedy}"


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
        return "\n".join([self._headline(), *map(str, self.findings)])

    def _headline(self):
        n = len(self.findings)
        found = "nothing found" if self.ok else f"{n} finding{'s' if n > 1 else ''}"
        return f"Audit of {self.num_samples} samples: {found} (false alarms: at most {self.false_alarm:g})."

    def __repr__(self):
        return f"AuditReport({', '.join(self.kinds) or 'nothing found'})"

    def _repr_html_(self):
        title = f"<p>{html.escape(self._headline())}</p>"
        if self.ok:
            return title
        head = "".join(f'<th scope="col">{name}</th>' for name in ("Finding", "Seen", "Why it matters", "What to do"))
        rows = ""
        for f in self.findings:
            name = f.kind.replace("_", " ") + (f" ({f.parameter})" if f.parameter else "")
            cells = "".join(f"<td>{html.escape(text)}</td>" for text in (f.seen, f.why, f.remedy))
            rows += f'<tr><th scope="row">{html.escape(name)}</th>{cells}</tr>'
        return f"{title}<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
