"""Evaluation of a dataset with the library: equal to the training's own figures, robust to what data are like."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import made_inputs
import numpy as np
import pytest
import torch
from starter_folder import write_starter_folder

from sat2sound.data.opening import open_samples
from sat2sound.data.samples import Sample
from sat2sound.errors import DatasetError
from sat2sound.evaluation.backends import ImageSettings
from sat2sound.evaluation.embedding import embed_samples
from sat2sound.evaluation.library import LibraryBackend
from sat2sound.evaluation.report import evaluate
from sat2sound.evaluation.starter import evaluate_starter, read_evaluation_data
from sat2sound.models import Sat2Sound
from sat2sound.preprocessing import Metadata
from sat2sound.training.caption_files import read_caption_files
from sat2sound.training.starter_data import StarterFolder
from sat2sound.training.text_states import TextStates


@pytest.fixture(scope="module")
def backend() -> LibraryBackend:
    torch.manual_seed(5)
    return LibraryBackend(Sat2Sound.from_config("starter").eval(), "random")


def pairs(count: int) -> list[Sample]:
    return [
        Sample(
            f"place-{index}",
            image=made_inputs.encoded(made_inputs.picture(index)),
            audio=made_inputs.recording(1.0 + index / 10),
            audio_caption=f"sound {index}",
            image_caption=f"place {index}",
        )
        for index in range(count)
    ]


def test_equals_the_figures_that_training_computes(tmp_path: Path, backend: LibraryBackend) -> None:
    folder = write_starter_folder(tmp_path, train=1)
    report = evaluate(open_samples(folder, "test"), backend)
    model = backend.embedder.model
    data = read_evaluation_data(StarterFolder(folder), "test", read_caption_files())
    expected = evaluate_starter(model, data, TextStates(data.texts, model.config.text))
    document = report.to_json()
    assert {name: document[name] for name in dataclasses.asdict(expected)} == dataclasses.asdict(expected)
    assert document["per_scene"]["scene_top1"]["beach"]["n"] == 4
    for name, of_scene in document["per_scene"].items():
        whole = sum(each["value"] * each["n"] for each in of_scene.values())
        assert whole == pytest.approx(document[name]["value"] * document[name]["n"])
    assert document["given"] == {"image": 12, "audio": 9, "audio_caption": 0, "image_caption": 0}
    assert not report.retrieval
    assert not report.skipped


def test_damaged_files_are_skipped_counted_and_listed(backend: LibraryBackend) -> None:
    samples = pairs(8)
    samples[1] = dataclasses.replace(samples[1], image=b"no image")
    samples[3] = dataclasses.replace(samples[3], audio=Path("/nowhere/sound.wav"))
    samples[5] = dataclasses.replace(samples[5], audio_caption="  ", image_caption=None)
    report = evaluate(samples, backend, max_skipped_share=0.2, resamples=20)
    assert [(entry.id, entry.part) for entry in report.skipped] == [("place-3", "audio"), ("place-1", "image")]
    assert "No such file" in report.skipped[0].reason
    found = {(each.protocol.query, each.protocol.gallery, each.protocol.text): each.n for each in report.retrieval}
    assert found["image", "audio", "none"] == 6
    assert found["image", "audio", "query"] == 5
    assert found["image_caption", "image", "none"] == 6
    assert report.notes == ["1 of 6 pairs have no audio caption and take no part where text is added"]


def test_a_damaged_file_changes_no_other_embedding(backend: LibraryBackend) -> None:
    samples = pairs(4)
    whole = embed_samples(samples, backend)
    damaged = embed_samples(
        [dataclasses.replace(samples[0], audio=b"noise"), *samples[1:]], backend, max_skipped_share=0.3
    )
    assert np.isnan(damaged.parts["audio"][0]).all()
    np.testing.assert_allclose(damaged.parts["audio"][1:], whole.parts["audio"][1:], atol=1e-5)


def test_too_many_damaged_files_fail_the_run_with_their_reasons(backend: LibraryBackend) -> None:
    samples = [
        dataclasses.replace(sample, audio=b"noise") if index < 3 else sample for index, sample in enumerate(pairs(10))
    ]
    with pytest.raises(DatasetError, match=r"3 of 10 audio entries(.|\n)*place-0: (.|\n)*--max-skipped"):
        evaluate(samples, backend, max_skipped_share=0.2)


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        ([], "split is empty"),
        ([Sample("a", audio_caption="x"), Sample("a", audio_caption="y")], "1 samples have an id"),
        ([Sample("a"), Sample("b", image_caption=" ")], "no sample has an image"),
        ([Sample("a", audio_caption="birds"), Sample("b", audio_caption="rain")], "nothing to evaluate"),
    ],
)
def test_data_that_allow_no_figure(samples: list[Sample], words: str, backend: LibraryBackend) -> None:
    with pytest.raises(DatasetError, match=words):
        evaluate(samples, backend)


def test_an_embedding_that_is_not_finite_is_a_failure(backend: LibraryBackend) -> None:
    class Overflowing(LibraryBackend):
        def recordings(self, files):  # type: ignore[no-untyped-def]
            answered = super().recordings(files)
            answered.embeddings[2] = np.nan
            return answered

    overflowing = Overflowing(backend.embedder.model, "overflowing")
    found = embed_samples(pairs(4), overflowing, max_skipped_share=0.5)
    assert [(entry.id, entry.reason) for entry in found.skipped] == [
        ("place-2", "its embedding is not finite: the model overflowed")
    ]


def test_zoom_level_and_metadata_reach_the_model() -> None:
    torch.manual_seed(3)
    model = Sat2Sound.from_config("starter").eval()
    image = made_inputs.encoded(made_inputs.picture())
    near, far = (
        LibraryBackend(model, "random", ImageSettings(zoom_level=zoom)).images([image], [Metadata()]).embeddings
        for zoom in (1, 3)
    )
    assert float(np.abs(near - far).max()) > 1e-3
    settings = ImageSettings(satellite="bingmap")
    chosen = LibraryBackend(model, "random", settings).images([image], [Metadata()], "sentinel").embeddings
    own = embed_samples([Sample("a", image=image, satellite="bingmap")], LibraryBackend(model, "random"))
    np.testing.assert_array_equal(own.parts["image"], chosen)  # the dataset's own type; what is asked for comes first
    refused = LibraryBackend(model, "random").images([image] * 2, [Metadata(), Metadata(latitude=91.0, longitude=0.0)])
    assert list(refused.refused) == [1]
    assert "latitude is 91" in refused.refused[1]
