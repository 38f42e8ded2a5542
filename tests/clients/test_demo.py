"""The whole demo on a built repository: embedded server, report, nothing left running."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import made_inputs
import pytest
from shared_data import shared_folder

from sat2sound.clients.demo import run_demo
from sat2sound.clients.errors import InvalidRequest
from sat2sound.clients.report import Report
from sat2sound.clients.scene import ImageMetadata
from sat2sound.clients.stages import STAGES
from sat2sound.errors import ConfigurationError, InvalidInput


def demo(out: Path, repository: Path | None, **options: Any) -> tuple[Report, list[str]]:
    steps: list[str] = []
    arguments: dict[str, Any] = {"image": None, "metadata": ImageMetadata(), "tile_template": None, "top_k": 10}
    report = run_demo(out=out, repository=repository, progress=steps.append, **{**arguments, **options})
    return report, steps


@pytest.mark.parametrize("kind", ["made", "real"])
def test_from_an_image_to_a_report(server: Any, tmp_path: Path, kind: str) -> None:
    (made,) = made_inputs.image_files(tmp_path, 1)
    image = made if kind == "made" else shared_folder("data", "images", "beach", "beach85.jpg")
    report, steps = demo(tmp_path / "new" / "out", server.repository, image=image, metadata=ImageMetadata(month=7))
    written = json.loads((tmp_path / "new" / "out" / "report.json").read_text())
    assert written == json.loads(json.dumps(report.to_json()))
    assert written["image"] == str(image)
    assert written["server_version"].startswith("2.")
    assert [entry["rank"] for entry in written["ranking"]] == list(range(1, 11))
    assert set(written["stages_ms"]) == {*STAGES, "total"}
    assert all(value > 0 for value in written["stages_ms"].values())
    assert written["scene"]["synthetic"] is False
    page = (tmp_path / "new" / "out" / "report.html").read_text()
    assert image.name in page
    assert report.ranking[0].id in page
    assert sorted(path.name for path in (tmp_path / "new" / "out").iterdir()) == ["report.html", "report.json"]
    assert steps[-1] == "stopping the server"


def test_without_anything_a_labelled_synthetic_scene(server: Any, tmp_path: Path) -> None:
    report, _ = demo(tmp_path, server.repository, top_k=3)
    assert len(report.ranking) == 3
    written = json.loads((tmp_path / "report.json").read_text())
    assert written["scene"]["synthetic"] is True
    assert any("not a real place" in note for note in written["notes"])
    assert "synthetic scene" in (tmp_path / "report.html").read_text()


def test_what_is_wrong_is_said_before_a_server_starts(server: Any, tmp_path: Path) -> None:
    image = tmp_path / "image.png"
    image.write_bytes(made_inputs.encoded(made_inputs.picture()))
    with pytest.raises(InvalidInput, match="month is 13"):
        demo(tmp_path / "out", server.repository, image=image, metadata=ImageMetadata(month=13))
    with pytest.raises(InvalidInput, match="cannot read"):
        demo(tmp_path / "out", server.repository, image=tmp_path / "absent.jpg")
    for content, said in ((b"no image at all", "not an image"), (image.read_bytes()[:-3000], "damaged or incomplete")):
        (tmp_path / "bad").write_bytes(content)
        with pytest.raises(InvalidInput, match=said) as refused:
            demo(tmp_path / "out", server.repository, image=tmp_path / "bad")
        assert not isinstance(refused.value, InvalidRequest)  # no server was asked
    with pytest.raises(ConfigurationError, match=r"is not a built model repository.*sat2sound export"):
        demo(tmp_path / "out", tmp_path)
    assert not (tmp_path / "out").exists()
