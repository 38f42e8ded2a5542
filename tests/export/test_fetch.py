"""A repository is fetched whole and unchanged, or not at all."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import fsspec
import pytest

from sat2sound.export.fetch import FetchRefused, fetch_repository
from sat2sound.export.manifest import file_digests, read_manifest


@pytest.fixture
def stored(tiny_repository: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_repository, tmp_path / "stored"))


def digest_of(folder: Path) -> str:
    manifest = read_manifest(folder)
    assert manifest is not None
    return str(manifest["digest"])


@pytest.mark.parametrize("scheme", ["", "file://", "memory://"])
def test_every_file_arrives(stored: Path, tmp_path: Path, scheme: str) -> None:
    if scheme == "memory://":  # stands for any store that is reached through fsspec
        fsspec.filesystem("memory").put(f"{stored}/", "/bucket/", recursive=True)
    source = "memory://bucket" if scheme == "memory://" else f"{scheme}{stored}"
    fetched = fetch_repository(source, digest_of(stored), tmp_path / "models" / "repository")
    assert file_digests(fetched) == file_digests(stored)
    assert read_manifest(fetched) == read_manifest(stored)


def test_what_is_there_already_is_not_copied_again(stored: Path, tmp_path: Path) -> None:
    digest = digest_of(stored)
    fetch_repository(str(stored), digest, tmp_path / "repository")
    shutil.rmtree(stored)
    lines: list[str] = []
    fetch_repository(str(stored), digest, tmp_path / "repository", progress=lines.append)
    assert "already" in lines[0]


def test_a_damaged_copy_is_replaced(stored: Path, tmp_path: Path) -> None:
    digest = digest_of(stored)
    fetched = fetch_repository(str(stored), digest, tmp_path / "repository")
    next(fetched.rglob("model.onnx")).write_bytes(b"damaged")
    assert file_digests(fetch_repository(str(stored), digest, fetched)) == file_digests(stored)


def test_another_content_is_refused_and_the_old_one_stays(stored: Path, tmp_path: Path) -> None:
    digest = digest_of(stored)
    fetched = fetch_repository(str(stored), digest, tmp_path / "repository")
    before = file_digests(fetched)
    with pytest.raises(FetchRefused, match=f"its digest is {digest}, asked for was {'0' * 64}"):
        fetch_repository(str(stored), "0" * 64, fetched)
    assert file_digests(fetched) == before


def test_a_file_changed_in_the_store_is_refused(stored: Path, tmp_path: Path) -> None:
    digest = digest_of(stored)
    (stored / "gallery" / "1" / "gallery.parquet").write_bytes(b"other captions")
    with pytest.raises(FetchRefused, match=r"gallery\.parquet does not have the digest"):
        fetch_repository(str(stored), digest, tmp_path / "repository")
    assert not (tmp_path / "repository").exists()


def test_a_missing_file_and_a_missing_store_are_named(stored: Path, tmp_path: Path) -> None:
    digest = digest_of(stored)
    (stored / "gallery" / "1" / "gallery.parquet").unlink()
    with pytest.raises(FetchRefused, match=r"gallery\.parquet is missing"):
        fetch_repository(str(stored), digest, tmp_path / "repository")
    with pytest.raises(FetchRefused, match="cannot be read"):
        fetch_repository(str(tmp_path / "nowhere"), digest, tmp_path / "repository")
    with pytest.raises(FetchRefused, match="Give a folder"):
        fetch_repository("gopher://models", digest, tmp_path / "repository")


def test_a_manifest_cannot_write_outside(stored: Path, tmp_path: Path) -> None:
    from sat2sound.export.manifest import repository_digest

    manifest = json.loads((stored / "manifest.json").read_text())
    manifest["files"]["../../escaped"] = "0" * 64
    manifest["digest"] = repository_digest(manifest["files"])
    (stored / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(FetchRefused, match="names the path"):
        fetch_repository(str(stored), manifest["digest"], tmp_path / "repository")
    assert not (tmp_path.parent / "escaped").exists()
