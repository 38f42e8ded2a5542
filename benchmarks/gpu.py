"""How fast is a model on this GPU, how fast could it be, and where does the time go?

    sat2sound export --profile gpu --out models
    python -m benchmarks.gpu models

Measures the graphs of an exported repository in the precisions of its profile: modules in torch, the ONNX files in
onnxruntime, and `embed_pixels` behind a Triton server. Beside every number stand the limit by the card's data sheet
and the share of the matrix rate that torch reaches on it (benchmarks/gpu_limits.py). What this machine lacks is said
and left out; exit code 6 if nothing can be measured. For onnxruntime and Triton on a GPU, `onnxruntime-gpu` takes the
place of `onnxruntime` in .venv and .triton.

Without a GPU, to try the program on a repository of profile cpu: `python -m benchmarks.gpu models --device cpu`.
"""

from __future__ import annotations

import argparse
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import onnxruntime
import torch

from benchmarks.gpu_limits import BATCHES, CARDS, Card, Work, count_work
from benchmarks.gpu_ways import BRANCHES, Measured, Precisions, behind_triton, in_onnxruntime, in_torch, matrix_rate
from sat2sound.clients.cli.exit_codes import ExitCode
from sat2sound.clients.description import describe_repository
from sat2sound.export.manifest import read_manifest
from sat2sound.export.profiles import find_profile
from sat2sound.serving.environment import find_environment

_INSTALL = "pip install onnxruntime-gpu in the place of onnxruntime"


def lacking(device: str) -> dict[str, str]:
    """What keeps a way from being measured, by way."""
    if device == "cpu":
        return {}
    problems = {}
    if not torch.cuda.is_available():
        problems["torch"] = (
            f"torch {torch.__version__} sees no GPU: a driver, or a build of torch with CUDA, is missing"
        )
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        problems["onnxruntime"] = f"onnxruntime in .venv has no CUDA provider; {_INSTALL}"
    asked = "import onnxruntime; print(onnxruntime.get_available_providers())"
    python = find_environment().prefix / "bin" / "python"
    told = subprocess.run([str(python), "-c", asked], capture_output=True, text=True, check=False).stdout
    if "CUDAExecutionProvider" not in told:
        problems["Triton"] = f"onnxruntime in .triton has no CUDA provider; {_INSTALL}"
    if "torch" in problems:
        for way in ("onnxruntime", "Triton"):
            problems.setdefault(way, "the card's matrix rate is measured by torch, which sees no GPU")
    return problems


def least_seconds(works: Mapping[str, Work], precisions: Precisions, branch: str, batch: int, card: Card) -> float:
    """The limit of one batch through encoder and pooling."""
    return sum(works[graph].seconds(card, precisions[graph], batch) for graph in BRANCHES[branch])


def report(found: Iterable[Measured], works: Mapping[str, Work], precisions: Precisions, cards: list[Card]) -> None:
    """One Markdown row per measurement. cards: the last one has the rates that were measured here."""
    print(f"\n| way | branch | batch | items per second | {' | '.join(card.name for card in cards)} | time goes to |")
    print("|---" * (5 + len(cards)) + "|")
    for one in found:
        limits = [one.batch / least_seconds(works, precisions, one.branch, one.batch, card) for card in cards]
        beside = [f"{limit:,.0f} ({one.per_second / limit:.0%})" for limit in limits]
        whole = one.whole or sum(one.seconds.values())
        parts = {**one.seconds, "elsewhere": whole - sum(one.seconds.values())}
        shares = ", ".join(
            f"{name} {seconds / whole:.0%}" for name, seconds in parts.items() if seconds > 0.005 * whole
        )
        numbers = " | ".join(beside)
        print(f"| {one.way} | {one.branch} | {one.batch} | {one.per_second:,.1f} | {numbers} | {shares} |", flush=True)


def main() -> int:
    """Command line; see the module's first lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repository", type=Path, help="exported with the profile gpu (or cpu, for --device cpu)")
    parser.add_argument("--batches", type=int, nargs="+", help="default: 1 8 64 256, on the CPU 1 4")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    config, manifest = describe_repository(options.repository).config, read_manifest(options.repository) or {}
    profile = find_profile(str(manifest.get("profile")))
    problems = lacking(options.device)
    for way, problem in problems.items():
        print(f"{way} is left out: {problem}", file=sys.stderr)
    if len(problems) == 3:
        return ExitCode.NO_SERVER
    if (profile.kind == "KIND_GPU") != (options.device == "cuda"):
        parser.error(f"{options.repository} has profile {profile.name}, which is not for --device {options.device}")
    batches = options.batches or (BATCHES if options.device == "cuda" else (1, 4))
    precisions = {graph: profile.precision(graph) for graphs in BRANCHES.values() for graph in graphs}
    name = str(torch.cuda.get_device_name(0)) if options.device == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    rates = {precision: matrix_rate(options.device, precision) for precision in set(precisions.values())}
    print(f"{name}, torch {torch.__version__}, onnxruntime {onnxruntime.__version__}, {config.name}, {profile.name}")
    print(
        f"load average {os.getloadavg()[0]:.1f}; matrix rate by torch: "
        + ", ".join(f"{precision} {rate / 1e12:.2f} TFLOP/s" for precision, rate in rates.items())
    )
    print(", ".join(f"{graph} {precision}" for graph, precision in precisions.items()))
    known = [card for mark, card in CARDS.items() if mark in name]
    bandwidth = known[0].bandwidth if known else float("inf")  # unknown: only products are counted
    cards = [*known, Card("at the measured matrix rate", rates, bandwidth)]
    works = count_work(config)
    largest = profile.models["satellite_encoder"].max_batch_size
    ways: dict[str, Callable[[], Iterator[Measured]]] = {
        "torch": lambda: in_torch(config, precisions, options.device, batches),
        "onnxruntime": lambda: in_onnxruntime(config, options.repository, precisions, options.device, batches),
        "Triton": lambda: behind_triton(config, options.repository, largest, batches),
    }
    for way, measure in ways.items():
        if way not in problems:
            report(measure(), works, precisions, cards)
    return ExitCode.DONE


if __name__ == "__main__":
    sys.exit(main())
