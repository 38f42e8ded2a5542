"""An evaluation's report as tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rich.console import Console
from rich.table import Table

from sat2sound.clients.cli.terminal import print_notes
from sat2sound.evaluation.embedding import LISTED
from sat2sound.evaluation.metrics import Estimate
from sat2sound.evaluation.paired import PairedRetrieval
from sat2sound.evaluation.report import Report

_RETRIEVAL = {
    "recall_at_10_percent": "R@10%",
    "recall_at_1": "R@1",
    "recall_at_5": "R@5",
    "recall_at_10": "R@10",
    "median_rank": "MdR",
}


def print_report(report: Report) -> None:
    """Figures with their 95 % intervals, per scene, and what was skipped."""
    console = Console(highlight=False)
    console.print("  ".join(f"{name}: {value}" for name, value in report.about.items()), soft_wrap=True, markup=False)
    if report.figures:
        console.print(_figures({name: outcome.estimate() for name, outcome in report.figures.items()}))
        console.print(_per_scene({name: outcome.by_owner() for name, outcome in report.figures.items()}))
    if report.retrieval:
        console.print(_retrieval(report.retrieval))
        for result in report.retrieval:
            if result.per_scene and result.protocol.text == "none":
                console.print(_retrieval_per_scene(result))
    for entry in report.skipped[:LISTED]:
        console.print(f"skipped {entry.part} of {entry.id}: {entry.reason}", soft_wrap=True, markup=False)
    if len(report.skipped) > LISTED:
        console.print(f"and {len(report.skipped) - LISTED} more; --json lists them all")
    print_notes(report.notes)


def _text(estimate: Estimate, digits: int = 3) -> str:
    return f"{estimate.value:.{digits}f} [{estimate.low:.{digits}f}, {estimate.high:.{digits}f}]"


def _table(title: str, names: Iterable[str], numbers: Iterable[str]) -> Table:
    table = Table(title=title, title_justify="left", show_edge=False, pad_edge=False, header_style="bold")
    for name in names:
        table.add_column(name, overflow="fold")
    for name in numbers:
        table.add_column(name, justify="right", overflow="fold")
    return table


def _figures(figures: Mapping[str, Estimate]) -> Table:
    table = _table("\nfigure [95 % interval]", ["figure"], ["value", "queries"])
    for name, estimate in figures.items():
        table.add_row(name, _text(estimate), str(estimate.n))
    return table


def _per_scene(figures: Mapping[str, Mapping[str, Estimate]]) -> Table:
    table = _table("\nper scene or sound group", ["scene or group"], figures)
    for owner in sorted({owner for of_figure in figures.values() for owner in of_figure}):
        cells = [f"{each[owner].value:.3f} ({each[owner].n})" if owner in each else "" for each in figures.values()]
        table.add_row(owner, *cells)
    return table


def _cells(figures: object) -> list[str]:
    return [_text(getattr(figures, name), 1 if name == "median_rank" else 3) for name in _RETRIEVAL]


def _retrieval(results: Iterable[PairedRetrieval]) -> Table:
    table = _table("\nretrieval [95 % interval]", ["query", "gallery", "text added to"], ["n", *_RETRIEVAL.values()])
    for result in results:
        protocol = result.protocol
        table.add_row(protocol.query, protocol.gallery, protocol.text, str(result.n), *_cells(result.figures))
    return table


def _retrieval_per_scene(result: PairedRetrieval) -> Table:
    title = f"\n{result.protocol.query} to {result.protocol.gallery}, per scene"
    table = _table(title, ["scene"], ["n", *_RETRIEVAL.values()])
    for scene, figures in result.per_scene.items():
        table.add_row(scene, str(figures.recall_at_1.n), *_cells(figures))
    return table
