"""The report: what it says, and that the page is whole, safe and needs nothing from anywhere."""

from __future__ import annotations

import base64
import io
import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from sat2sound.clients.description import ModelDescription, default_description
from sat2sound.clients.ranking import RankedSound, Ranking
from sat2sound.clients.report import Report, render_page
from sat2sound.clients.scene import ImageMetadata, Scene, sample, scene_of_file
from sat2sound.clients.stages import StageTimes
from sat2sound.configs import load_config

NASTY = '<script>alert("1")</script> & "quotes"'


def report(scene: Scene, model: ModelDescription | None = None, caption: str = "waves") -> Report:
    sounds = tuple(RankedSound(rank, 0.8 / rank, f"id-{rank}", caption, "") for rank in range(1, 4))
    stages = {"preprocess": 6.0, "encode": 20.0, "pooling": 2.0, "similarity": 1.0, "gallery": 1.0}
    return Report(
        image="beach.jpg",
        scene=scene,
        ranking=Ranking(sounds),
        times=StageTimes(stages, 40.0, 5),
        first_request_ms=70.0,
        server_version="2.51.0",
        model=model or default_description(),
        created=datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
    )


class Page(HTMLParser):
    """Collects what a browser would load, and checks that tags close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.tags: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_the_page_is_whole_and_needs_no_network() -> None:
    text = render_page(report(sample(ImageMetadata(month=7))))
    page = Page(text)
    assert page.open == []
    assert len(page.sources) == 1
    kind, _, content = page.sources[0].partition(",")
    assert kind == "data:image/jpeg;base64"
    with Image.open(io.BytesIO(base64.b64decode(content))) as image:
        assert image.size == (256, 256)
    assert not re.search(r"(src|href|url\()\s*=?\s*[\"']?https?:", text)
    assert "script" not in page.tags
    assert "prefers-color-scheme: dark" in text
    assert "width=device-width" in text


def test_it_says_what_matters() -> None:
    words = " ".join(" ".join(Page(render_page(report(sample(ImageMetadata(month=7, hour=5))))).words).split())
    for expected in (
        "synthetic scene",
        "not a real place",
        "metadata ignored by this model (it was trained without): month, local hour",
        "waves",
        "0.800",
        "0.267",
        "Triton 2.51.0",
        "model starter",
        "20.00 ms",
        "40.00 ms",  # round trip
        "10.00 ms",  # transport and scheduling: 40 - 30
        "70.0 ms",  # first request
        "2026-01-02 03:04 UTC",
    ):
        assert expected in words


def test_a_model_with_metadata_ignores_nothing() -> None:
    trained = ModelDescription(load_config("bingmap-withmeta"))
    said = report(sample(ImageMetadata(latitude=1.0, longitude=2.0, month=7, hour=5)), trained)
    assert not any("ignored" in note for note in said.notes)
    assert any("ignored" in note for note in report(said.scene).notes)


def test_names_from_outside_stay_text(tmp_path: Path) -> None:
    path = tmp_path / "<img src=x>.png"
    Image.new("RGB", (300, 256)).save(path)
    scene = scene_of_file(path, ImageMetadata(), default_description().satellite)
    page = Page(render_page(report(scene, caption=NASTY)))
    assert page.open == []
    assert "script" not in page.tags
    assert NASTY in "".join(page.words)
    assert page.tags.count("img") == 2  # the image, and the crop that the model sees, as it is not the whole image


def test_json_has_the_agreed_names() -> None:
    document = json.loads(json.dumps(report(sample(ImageMetadata(latitude=1.0, longitude=2.0))).to_json()))
    assert document["server_version"] == "2.51.0"
    assert document["image"] == "beach.jpg"
    assert document["ranking"][0] == {"rank": 1, "score": 0.8, "id": "id-1", "caption": "waves", "sound": ""}
    assert document["stages_ms"] == {
        "preprocess": 6.0,
        "encode": 20.0,
        "pooling": 2.0,
        "similarity": 1.0,
        "gallery": 1.0,
        "total": 40.0,
    }
    assert document["scene"]["synthetic"] is True
    assert document["scene"]["latitude"] == 1.0
    assert document["created"] == "2026-01-02T03:04:00+00:00"


@pytest.mark.parametrize("scores", [(0.0, -0.2), (-0.1, -0.3), (1.0, 1.0)])
def test_bars_fit_whatever_the_scores(scores: tuple[float, float]) -> None:
    plain = report(sample(ImageMetadata()))
    sounds = tuple(RankedSound(rank, score, "i", "c", "") for rank, score in enumerate(scores, 1))
    page = render_page(Report(**{**vars(plain), "ranking": Ranking(sounds)}))
    bars = [float(width) for width in re.findall(r'class="bar"><i style="width:([\d.-]+)%', page)]
    assert len(bars) == 2
    assert all(0 <= width <= 100 for width in bars)
