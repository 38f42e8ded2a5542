"""Does this library compute what the published code computes? `python tests/parity.py DIR` prints a table.

DIR holds manifest.json (salt, parameter names, what each input is), expected.npz and the inputs. Models are filled by
the rule in MODEL.md, written as published checkpoints, and loaded through the public loader. Any part of the layout
may be absent: metadata parts, images, recordings, texts, losses, retrieval. Exit 1 if anything is off, if an expected
number was not compared, or if there was nothing to compare.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from parity_branches import audio_checks, satellite_checks, text_checks
from parity_checkpoint import write_checkpoint
from parity_folder import Check, ParityFolder
from parity_numbers import loss_checks, retrieval_checks

from sat2sound.models import Sat2Sound


def checks(folder: ParityFolder, scratch: Path) -> Iterator[Check]:
    """All comparisons, in the order of data flow."""
    if folder.needs_models:
        with torch.inference_mode():
            yield from _model_checks(folder, scratch)
    yield from loss_checks(folder)
    yield from retrieval_checks(folder)


def _model_checks(folder: ParityFolder, scratch: Path) -> Iterator[Check]:
    try:
        plain = _load(folder, scratch / "nometa.ckpt", metadata=False)
        full = _load(folder, scratch / "withmeta.ckpt", metadata=True) if folder.metadata_parts else plain
    except Exception as error:  # the numbers that need no model are still wanted
        yield Check("checkpoint", float("nan"), 0, f"{type(error).__name__}: {error}")
        return
    yield from satellite_checks(folder, full, plain)
    yield from audio_checks(folder, plain)
    yield from text_checks(folder, plain)


def _load(folder: ParityFolder, path: Path, *, metadata: bool) -> Sat2Sound:
    parts = folder.metadata_parts if metadata else ()
    write_checkpoint(path, folder.manifest, parts=parts, satellite=folder.satellite_type)
    return Sat2Sound.from_checkpoint(path)


def main(arguments: list[str] | None = None) -> int:
    """Print the table of one folder; 0 if everything was compared and passed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DIR")
    path = parser.parse_args(arguments).folder
    try:
        folder = ParityFolder(path)
    except (OSError, ValueError) as error:
        print(f"{path} is no parity folder (manifest.json, expected.npz, inputs): {error}")
        return 1
    compared = failed = 0
    print(f"{'quantity':<32}{'max |difference|':>18}{'tolerance':>12}  pass")
    with tempfile.TemporaryDirectory() as scratch:
        for check in checks(folder, Path(scratch)):
            compared, failed = compared + 1, failed + (not check.passed)
            verdict = "yes" if check.passed else "NO"
            print(f"{check.quantity:<32}{check.difference:>18.3g}{check.tolerance:>12.0e}  {verdict}")
            if check.problem:
                print(f"    {check.problem}")
    for name in folder.not_compared:
        print(f"{name:<32}{'not compared':>18}{'':>12}  NO")
    if not compared:
        print("nothing was compared")
    left = len(folder.not_compared)
    summary = f"{failed} of {compared} failed, {left} not compared"
    print(summary if failed or left or not compared else f"all {compared} passed")
    return 1 if failed or left or not compared else 0


if __name__ == "__main__":
    sys.exit(main())
