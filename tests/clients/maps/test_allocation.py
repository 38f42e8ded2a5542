"""Memory that is kept: measured as page faults, in processes of their own."""

from __future__ import annotations

import platform
import subprocess
import sys
from typing import cast

import pytest

from sat2sound.clients.maps import worker

# Pieces of 1 MB: a block's crops, pictures and messages; in a thread, as Dask's tasks are.
_FAULTS = """
import resource, sys, threading
from sat2sound.clients.maps.allocation import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()

def block():
    pieces = [bytearray(b"x") * 1_000_000 for _ in range(60)]

def blocks():
    block()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        block()
    print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) // 5)

thread = threading.Thread(target=blocks)
thread.start()
thread.join()
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_a_block_reuses_the_memory_of_the_last_one() -> None:
    kept, default = (
        int(subprocess.run([sys.executable, "-c", _FAULTS, how], capture_output=True, text=True, check=True).stdout)
        for how in ("kept", "default")
    )
    assert default > 1000  # pages of 4 kB, some of 60 MB; with larger pages this would tell nothing
    assert kept < 0.05 * default


def test_every_worker_of_a_run_does_that(monkeypatch: pytest.MonkeyPatch) -> None:
    from distributed import Client, LocalCluster

    called: list[bool] = []
    monkeypatch.setattr(worker, "keep_freed_memory", lambda: called.append(True))
    address = {"dashboard_address": "127.0.0.1:0", "worker_dashboard_address": "127.0.0.1:0"}
    with (
        LocalCluster(n_workers=2, processes=False, **address) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        client.register_plugin(worker.RunPlugin(cast(worker.Work, None)), name="run")
        assert called == [True, True]
