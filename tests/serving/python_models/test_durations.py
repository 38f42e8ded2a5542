"""Python steps count their time in the running server's metrics."""

from __future__ import annotations

import re
import urllib.request

from sat2sound.clients.client import Sat2SoundClient
from sat2sound.metrics import LATENCY_BUCKETS_SECONDS, STEP_DURATION
from sat2sound.serving.launcher import TritonServer


def scrape(server: TritonServer) -> str:
    with urllib.request.urlopen(server.metrics_url, timeout=10) as answer:  # noqa: S310 (loopback)
        return str(answer.read().decode())


def count(text: str, model: str) -> float:
    found = re.search(rf'^{STEP_DURATION.name}_count{{model="{model}"}} (\S+)$', text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def test_a_request_adds_one_observation_to_its_step(tiny_server: TritonServer) -> None:
    with Sat2SoundClient(tiny_server.grpc_url) as client:
        client.embed_text(["rain on leaves"])
        before = scrape(tiny_server)
        for _ in range(3):
            client.embed_text([f"rain on leaves {_}"])
    after = scrape(tiny_server)
    assert count(after, "text_preprocess") - count(before, "text_preprocess") == 3
    assert count(after, "audio_preprocess") == count(before, "audio_preprocess")


def test_buckets_are_those_of_every_latency_here(tiny_server: TritonServer) -> None:
    edges = re.findall(rf'{STEP_DURATION.name}_bucket{{model="text_preprocess",le="([^"]+)"}}', scrape(tiny_server))
    assert [float(edge) for edge in edges[:-1]] == list(LATENCY_BUCKETS_SECONDS)
    assert edges[-1] == "+Inf"
