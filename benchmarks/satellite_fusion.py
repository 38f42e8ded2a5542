"""Would a fusion graph of its own pay? Published size with random weights, on the CPU, in one run.

One graph (as served): encoder with metadata fusion, then pooling, once per variant of month and hour. Two graphs: the
encoder once, then fusion and pooling per variant. `python benchmarks/satellite_fusion.py`
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import numpy as np
import torch

from sat2sound.export.samples import conditions, pictures
from sat2sound.models import Sat2Sound

VARIANTS = (1, 12)


def seconds(run: Callable[[], object], turns: int = 3) -> float:
    """Smallest of several calls: other work on the machine only adds."""
    run()
    taken = []
    for _ in range(turns):
        started = time.perf_counter()
        run()
        taken.append(time.perf_counter() - started)
    return min(taken)


@torch.inference_mode()
def main() -> None:
    """Print the parts, and both ways for one and for twelve variants of one image."""
    model = Sat2Sound.from_config("bingmap-withmeta").eval()
    fusion = model.metadata
    if fusion is None:
        raise RuntimeError("the configuration has no metadata fusion")
    random = np.random.default_rng(0)
    image = torch.from_numpy(pictures(1, random))
    known = torch.from_numpy(np.concatenate(list(conditions(1, random).values()), axis=1))
    tokens = torch.randn(1, model.config.satellite.grid**2, model.config.embedding)
    fused = fusion(tokens, known)
    parts = {
        "encoder with fusion": seconds(lambda: model.encode_satellite(image, known)),
        "fusion": seconds(lambda: fusion(tokens, known)),
        "pooling": seconds(lambda: model.pool_satellite(fused)),
    }
    alone = parts["encoder with fusion"] - parts["fusion"]
    print(f"load average {os.getloadavg()[0]:.1f}")
    for name, taken in parts.items():
        print(f"{name:20} {1000 * taken:7.0f} ms")
    for count in VARIANTS:
        one = count * (parts["encoder with fusion"] + parts["pooling"])
        two = alone + count * (parts["fusion"] + parts["pooling"])
        print(
            f"{count:2} variants: one graph {1000 * one:6.0f} ms, two graphs {1000 * two:6.0f} ms ({one / two:.2f} x)"
        )
    print(f"between the two graphs: {tokens.nbytes / 1e6:.1f} MB per image")


if __name__ == "__main__":
    main()
