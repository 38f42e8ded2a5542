"""What a person sees: results on stdout, progress on stderr."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sat2sound.clients.ranking import RankedSound


class Steps:
    """Progress on stderr: one line per step with the seconds since the start. Call it with what comes next."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._start = time.monotonic()

    def __call__(self, message: str) -> None:
        """Print what is done next."""
        line = Text(f"{time.monotonic() - self._start:6.1f} s  ", style="dim")
        self._console.print(line.append(message, style="not dim"), soft_wrap=True)


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def print_ranking(sounds: Iterable[RankedSound]) -> None:
    """Rank, score, caption."""
    lines = table("rank", "score", "caption")
    for sound in sounds:
        lines.add_row(str(sound.rank), f"{sound.score:.3f}", Text(sound.caption))
    Console(highlight=False).print(lines)


def print_scores(scores: Iterable[tuple[str, float]]) -> None:
    """Query and score, best first."""
    lines = table("score", "query")
    for query, score in sorted(scores, key=lambda entry: -entry[1]):
        lines.add_row(f"{score:.3f}", Text(query))
    Console(highlight=False).print(lines)


def print_times(stages: dict[str, float], requests: int) -> None:
    """Milliseconds per stage."""
    lines = table("stage", f"ms (mean of {requests})")
    for stage, milliseconds in stages.items():
        lines.add_row(stage, f"{milliseconds:.2f}", style="bold" if stage == "total" else None)
    Console(highlight=False).print(lines)


def print_notes(notes: Iterable[str], *, stderr: bool = False) -> None:
    """What to know before believing the result. stderr: where it comes before the result, as progress does."""
    console = Console(highlight=False, stderr=stderr)
    for note in notes:
        console.print(Text(f"note: {note}", style="yellow"), soft_wrap=True)


def table(*columns: str) -> Table:
    """An empty table of this program's style; columns of words are aligned to the left."""
    columned = Table(show_edge=False, pad_edge=False, header_style="bold")
    for column in columns:
        left = column in ("caption", "query", "stage", "graph", "what", "gate", "problem")
        columned.add_column(column, justify="left" if left else "right", overflow="fold")
    return columned
