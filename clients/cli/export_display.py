"""What a person sees while graphs are exported and checked, and the tables afterwards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from sat2sound.clients.cli.terminal import Steps, table

_STAGES = ("exporting", "converting", "checking", "done")


class ExportDisplay:
    """Progress on stderr: a bar per model where stderr is a terminal, else a line per step."""

    def __init__(self) -> None:
        self._steps = Steps()
        self._progress = Progress(
            TextColumn("{task.description:<20}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[stage]:<10}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
        )
        self._tasks: dict[str, TaskID] = {}
        self._live = self._progress.console.is_terminal

    def __enter__(self) -> ExportDisplay:
        if self._live:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def step(self, message: str) -> None:
        """What is done next."""
        if self._live:
            self._progress.console.print(Text(message, style="dim"), soft_wrap=True)
        else:
            self._steps(message)

    def graph(self, name: str, stage: str) -> None:
        """A graph comes to a stage."""
        if not self._live:
            self._steps(f"{stage} {name}")
            return
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name, total=len(_STAGES) - 1, stage=stage)
        completed = _STAGES.index(stage) if stage in _STAGES else len(_STAGES) - 1
        self._progress.update(self._tasks[name], completed=completed, stage=stage)


def print_export(repository: Path, manifest: Mapping[str, Any]) -> None:
    """File, size, opset, precision, largest relative difference from torch, its limit, and seconds, per graph.

    Of the file, its folder: all have the same name, and the row then fits a terminal of 80 columns.
    """
    graphs = table("graph", "MB", "opset", "precision", "difference", "allowed", "seconds")
    for name, facts in manifest.get("graphs", {}).items():
        graphs.add_row(
            name,
            f"{facts['bytes'] / 1e6:.1f}",
            str(facts["opset"]),
            facts["precision"],
            f"{facts['difference']:.1e}",
            f"{facts['tolerance']:.0e}",
            f"{facts['seconds']:.1f}",
        )
    console = Console(highlight=False)
    console.print(graphs)
    console.print(f"files: {repository}/<graph>/1/model.onnx", soft_wrap=True)
    gates = len(manifest.get("gates", []))
    console.print(
        f"{repository}: {manifest.get('model')}, profile {manifest.get('profile')}, {gates} gates passed, "
        f"digest {str(manifest.get('digest'))[:12]}",
        soft_wrap=True,
    )


def print_problems(problems: Iterable[tuple[str, str, str]]) -> None:
    """What differs: subject, gate, problem."""
    found = table("what", "gate", "problem")
    for subject, gate, problem in problems:
        found.add_row(subject, gate, Text(problem))
    Console(highlight=False).print(found)
