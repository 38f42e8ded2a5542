"""Scores of a map: the same numbers whichever way they are computed, never one for a masked cell."""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rioxarray  # noqa: F401
import xarray as xr
from made_inputs import recording
from made_maps import UTM
from rio_cogeo.cogeo import cog_validate

from sat2sound.clients.maps import api
from sat2sound.clients.maps.answer import answer_queries
from sat2sound.clients.maps.errors import MapInUse, NotAMap, OtherModel
from sat2sound.clients.maps.quantisation import decode
from sat2sound.clients.maps.query import Query, embed_queries, open_map, score_cells, score_map
from sat2sound.clients.maps.store import Status, exclusive, open_map_store
from sat2sound.errors import InvalidInput

TEXTS = ["waves on a beach", "traffic"]


def expected_scores(made_map: Any, queries: list[Query]) -> np.ndarray:
    store = open_map_store(made_map.store)
    embeddings = decode(store.array("embedding")[:], store.array("scale")[:])
    table = np.stack([query.embedding for query in queries])
    scores = np.einsum("yxd,qd->qyx", embeddings, table)
    scores[:, store.array("status")[:] != Status.DONE] = np.nan
    return np.asarray(scores)


def test_from_python_a_dataset_in_and_out(made_map: Any) -> None:
    dataset = open_map(made_map.store)
    assert dict(dataset.sizes) == {"y": 6, "x": 9, "feature": 256}
    assert dataset.embedding.chunks is not None  # lazy
    assert dataset.rio.crs.to_string() == UTM
    scores = api.score(dataset, made_map.client, texts=TEXTS)
    assert scores.score.dims == ("query", "y", "x")
    assert scores["query"].values.tolist() == TEXTS
    queries = embed_queries(made_map.client, TEXTS, [])
    np.testing.assert_allclose(scores.score, expected_scores(made_map, queries), atol=1e-6)
    part = api.score(dataset.isel(x=slice(2, 5), y=[1]), made_map.client, texts=TEXTS)
    np.testing.assert_allclose(part.score, scores.score.isel(x=slice(2, 5), y=[1]), atol=1e-7)
    np.testing.assert_array_equal(np.isnan(scores.score.isel(query=0)), np.arange(9)[None].repeat(6, 0) == 8)


def test_a_cloud_optimized_geotiff(made_map: Any, tmp_path: Path) -> None:
    wave = tmp_path / "gulls.wav"
    wave.write_bytes(recording(2.0))
    seen: list[tuple[int, int]] = []
    answer = answer_queries(made_map.store, made_map.client, TEXTS, [wave], tmp_path / "map.tif",
                            notify=lambda *counts: seen.append(counts))  # fmt: skip
    assert seen[-1] == (6, 6)
    valid, problems, remarks = cog_validate(tmp_path / "map.tif", strict=True)
    assert (valid, problems, remarks) == (True, [], [])
    with rasterio.open(tmp_path / "map.tif") as raster:
        assert raster.descriptions == (*TEXTS, "gulls.wav")
        assert raster.crs.to_string() == UTM
        assert raster.transform == open_map_store(made_map.store).grid.transform
        assert np.isnan(raster.nodata)
        assert raster.tags()["SAT2SOUND_MODEL"] == "starter"
        assert raster.tags()["SAT2SOUND_IMAGERY"] == str(made_map.raster)
        for band, query in enumerate(answer.queries, 1):
            assert raster.tags(band)["SAT2SOUND_QUERY_SHA256"] == query.digest
            assert raster.tags(band)["SAT2SOUND_QUERY_KIND"] == ("audio" if band == 3 else "text")
        np.testing.assert_allclose(raster.read(), expected_scores(made_map, list(answer.queries)), atol=1e-6)
    assert [path.name for path in tmp_path.iterdir() if path.name != "gulls.wav"] == ["map.tif"]


def test_a_large_map_has_overviews(made_map: Any, tmp_path: Path) -> None:
    from sat2sound.clients.maps.geotiff import write_scores

    queries = embed_queries(made_map.client, TEXTS[:1], [])
    scores = score_map(open_map(made_map.store), queries)
    tall = scores.score.isel(x=slice(0, 8), y=0).values.repeat(100, axis=-1)[:, None].repeat(700, axis=1)
    coordinates = {"spatial_ref": scores.coords["spatial_ref"]}
    dataset = xr.DataArray(tall, dims=("query", "y", "x"), coords=coordinates).to_dataset(name="score")
    write_scores(tmp_path / "a.tif", dataset, queries, {})
    assert cog_validate(tmp_path / "a.tif", strict=True)[0]
    with rasterio.open(tmp_path / "a.tif") as raster:
        assert raster.overviews(1) == [2, 4, 8, 16]


def test_softmax_over_the_queries(made_map: Any) -> None:
    queries = embed_queries(made_map.client, [*TEXTS, "birds"], [])
    cosines = expected_scores(made_map, queries)
    scores = score_map(open_map(made_map.store), queries, softmax=0.05).score.values
    done = np.isfinite(cosines[0])
    np.testing.assert_allclose(scores[:, done].sum(axis=0), 1.0, atol=1e-6)
    exponentials = np.exp((cosines - cosines.max(axis=0)) / 0.05)
    np.testing.assert_allclose(scores[:, done], (exponentials / exponentials.sum(axis=0))[:, done], rtol=1e-4)
    assert np.isnan(scores[:, ~done]).all()
    with pytest.raises(InvalidInput, match="temperature is 0"):
        score_map(open_map(made_map.store), queries, softmax=0.0)


def test_pending_and_failed_cells_have_no_score() -> None:
    status = np.array([[Status.DONE, Status.PENDING], [Status.FAILED, Status.NODATA]], np.uint8)
    scores = score_cells(
        np.ones((2, 2, 4), np.int8), status, np.ones((2, 2), np.float32), queries=np.eye(4, dtype=np.float32)[:1]
    )
    np.testing.assert_array_equal(scores[..., 0], [[1.0, np.nan], [np.nan, np.nan]])


def test_queries_of_another_model(made_map: Any, server: Any, tmp_path: Path) -> None:
    """The starter's architecture has the same name, its weights are others."""
    from sat2sound.clients.client import Sat2SoundClient

    with (
        Sat2SoundClient(server.grpc_url) as other,
        pytest.raises(OtherModel, match=r"'starter' with other weights than the 'starter'"),
    ):
        answer_queries(made_map.store, other, TEXTS, [], tmp_path / "map.tif")
    (query,) = embed_queries(made_map.client, TEXTS[:1], [])
    with pytest.raises(InvalidInput, match="queries have 8 numbers, the map's embeddings 256"):
        score_map(open_map(made_map.store), [dataclasses.replace(query, embedding=query.embedding[:8])])


def test_mistakes(made_map: Any, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="nothing to ask"):
        embed_queries(made_map.client, [], [])
    with pytest.raises(NotAMap, match="does not exist"):
        answer_queries(tmp_path / "absent.zarr", made_map.client, TEXTS, [], tmp_path / "map.tif")
    with exclusive(made_map.store), pytest.raises(MapInUse, match="a run is writing to it"):
        answer_queries(made_map.store, made_map.client, TEXTS, [], tmp_path / "map.tif")
    assert not (tmp_path / "map.tif").exists()


def test_recordings_of_one_name_are_told_apart(made_map: Any, tmp_path: Path) -> None:
    for folder in ("north", "south"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "gulls.wav").write_bytes(recording(2.0))
    recordings = [tmp_path / folder / "gulls.wav" for folder in ("north", "south")]
    queries = embed_queries(made_map.client, ["gulls.wav"], recordings)
    assert [query.name for query in queries] == ["gulls.wav", "gulls.wav (2)", "gulls.wav (3)"]


def test_other_programs_open_it_too(made_map: Any) -> None:
    """Plain xarray and rioxarray, without this project's help."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # theirs
        dataset = xr.open_zarr(made_map.store, consolidated=False, decode_coords="all", mask_and_scale=False)
    assert dataset.rio.crs.to_epsg() == 32633
    assert dataset.rio.transform() == open_map_store(made_map.store).grid.transform
