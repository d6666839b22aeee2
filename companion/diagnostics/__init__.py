"""Judging gradients: `compare` estimators, `audit` a problem for silent failures, size a sample.

Contract: everything takes the arguments of the estimators in `companion.gradients`, runs eagerly, and returns an
object that prints as text, shows itself as a table in a notebook, and gives its numbers as arrays.
"""

from companion.diagnostics.audit import audit
from companion.diagnostics.comparison import Comparison, compare
from companion.diagnostics.report import AuditReport, Finding
from companion.diagnostics.sample_size import samples_needed

__all__ = ["AuditReport", "Comparison", "Finding", "audit", "compare", "samples_needed"]
