"""What the gates found: every measurement and every problem, never only the first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from sat2sound.errors import GateFailure


@dataclass(frozen=True)
class GateResult:
    """One gate's verdict on one thing.

    gate: which gate. subject: the graph, branch or file. measured: the worst value found, None where nothing is
    measured. allowed: its limit. problems: one line each; empty if it passed.
    """

    gate: str
    subject: str
    measured: float | None = None
    allowed: float | None = None
    problems: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def to_json(self) -> dict[str, Any]:
        """As the manifest keeps it; the measured value with two digits, since the rest is noise."""
        measured = None if self.measured is None else float(f"{self.measured:.1e}")
        return {**asdict(self), "measured": measured, "problems": list(self.problems)}


def problem_lines(results: Iterable[GateResult]) -> list[str]:
    """Every problem with what it concerns."""
    return [f"{result.subject}: {problem}" for result in results for problem in result.problems]


def require(what: str, results: Iterable[GateResult]) -> tuple[GateResult, ...]:
    """The results if all passed. Raises GateFailure listing every problem. what: how the message begins."""
    found = tuple(results)
    if lines := problem_lines(found):
        raise GateFailure(what, lines)
    return found
