"""Whole runs: columns, crops, failures, and a real kill -9 in the middle."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from caption_endpoint import CaptionEndpoint, Request, completion
from local_hub import LocalHub
from PIL import Image

from sat2sound.captioning.captioner import PROMPT
from sat2sound.captioning.endpoint import EndpointCaptioner
from sat2sound.captioning.errors import EndpointRefused
from sat2sound.captioning.run import Job, Summary, check_failures, run
from sat2sound.errors import DatasetError, InvalidInput
from sat2sound.satellite_types import satellite_type

COMMAND = Path(sys.executable).with_name("sat2sound")
AERIAL = satellite_type("aerial")  # tiles of 256 pixels


def write_images(folder: Path, count: int, side: int = 256) -> Path:
    """Images whose colour says which one it is."""
    folder.mkdir()
    for index in range(count):
        Image.new("RGB", (side, side), (index, 40, 80)).save(folder / f"{index:03}.png")
    return folder


def describe(request: Request) -> Any:
    """A caption that says which image and how wide a crop was seen."""
    colour: Any = request.image.getpixel((request.image.width // 2, request.image.height // 2))
    return 200, completion(f"place {colour[0]} seen {request.image.width} wide")


def captions_of(path: Path) -> dict[str, dict[str, Any]]:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert len({row["id"] for row in rows}) == len(rows)
    return {row.pop("id"): row for row in rows}


def run_on(server: CaptionEndpoint, job: Job, **options: Any) -> Summary:
    captioner = EndpointCaptioner(server.url, "llava", wait=lambda seconds: None)
    try:
        return run(job, captioner, **options)
    finally:
        captioner.close()


def test_zoom_levels_are_crops_in_columns_of_their_own(tmp_path: Path) -> None:
    job = Job(write_images(tmp_path / "images", 3, side=800), tmp_path / "captions.parquet", AERIAL, (1, 3, 5))
    with CaptionEndpoint(describe) as server:
        summary = run_on(server, job)
    assert (summary.rows, summary.captions, len(summary.failures), summary.asked) == (3, 6, 3, 6)
    table = pq.read_table(job.out)
    for index, row in enumerate(table.to_pylist()):
        assert row == {
            "id": f"{index:03}.png",
            "llava_caption_aerial_zl1": f"place {index} seen 256 wide",
            "llava_caption_aerial_zl1_failure": None,
            "llava_caption_aerial_zl3": f"place {index} seen 768 wide",
            "llava_caption_aerial_zl3_failure": None,
            "llava_caption_aerial_zl5": None,
            "llava_caption_aerial_zl5_failure": "the image is 800 x 800 pixels; zoom level 5 covers 1280 x 1280",
        }
    kept = json.loads(table.schema.metadata[b"sat2sound_captions"])
    assert kept["prompt"] == PROMPT
    assert kept["model"].startswith("llava at http://127.0.0.1")


def test_failures_keep_their_reason_and_are_tried_again_only_when_told(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "images", 4)
    (folder / "damaged.png").write_bytes(b"no image")
    job = Job(folder, tmp_path / "captions.jsonl", AERIAL, (1,))

    def moody(request: Request) -> Any:
        status, body = describe(request)
        return (400, "refused") if "place 2 " in body["choices"][0]["message"]["content"] else (status, body)

    with CaptionEndpoint(moody) as server:
        first = run_on(server, job)
        assert first.failures[("002.png", 1)] == "HTTP 400: refused"
        assert "damaged.png" in {own for own, _ in first.failures}
        with pytest.raises(DatasetError, match=r"2 of 5 captions failed(.|\n)*002.png(.|\n)*--retry-failed"):
            check_failures(first, 0.1)
        check_failures(first, 0.5)
        assert run_on(server, job).asked == 0
    with CaptionEndpoint(describe) as other:
        captioner = EndpointCaptioner(other.url, "llava")
        with pytest.raises(DatasetError, match="begun with model"):
            run(job, captioner, retry_failed=True)
        captioner.close()
    row = captions_of(job.out)["002.png"]
    assert row == {"llava_caption_aerial_zl1": None, "llava_caption_aerial_zl1_failure": "HTTP 400: refused"}


def test_retry_failed_asks_only_for_what_failed(tmp_path: Path) -> None:
    job = Job(write_images(tmp_path / "images", 4), tmp_path / "captions.jsonl", AERIAL, (1,))
    with CaptionEndpoint(lambda request: (400, "no") if request.number == 1 else describe(request)) as server:
        assert len(run_on(server, job).failures) == 1
        again = run_on(server, job, retry_failed=True)
    assert (again.asked, again.captions, again.failures) == (1, 4, {})
    assert len(server.requests) == 5


def test_a_killed_run_goes_on_without_repeating_or_losing_a_row(tmp_path: Path) -> None:
    count = 30
    folder, out = write_images(tmp_path / "images", count), tmp_path / "captions.jsonl"
    random = np.random.default_rng(1)
    with CaptionEndpoint(describe, delay=0.05) as server:
        command = [
            *map(
                str,
                [
                    COMMAND,
                    "caption",
                    folder,
                    "--out",
                    out,
                    "--satellite",
                    "aerial",
                    "--zoom-level",
                    "1",
                    "--endpoint",
                    server.url,
                    "--model",
                    "llava",
                    "--batch",
                    "2",
                ],
            )
        ]
        kills = 0
        while kills < 3:
            before = len(server.requests)
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            until = before + int(random.integers(3, 9))
            while len(server.requests) < until and process.poll() is None:
                time.sleep(0.005)
            assert process.poll() is None, process.communicate()
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
            assert process.returncode == -signal.SIGKILL
            assert not out.exists()
            kills += 1
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{count} rows, {count} captions, 0 failures" in done.stdout
    expected = {f"{index:03}.png": f"place {index} seen 256 wide" for index in range(count)}
    assert {own: row["llava_caption_aerial_zl1"] for own, row in captions_of(out).items()} == expected
    lines = [json.loads(line) for line in out.with_name("captions.jsonl.journal").read_text().splitlines()[1:]]
    assert Counter(line["id"] for line in lines) == dict.fromkeys(expected, 1)
    asked = Counter(request.image.getpixel((0, 0)) for request in server.requests)
    assert count <= sum(asked.values()) <= count + kills * 2  # only what was under way was asked for again


@pytest.mark.parametrize("levels", [(), (1, 1), (0,), (11,)])
def test_zoom_levels_are_checked(levels: tuple[int, ...], tmp_path: Path) -> None:
    with pytest.raises(InvalidInput):
        Job(tmp_path, tmp_path / "a.jsonl", AERIAL, levels)


def test_other_kinds_of_output_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"\.parquet nor \.jsonl"):
        Job(tmp_path, tmp_path / "a.csv", AERIAL)


def test_a_dataset_of_the_hub_is_captioned_and_goes_on(hub: LocalHub, tmp_path: Path) -> None:
    job = Job("MVRL/SoundingEarth", tmp_path / "c.jsonl", satellite_type("googleEarth"), (1,), split="test")
    refusing = CaptionEndpoint(lambda request: (200, completion("surf")) if request.number < 5 else (401, "no more"))
    with refusing as server:
        with pytest.raises(EndpointRefused):
            run_on(server, job)
        server.reply = lambda request: (200, completion("wind"))
        again = run_on(server, job)
    assert (again.rows, again.captions, again.failures) == (12, 12, {})
    found = captions_of(job.out)
    assert list(found) == [f"aporee-{index}_7" for index in range(12)]
    said = [row["llava_caption_googleearth_zl1"] for row in found.values()]
    assert (said.count("surf"), said.count("wind"), again.asked) == (5, 7, 7)


def test_captions_of_other_images_are_not_taken_for_these(tmp_path: Path) -> None:
    job = Job(write_images(tmp_path / "images", 2), tmp_path / "captions.jsonl", AERIAL, (1,))
    other = dataclasses.replace(job, source=write_images(tmp_path / "others", 2))  # with the same ids
    with CaptionEndpoint(describe) as server:
        run_on(server, job)
        with pytest.raises(DatasetError, match=r"begun with source '.*/images', this run has '.*/others'"):
            run_on(server, other)
