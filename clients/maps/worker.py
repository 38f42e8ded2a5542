"""What a Dask worker does: read one block's imagery, have its crops embedded, hand back what is to be stored."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from distributed import WorkerPlugin, get_worker

from sat2sound.clients.client import Sat2SoundClient
from sat2sound.clients.errors import ClientError, InvalidItems, InvalidRequest, RequestTooLarge, ServerFault
from sat2sound.clients.maps.allocation import keep_freed_memory
from sat2sound.clients.maps.crops import block_crops
from sat2sound.clients.maps.errors import ImageryError
from sat2sound.clients.maps.grid import Block
from sat2sound.clients.maps.plan import Plan
from sat2sound.clients.maps.quantisation import encode
from sat2sound.clients.maps.store import Status
from sat2sound.clients.retries import Patience
from sat2sound.errors import InvalidInput

_FAULT_TRIES = 3
_clients: dict[tuple[int, str, Patience], Sat2SoundClient] = {}
_lock = threading.Lock()


@dataclass(frozen=True)
class Work:
    """What all tasks of a run share. url: gRPC address; deadline: seconds for one block; patience: with the server."""

    plan: Plan
    url: str
    deadline: float
    patience: Patience


@dataclass(frozen=True)
class BlockResult:
    """status: uint8 [height, width], PENDING where nothing was to be done. cells: bool, the n embedded ones.

    values: [n, D] as stored; scales: float32 [n] or None. reasons: why cells failed -> how many.
    """

    block: Block
    status: npt.NDArray[np.uint8]
    cells: npt.NDArray[np.bool_]
    values: npt.NDArray[Any] | None = None
    scales: npt.NDArray[np.float32] | None = None
    reasons: dict[str, int] = field(default_factory=dict)


class RunPlugin(WorkerPlugin):
    """Brings a run's Work to every worker, also to those that join, or come back after a crash, while it runs."""

    def __init__(self, work: Work) -> None:
        self.work = work

    def setup(self, worker: object) -> None:
        """Called by Dask in the worker's process, which is this one where there is one worker."""
        keep_freed_memory()


def embed_for_run(run: str, block: Block, wanted: npt.NDArray[np.bool_]) -> BlockResult:
    """`embed_block` on a Dask worker. run: the name of its RunPlugin."""
    plugin: Any = get_worker().plugins[run]
    return embed_block(plugin.work, block, wanted)


def embed_block(work: Work, block: Block, wanted: npt.NDArray[np.bool_]) -> BlockResult:
    """Embed the wanted cells of a block (bool [height, width]).

    What is wrong with this block alone (imagery that cannot be read, items that the server refuses or fails at) becomes
    failed cells with a reason, after retries. What concerns every block (no server, no access) is raised: ClientError.
    """
    plan = work.plan
    status = np.where(wanted, np.uint8(Status.NODATA), np.uint8(Status.PENDING)).astype(np.uint8)
    sought = wanted & plan.inside(block)
    if not sought.any():
        return BlockResult(block, status, np.zeros_like(wanted))
    try:
        pixels, cells = block_crops(plan.imagery, plan.grid, plan.footprint, block, sought, plan.min_valid)
    except (OSError, ImageryError) as error:
        return failed_block(block, sought, status, f"the imagery cannot be read: {str(error)[:200]}")
    if not cells.any():
        return BlockResult(block, status, cells)
    conditions = plan.conditions(block)[cells]
    try:
        embeddings = _embed(work, pixels, conditions)
    except InvalidItems as error:
        embeddings = error.results
        refused = np.zeros(len(embeddings), dtype=bool)
        refused[list(error.items)] = True
        reasons: dict[str, int] = {}
        for reason in error.items.values():
            reasons[reason] = reasons.get(reason, 0) + 1
        status[cells] = np.where(refused, np.uint8(Status.FAILED), np.uint8(Status.DONE))
        cells[cells] = ~refused
        return BlockResult(block, status, cells, *encode(embeddings[~refused], plan.stored), reasons)
    except (InvalidInput, InvalidRequest, RequestTooLarge, ServerFault) as error:
        return failed_block(block, cells, status, str(error)[:200])
    except ClientError as error:
        error.__context__ = None  # gRPC's own error, which cannot be pickled for the way back
        raise
    status[cells] = Status.DONE
    return BlockResult(block, status, cells, *encode(embeddings, plan.stored))


def failed_block(
    block: Block, sought: npt.NDArray[np.bool_], status: npt.NDArray[np.uint8], reason: str
) -> BlockResult:
    """The result where none of the sought cells could be embedded."""
    status = np.where(sought, np.uint8(Status.FAILED), status).astype(np.uint8)
    return BlockResult(block, status, np.zeros_like(sought), reasons={reason: int(sought.sum())})


def _embed(work: Work, pixels: npt.NDArray[np.uint8], conditions: npt.NDArray[np.float32]) -> Any:
    client = _client(work)
    deadline = work.deadline + work.patience.seconds  # waiting for the server to come back is not the block's fault
    for attempt in range(1, _FAULT_TRIES + 1):
        try:
            return client.embed_pixels(pixels, conditions, deadline=deadline)
        except ServerFault:
            if attempt == _FAULT_TRIES:
                raise
    raise AssertionError("unreachable")


def _client(work: Work) -> Sat2SoundClient:
    """This process's client for a server, made at first use: gRPC connections can neither be pickled nor forked.

    Each block is one request at a time, so that the blocks in flight bound the requests in flight.
    """
    key = (os.getpid(), work.url, work.patience)
    with _lock:
        if key not in _clients:
            _clients[key] = Sat2SoundClient(work.url, concurrency=1, patience=work.patience)
        return _clients[key]


def close_clients() -> None:
    """End this process's connections."""
    with _lock:
        while _clients:
            _clients.popitem()[1].close()
