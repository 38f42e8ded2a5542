"""Export and verify a model of the published size: minutes and peak memory, `make export-published-size`.

The weights follow the parity rule (tests/parity_checkpoint.py, manifest in ../shared/parity): published ones could not
be downloaded here. The text encoder is a T5 of Flan-T5-large's width with 2 of its 24 layers (or `--layers`) and random
weights; 40 layers make a graph above 2 GiB. Everything else is of full size: satellite encoder, audio encoder, 16,000
concepts, 512 tokens. Each step runs in a process of its own, whose peak memory the kernel reports.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.flan_t5 import flan_t5_large

ROOT = Path(__file__).resolve().parent.parent
COMMAND = Path(sys.executable).with_name("sat2sound")
LAYERS = 2


def write_checkpoint_file(folder: Path, parity: Path) -> Path:
    """The checkpoint; kept between runs."""
    checkpoint = folder / "published_size.ckpt"
    if not checkpoint.exists():
        folder.mkdir(parents=True, exist_ok=True)
        sys.path.insert(0, str(ROOT / "tests"))
        from parity_checkpoint import write_checkpoint

        partial = folder / "partial.ckpt"
        write_checkpoint(partial, json.loads((parity / "manifest.json").read_text()))
        partial.rename(checkpoint)
    return checkpoint


def write_inputs(folder: Path, parity: Path, layers: int) -> tuple[Path, Path]:
    """Checkpoint and text encoder folder; kept between runs."""
    checkpoint, encoder = write_checkpoint_file(folder, parity), folder / f"t5-{layers}"
    if not encoder.exists():
        import torch
        from transformers import T5EncoderModel

        from sat2sound.configs import load_config
        from sat2sound.models.text_encoder import tokenizer_file

        torch.manual_seed(0)
        T5EncoderModel(flan_t5_large(layers)).save_pretrained(encoder, max_shard_size="10GB")
        # Its 30,522 ids fit into T5's 32,128; T5's own tokenizer would have to be downloaded.
        shutil.copyfile(tokenizer_file(load_config("starter").text.encoder), encoder / "tokenizer.json")
    return checkpoint, encoder


def measure(arguments: list[str]) -> dict[str, float]:
    """Run the program; minutes and peak memory in GB (of the largest process). Raises CalledProcessError."""
    started = time.monotonic()
    process = subprocess.Popen([str(COMMAND), *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    code = os.waitstatus_to_exitcode(status)
    process.returncode = code  # it has been waited for
    if code:
        raise subprocess.CalledProcessError(code, arguments)
    return {
        "minutes": round((time.monotonic() - started) / 60, 2),
        "processor_minutes": round((usage.ru_utime + usage.ru_stime) / 60, 2),
        "peak_gb": round(usage.ru_maxrss * 1024 / 1e9, 2),
    }


def main() -> None:
    """Command line; see the module's first lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="cpu")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "published-size")
    parser.add_argument("--parity", type=Path, default=ROOT.parent / "shared" / "parity")
    parser.add_argument("--layers", type=int, default=LAYERS, help="of the text encoder")
    options = parser.parse_args()
    checkpoint, encoder = write_inputs(options.folder, options.parity, options.layers)
    repository = options.folder / f"repository-{options.profile}"
    shutil.rmtree(repository, ignore_errors=True)
    given = ["--model", str(checkpoint), "--text-encoder", str(encoder)]
    steps = {
        "export": ["export", *given, "--profile", options.profile, "--out", str(repository)],
        "verify": ["verify", str(repository)],
    }
    load = os.getloadavg()[0]
    report = {
        "profile": options.profile,
        "text_layers": options.layers,
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, load average {load:.1f} at the start",
        **{name: measure(arguments) for name, arguments in steps.items()},
        "repository_gb": round(sum(path.stat().st_size for path in repository.rglob("*") if path.is_file()) / 1e9, 2),
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
