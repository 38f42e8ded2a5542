"""What one would write today without an inference server: FastAPI around the torch model. Served beside us in one run.

    uvicorn benchmarks.peers.fastapi_torch:app

Inference mode, 2 threads, one worker process, the same preprocessing. Requests run in a pool of two threads: at batch 1
torch keeps little more than one core busy, so that two requests side by side are almost twice as fast as one after the
other, and faster than the forty threads of FastAPI's own pool (docs/benchmarks.md).
SAT2SOUND_PEER_MODEL: "starter" or a checkpoint. SAT2SOUND_PEER_POOL: threads of the pool.
"""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import torch
from fastapi import FastAPI, Request

from sat2sound.models import Sat2Sound
from sat2sound.preprocessing import Conditions, Limits, SatelliteRequest, prepare_satellite
from sat2sound.preprocessing.metadata import MISSING

torch.set_num_threads(2)
app = FastAPI()
model = Sat2Sound.from_checkpoint(os.environ.get("SAT2SOUND_PEER_MODEL", "starter"))
UNKNOWN = Conditions(gsd=MISSING)
limits = Limits.from_environment()
workers = ThreadPoolExecutor(max_workers=int(os.environ.get("SAT2SOUND_PEER_POOL", "2")))


@torch.inference_mode()
def embed(pixels: npt.NDArray[np.uint8], conditions: Conditions) -> list[float]:
    """One image, batch 1."""
    tokens = model.encode_satellite(torch.from_numpy(pixels)[None], torch.from_numpy(conditions.as_array())[None])
    embedding: list[float] = model.pool_satellite(tokens)[0].tolist()
    return embedding


def embed_file(image: bytes) -> list[float]:
    """Decoded, cropped and resized as served."""
    return embed(*prepare_satellite(SatelliteRequest(image), model.config, limits))


@app.post("/embed_pixels")
async def embed_pixels(request: Request) -> dict[str, list[float]]:
    """Body: 224 x 224 x 3 bytes."""
    pixels = np.frombuffer(await request.body(), np.uint8).reshape(224, 224, 3).copy()
    return {"embedding": await asyncio.get_running_loop().run_in_executor(workers, embed, pixels, UNKNOWN)}


@app.post("/embed_image")
async def embed_image(request: Request) -> dict[str, list[float]]:
    """Body: an image file."""
    image = await request.body()
    return {"embedding": await asyncio.get_running_loop().run_in_executor(workers, embed_file, image)}


@app.get("/ready")
def ready() -> dict[str, bool]:
    """The model is loaded before the application answers."""
    return {"ready": True}
