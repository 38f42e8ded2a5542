"""Library and server are evaluated by the same code and agree: a real Triton server, real graphs."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import made_inputs
import numpy as np
from PIL import Image
from starter_folder import write_starter_folder

from sat2sound.clients.client import Sat2SoundClient
from sat2sound.data.opening import open_samples
from sat2sound.data.samples import Sample
from sat2sound.evaluation.backends import ImageSettings
from sat2sound.evaluation.embedding import PARTS, embed_samples
from sat2sound.evaluation.library import LibraryBackend
from sat2sound.evaluation.paired import paired_retrieval
from sat2sound.evaluation.report import evaluate
from sat2sound.evaluation.served import ServerBackend
from sat2sound.models import Sat2Sound
from sat2sound.preprocessing import Metadata
from sat2sound.serving.launcher import TritonServer

TOLERANCE = 1e-3  # of unit embeddings, as everywhere between server and library


def paired_samples(folder: Path) -> list[Sample]:
    """Images and recordings of the folder as pairs with captions, places and one damaged recording."""
    samples = list(open_samples(write_starter_folder(folder, train=1), "test"))
    images, sounds = [each for each in samples if each.image], [each for each in samples if each.audio]
    paired = [
        dataclasses.replace(
            image,
            audio=sound.audio,
            audio_caption=f"{sound.group} number {index}",
            image_caption=f"a {image.scene} of kind {index}",
            metadata=Metadata(latitude=40.0 + index, longitude=-100.0) if index % 2 else Metadata(month=7),
        )
        for index, (image, sound) in enumerate(zip(images, sounds, strict=False))
    ]
    return [*paired, Sample("damaged", image=images[-1].image, audio=b"no recording")]


def test_server_and_library_agree(tmp_path: Path, server: TritonServer) -> None:
    samples = paired_samples(tmp_path)
    library = LibraryBackend(Sat2Sound.from_checkpoint("starter"), "starter")
    with Sat2SoundClient(server.grpc_url) as client:
        served_backend = ServerBackend(client, server.grpc_url)
        expected = embed_samples(samples, library, max_skipped_share=0.2)
        served = embed_samples(samples, served_backend, max_skipped_share=0.2)
        report = evaluate(samples, served_backend, max_skipped_share=0.2, resamples=100)
    for part in PARTS:
        np.testing.assert_allclose(served.parts[part], expected.parts[part], atol=TOLERANCE, err_msg=part)
    assert [(entry.id, entry.part) for entry in served.skipped] == [("damaged", "audio")]
    assert [(entry.id, entry.part) for entry in expected.skipped] == [("damaged", "audio")]
    for ours, theirs in zip(paired_retrieval(expected, resamples=100), report.retrieval, strict=True):
        assert ours.to_json() == theirs.to_json()
    found = evaluate(samples, library, max_skipped_share=0.2, resamples=100).to_json()
    for figure in ("scene_top1", "image_to_group_top1", "audio_to_group_top1", "text_to_scene_p10"):
        assert report.to_json()[figure] == found[figure]
    assert report.about["server"] == server.grpc_url
    assert report.about["server_version"]
    assert report.about["architecture"] == "starter"


def test_one_item_alone_may_be_refused(tiny_server: TritonServer) -> None:
    with Sat2SoundClient(tiny_server.grpc_url) as client:
        answered = ServerBackend(client, tiny_server.grpc_url).recordings([b"no recording"])
    assert list(answered.refused) == [0]


def test_settings_reach_the_server_and_wrong_ones_refuse_every_image(tiny_server: TritonServer) -> None:
    image = Image.new("RGB", (600, 600), "red")
    image.paste((0, 0, 255), (172, 172, 428, 428))  # blue within the 256 pixels that an aerial tile has
    files = [made_inputs.encoded(image)] * 3
    with Sat2SoundClient(tiny_server.grpc_url) as client:
        near, native = (
            ServerBackend(client, "", ImageSettings(satellite, 1)).images(files, [Metadata()] * 3).embeddings
            for satellite in ("bingmap", None)
        )
        wrong = ServerBackend(client, "", ImageSettings(satellite="landsat"))
        refused = wrong.images(files, [Metadata()] * 3).refused
    assert float(np.abs(near - native).max()) > 1e-3  # the tile of bingmap is wider
    assert sorted(refused) == [0, 1, 2]
    assert "landsat" in refused[0]
