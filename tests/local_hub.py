"""The Hugging Face hub's protocol over folders on this machine: what `hf://datasets/OWNER/NAME` asks of it."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class LocalHub:
    """address: of the hub. datasets: OWNER/NAME -> folder. reads: path, first and last byte of all that was read."""

    datasets: Mapping[str, Path]
    address: str = ""
    reads: list[tuple[str, int, int]] = field(default_factory=list)


@contextmanager
def asked_by_this_process(hub: LocalHub, cache: Path) -> Iterator[None]:
    """The libraries read the hub's address when they are imported: HF_ENDPOINT would come too late."""
    import datasets
    from huggingface_hub import HfFileSystem, constants

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "ENDPOINT", hub.address)
        patch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.address + "/{repo_id}/resolve/{revision}/{filename}"
        )
        patch.setattr(constants, "HF_HUB_CACHE", str(cache / "hub"))
        patch.setattr(datasets.config, "HF_ENDPOINT", hub.address)
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", cache / "datasets")
        HfFileSystem.clear_instance_cache()
        try:
            yield
        finally:
            HfFileSystem.clear_instance_cache()


@contextmanager
def local_hub(datasets: Mapping[str, Path]) -> Iterator[LocalHub]:
    """Serve these datasets on the loopback."""
    hub = LocalHub(datasets)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: LocalHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(head=True)

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self, *, head: bool = False) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = unquote(urlsplit(self.path).path).strip("/").split("/")
        about, files = parts[:2] == ["api", "datasets"], parts[:1] == ["datasets"]
        name = "/".join(parts[2:4] if about else parts[1:3])
        folder = self.hub.datasets.get(name)
        if folder is None or not (about or files):
            self._json({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})
        elif about:
            self._about(folder, name, parts[4:], body)
        else:
            self._file(folder, parts[5:], head)  # datasets/OWNER/NAME/resolve/REVISION/PATH

    def _about(self, folder: Path, name: str, rest: list[str], body: bytes) -> None:
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        if rest[:1] == ["paths-info"]:
            asked = json.loads(body)["paths"] if body.startswith(b"{") else parse_qs(body.decode()).get("paths", [])
            self._json([entry for path in asked if (entry := _entry(folder, folder / path))])
        elif rest[:1] == ["tree"]:
            start = folder.joinpath(*rest[2:])
            recursive = parse_qs(urlsplit(self.path).query).get("recursive", ["false"])[0].lower() == "true"
            found = sorted(start.rglob("*") if recursive else start.glob("*"))
            known = start.is_dir()
            self._json(
                [_entry(folder, path) for path in found] if known else {"error": "absent"}, 200 if known else 404
            )
        else:
            siblings = [{"rfilename": path.relative_to(folder).as_posix()} for path in files]
            self._json({"id": name, "sha": COMMIT, "siblings": siblings, "tags": [], "private": False, "downloads": 0})

    def _file(self, folder: Path, rest: list[str], head: bool) -> None:
        path = folder.joinpath(*rest)
        if not path.is_file():
            self._json({"error": "Entry not found"}, 404, {"X-Error-Code": "EntryNotFound"})
            return
        content = path.read_bytes()
        headers = {"ETag": f'"{_digest(path)}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        wanted = self.headers.get("Range")
        status = 200
        if wanted and not head:
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            start, end = int(first), min(int(last) if last else len(content) - 1, len(content) - 1)
            self.hub.reads.append(("/".join(rest), start, end))
            headers["Content-Range"] = f"bytes {start}-{end}/{len(content)}"
            content, status = content[start : end + 1], 206
        self._send(status, "application/octet-stream", content, headers, head)

    def _json(self, value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        self._send(status, "application/json", json.dumps(value).encode(), headers or {}, self.command == "HEAD")

    def _send(self, status: int, kind: str, body: bytes, headers: Mapping[str, str], head: bool) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if not head:
            self.wfile.write(body)


def _entry(folder: Path, path: Path) -> dict[str, Any] | None:
    """What the hub tells of a file or a folder."""
    if not path.exists():
        return None
    relative = path.relative_to(folder).as_posix()
    if path.is_dir():
        return {"type": "directory", "path": relative, "size": 0, "oid": _digest(path)}
    return {"type": "file", "path": relative, "size": path.stat().st_size, "oid": _digest(path)}


def _digest(path: Path) -> str:
    return hashlib.sha1(str(path).encode(), usedforsecurity=False).hexdigest()
