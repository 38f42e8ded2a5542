"""The run that fills a map: blocks over Dask workers, resumable at any point."""

from __future__ import annotations

import logging
import os
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask
import numpy as np
import numpy.typing as npt
from distributed import Client, KilledWorker, LocalCluster, as_completed

from sat2sound.clients.maps.errors import MapError
from sat2sound.clients.maps.grid import Block
from sat2sound.clients.maps.identity import ModelIdentity
from sat2sound.clients.maps.plan import Plan
from sat2sound.clients.maps.stac_item import write_item
from sat2sound.clients.maps.store import MapStore, Status, create_map, exclusive, resume_map
from sat2sound.clients.maps.worker import BlockResult, RunPlugin, Work, close_clients, embed_for_run, failed_block
from sat2sound.clients.maps.writer import Writer
from sat2sound.clients.retries import Patience

DEFAULT_CONCURRENCY = 4
BLOCK_DEADLINE_SECONDS = 300.0
_LOOPBACK = "127.0.0.1"  # nothing of the local cluster is offered to the network
Report = Callable[[int, int], None]


@dataclass(frozen=True)
class RunSettings:
    """How a run works; nothing of it changes what the map holds.

    concurrency: blocks, and so requests, in flight over all workers. workers: processes of the local cluster (None: one
    per four cores; 1 means threads of this process). scheduler: address of a Dask scheduler instead of a local cluster.
    patience: seconds to wait for a server that has gone away. retry_failed: take up the failed cells once more.
    flush_seconds: how long results wait to be written; a killed run loses these at most, beside the blocks in flight.
    """

    concurrency: int = DEFAULT_CONCURRENCY
    workers: int | None = None
    scheduler: str | None = None
    patience: float = 300.0
    retry_failed: bool = False
    flush_seconds: float = 10.0


@dataclass(frozen=True)
class EmbeddingReport:
    """What a run did and what is missing. counts: cells by status after it; failures: reason -> cells, ever."""

    path: Path
    counts: dict[Status, int]
    failures: dict[str, int]
    embedded: int
    seconds: float
    notes: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether no cell is missing that has imagery."""
        return not self.counts[Status.PENDING] and not self.counts[Status.FAILED]

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "map": str(self.path),
            "complete": self.complete,
            "cells": {status.name.lower(): count for status, count in self.counts.items()},
            "failures": self.failures,
            "embedded_now": self.embedded,
            "seconds": round(self.seconds, 1),
            "notes": list(self.notes),
        }


def fill_map(
    path: Path,
    plan: Plan,
    model: ModelIdentity,
    url: str,
    *,
    notes: list[str] | None = None,
    settings: RunSettings | None = None,
    report: Report = lambda finished, total: None,
) -> EmbeddingReport:
    """Embed the pending cells of a map, making it first if there is none at `path`.

    url: gRPC address that the workers can reach. report: called with finished and all cells to be worked on. Raises
    MapError; ClientError when the server stays away: everything finished until then is kept, and a run with the same
    plan goes on from there.
    """
    settings, started = settings or RunSettings(), time.monotonic()
    with exclusive(path):
        new = not path.exists() or (path.is_dir() and not any(path.iterdir()))
        store = create_map(path, plan, model, notes or []) if new else resume_map(path, plan, model)
        if settings.retry_failed:
            _forget_failures(store)
        embedded = _run(store, Work(plan, url, BLOCK_DEADLINE_SECONDS, Patience(settings.patience)), settings, report)
        counts = store.counts()
        write_item(store, counts)
        failures = store.described["failures"]
    return EmbeddingReport(path, counts, failures, embedded, time.monotonic() - started, tuple(notes or ()))


def _run(store: MapStore, work: Work, settings: RunSettings, report: Report) -> int:
    counts = store.counts()
    total, finished, embedded = counts[Status.PENDING], 0, 0
    if not total:
        return 0
    report(0, total)
    writer = Writer(store, settings.flush_seconds)
    todo = _pending(store, work.plan.block_side)
    try:
        with _cluster(settings) as client:
            _await_worker(client, settings.patience)
            for result in _results(client, work, todo, max(1, settings.concurrency)):
                writer.add(result)
                finished += int((result.status != Status.PENDING).sum())
                embedded += int(result.cells.sum())
                report(finished, total)
    finally:
        writer.flush()
        close_clients()
    return embedded


def _await_worker(client: Client, patience: float) -> None:
    """A scheduler without workers, as while a cluster grows, is waited for as long as a server would be."""
    try:
        client.wait_for_workers(1, timeout=max(1.0, patience))
    except TimeoutError:
        raise MapError(
            f"the Dask scheduler has had no worker for {patience:g} seconds",
            fix="start workers (dask worker ADDRESS), or raise --patience",
        ) from None


def _results(
    client: Client, work: Work, todo: Iterator[tuple[Block, npt.NDArray[np.bool_]]], concurrency: int
) -> Iterator[BlockResult]:
    """Results as they come. At most `concurrency` blocks are with the workers, which bounds memory and requests."""
    run = f"sat2sound-map-{uuid.uuid4().hex}"
    client.register_plugin(RunPlugin(work), name=run)
    try:
        yield from _spread(client, run, todo, concurrency)
    finally:
        # A scheduler that has gone has forgotten it anyway. A client that gave up on its scheduler answers
        # AttributeError (distributed 2026: its `scheduler` is None by then), whichever moment it gave up in.
        with suppress(OSError, TimeoutError, CancelledError, AttributeError):
            client.unregister_worker_plugin(run)


def _spread(
    client: Client, run: str, todo: Iterator[tuple[Block, npt.NDArray[np.bool_]]], concurrency: int
) -> Iterator[BlockResult]:
    submitted: dict[Any, tuple[Block, npt.NDArray[np.bool_]]] = {}
    running = as_completed(loop=client.loop)

    def submit_next() -> None:
        for block, wanted in todo:
            future = client.submit(embed_for_run, run, block, wanted, pure=False)
            submitted[future.key] = (block, wanted)
            running.add(future)
            return

    for _ in range(concurrency):
        submit_next()
    for future in running:
        block, wanted = submitted.pop(future.key)
        try:
            result = future.result()
        except KilledWorker as error:  # the workers that took this block died one after another
            none = np.zeros_like(wanted, dtype=np.uint8)
            result = failed_block(block, wanted, none, f"workers died: {type(error).__name__}")
        except CancelledError:
            raise MapError(
                "the connection to the Dask scheduler was lost",
                fix="start it again, then run the same command again: what is done is kept",
            ) from None
        future.release()
        submit_next()
        yield result


def _pending(store: MapStore, side: int) -> Iterator[tuple[Block, npt.NDArray[np.bool_]]]:
    """Blocks with pending cells, shard by shard, so that few shards are open at a time."""
    for shard in store.grid.blocks(store.shard_side):
        pending = store.statuses(shard) == Status.PENDING
        if not pending.any():
            continue
        for row in range(0, shard.height, side):
            for column in range(0, shard.width, side):
                part = pending[row : row + side, column : column + side]
                if part.any():
                    yield Block(shard.row + row, shard.column + column, *part.shape), part


def _forget_failures(store: MapStore) -> None:
    for shard in store.grid.blocks(store.shard_side):
        status = store.statuses(shard)
        if (status == Status.FAILED).any():
            status[status == Status.FAILED] = Status.PENDING
            store.array("status")[shard.slices] = status
    store.update(failures={})


@contextmanager
def _cluster(settings: RunSettings) -> Iterator[Client]:
    """A client of the named scheduler, or of a local cluster that ends with the run."""
    workers = settings.workers or max(1, (os.cpu_count() or 1) // 4)
    settled = {
        "distributed.worker.memory.terminate": False,
        "distributed.comm.retry.count": 3,
        # Dask watches its process (for a dashboard, and whether memory runs out) up to a hundred times a second, which
        # took a fifth of the client's processor time: once a second is enough.
        "distributed.worker.profile.enabled": False,
        "distributed.admin.tick.interval": "1s",
        "distributed.admin.system-monitor.interval": "10s",
        "distributed.worker.memory.monitor-interval": "1s",
    }
    with dask.config.set(settled):
        if settings.scheduler:
            try:
                client = Client(settings.scheduler, timeout="10s", set_as_default=False)
            except (OSError, ValueError) as error:
                raise MapError(
                    f"no Dask scheduler answers at {settings.scheduler}: {error}",
                    fix="check the address (tcp://host:8786) and that it runs the same versions of Python and Dask",
                ) from None
            with client:
                yield client
            return
        with (
            LocalCluster(
                n_workers=workers,
                threads_per_worker=max(1, -(-settings.concurrency // workers)),
                processes=workers > 1,
                host=_LOOPBACK if workers > 1 else None,
                dashboard_address=f"{_LOOPBACK}:0",
                worker_dashboard_address=f"{_LOOPBACK}:0",
                silence_logs=logging.ERROR,
            ) as cluster,
            Client(cluster, set_as_default=False) as client,
        ):
            yield client
