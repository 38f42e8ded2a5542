"""Mixed load on a gateway: every kind of question, good and bad, from a few callers at once."""

from __future__ import annotations

import base64
import itertools
import json
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import made_inputs
from gateway_process import Answer, Gateway

from sat2sound.clients.access import Access
from sat2sound.clients.client import Sat2SoundClient

CALLERS = 3
Question = Callable[[Gateway], Answer]


def run_load(gateway: Gateway, store: Path, token_file: Path, seconds: float) -> Counter[int]:
    """Ask for `seconds`. store: a folder that the gateway may read images from. Returns HTTP status -> answers."""
    picture = made_inputs.encoded(made_inputs.picture(1))
    (store / "scene.png").write_bytes(picture)
    asked = _questions(picture, (store / "scene.png").as_uri())
    until = time.monotonic() + seconds

    def ask(first: int) -> Counter[int]:
        found: Counter[int] = Counter()
        for question in itertools.islice(itertools.cycle(asked), first, None):
            if time.monotonic() > until:
                break
            found[question(gateway).status] += 1
        return found

    def embed() -> Counter[int]:
        recording, images = made_inputs.recording(2.0), [made_inputs.encoded(made_inputs.picture(2))] * 4
        with Sat2SoundClient(f"127.0.0.1:{gateway.grpc_port}", access=Access(token_file=token_file)) as client:
            while time.monotonic() < until:
                client.embed_audio([recording])
                client.embed_satellite(images)
        return Counter()

    with ThreadPoolExecutor(CALLERS + 1) as pool:
        running = [pool.submit(embed), *(pool.submit(ask, first) for first in range(CALLERS))]
        return sum((caller.result() for caller in running), Counter())


def _questions(picture: bytes, reference: str) -> list[Question]:
    image = {"b64": base64.b64encode(picture).decode()}
    numbers = itertools.count()

    def embed_text(gateway: Gateway) -> Answer:
        words = ["rain", f"{next(numbers) % 40} birds"]  # some answers come from the cache
        text = {"inputs": [{"name": "TEXT", "datatype": "BYTES", "shape": [2, 1], "data": words}]}
        return gateway.request("POST", "/v2/models/embed_text/infer", json.dumps(text).encode())

    def without_token(gateway: Gateway) -> Answer:
        return gateway.request("GET", "/v1/models", headers={"Authorization": "Bearer wrong"})

    return [
        lambda gateway: gateway.predict({"image": image, "month": 7, "hour": 12}),
        lambda gateway: gateway.predict(*[{"image_uri": reference, "embedding": True}] * 3),
        lambda gateway: gateway.predict({"image": image, "queries": ["waves on a beach", "traffic"]}),
        embed_text,
        lambda gateway: gateway.predict({"image": "no base64!"}),
        without_token,
    ]
