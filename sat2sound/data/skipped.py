"""The one policy for bad input among thousands: skip it, count it, list it, and fail if it is too much."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from sat2sound.errors import DatasetError

MAX_SKIPPED_SHARE = 0.02
LISTED = 20  # entries that a message names


@dataclass(frozen=True)
class Skipped:
    """A part of a sample that could not be used. part: e.g. "image"; reason: why, for a person."""

    id: str
    part: str
    reason: str

    def __str__(self) -> str:
        return f"{self.part.replace('_', ' ')} of {self.id}: {self.reason}"


@dataclass
class SkippedParts:
    """Counts of what a dataset gave, per part, and what of it was skipped. Can be pickled and merged."""

    given: Counter[str] = field(default_factory=Counter)
    entries: list[Skipped] = field(default_factory=list)

    def give(self, part: str, count: int = 1) -> None:
        """Count parts that the dataset has; whether they can be used is seen later."""
        self.given[part] += count

    def skip(self, own: str, part: str, reason: str) -> None:
        """Record that a part, already counted by `give`, cannot be used."""
        self.entries.append(Skipped(own, part, reason))

    def merge(self, other: SkippedParts) -> None:
        """Add what another process counted."""
        self.given.update(other.given)
        self.entries += other.entries

    def check(self, max_share: float = MAX_SKIPPED_SHARE, *, option: str = "--max-skipped") -> None:
        """Raise DatasetError if more than `max_share` of one part, or all of it, was skipped. option: that allows it.

        A part is judged alone: a thousand good captions do not make up for ten damaged recordings of ten.
        """
        for part in sorted({entry.part for entry in self.entries}):
            skipped = [entry for entry in self.entries if entry.part == part]
            given = self.given[part]
            if len(skipped) > max_share * given or len(skipped) >= given:
                raise DatasetError(
                    f"{len(skipped)} of {given} {part.replace('_', ' ')} entries cannot be used:\n  "
                    + "\n  ".join(first_lines([f"{entry.id}: {entry.reason}" for entry in skipped]))
                    + f"\nmore than {max_share:.1%}, or all, of them",
                    fix=f"mend or remove them, or allow a larger share with {option}",
                )

    def without_repetitions(self) -> SkippedParts:
        """Each part of a sample once, however often it was met."""
        first = {(entry.id, entry.part): entry for entry in reversed(self.entries)}
        return SkippedParts(self.given, list(reversed(first.values())))

    def lines(self) -> list[str]:
        """For the end of a run that went on: a line per skipped part, the first ones if there are many."""
        return first_lines([f"skipped {entry}" for entry in self.entries])


def first_lines(lines: Sequence[str]) -> list[str]:
    """The first LISTED lines, and one that says how many more there are."""
    more = [f"and {len(lines) - LISTED} more"] if len(lines) > LISTED else []
    return [*lines[:LISTED], *more]
