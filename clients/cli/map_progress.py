"""Progress of a map on stderr: cells done, rate, remaining time; and the report at the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from sat2sound.clients.cli.terminal import print_json
from sat2sound.clients.maps.embedding import EmbeddingReport, Report
from sat2sound.clients.maps.store import Status


class _Rate(TextColumn):
    """Cells per second."""

    def __init__(self, unit: str) -> None:
        super().__init__("")
        self._unit = unit

    def render(self, task: Task) -> Text:
        """The rate of the last seconds."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.1f} {self._unit}/s", style="cyan")


@contextmanager
def cells_progress(what: str, unit: str = "cells") -> Iterator[Report]:
    """A bar that appears with the first report and stays when it is done."""
    amount = (MofNCompleteColumn(), TextColumn(unit), _Rate(unit))
    with Progress(
        TextColumn(what),
        BarColumn(),
        *amount,
        TimeRemainingColumn(),
        console=Console(stderr=True),
        speed_estimate_period=60,
    ) as progress:
        task = None

        def report(finished: int, total: int) -> None:
            nonlocal task
            if task is None:
                task = progress.add_task(what, total=total)
            progress.update(task, completed=finished)

        yield report


def missing_notes(counts: dict[Status, int]) -> list[str]:
    """What a person should know who asks a map that is not whole."""
    absent = [f"{counts[status]:,} are {status.name.lower()}" for status in (Status.PENDING, Status.FAILED)
              if counts[status]]  # fmt: skip
    if not absent:
        return []
    said = f"of {sum(counts.values()):,} cells {' and '.join(absent)}, and have no score"
    return [f"{said} (`map embed` goes on with the pending ones, with --retry-failed also with the failed ones)"]


def print_report(report: EmbeddingReport, as_json: bool) -> None:
    """What was done and what is missing."""
    if as_json:
        print_json(report.to_json())
        return
    counts = report.counts
    typer.echo(f"{report.path}: {counts[Status.DONE]:,} of {sum(counts.values()):,} cells embedded")
    if counts[Status.NODATA]:
        typer.echo(f"  {counts[Status.NODATA]:,} without imagery, or outside the area (masked)")
    if not counts[Status.DONE] and not counts[Status.FAILED] and not counts[Status.PENDING]:
        typer.echo(
            "  nothing can be asked of this map: no cell shows enough imagery. Is the raster smaller than a crop "
            "(a smaller --min-valid), all without data, or the area elsewhere?"
        )
    for reason, count in sorted(report.failures.items()):
        typer.echo(f"  {count:,} failed (masked; --retry-failed takes them up again): {reason}")
    if counts[Status.PENDING]:
        typer.echo(f"  {counts[Status.PENDING]:,} pending: run the same command again")
    if report.embedded:
        rate = report.embedded / report.seconds
        typer.echo(f"  {report.embedded:,} now, in {report.seconds:.1f} s: {rate:.1f} cells/s")
