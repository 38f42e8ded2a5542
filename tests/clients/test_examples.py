"""The examples without our client run against the real server: bare gRPC from a .proto file, and curl."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import made_inputs
import pytest
from google.protobuf import descriptor_pb2  # type: ignore[import-untyped]
from shared_data import ROOT
from tritonclient.grpc import service_pb2

from sat2sound.clients.client import Sat2SoundClient
from sat2sound.clients.ranking import Ranking
from sat2sound.serving.launcher import TritonServer

EXAMPLES = ROOT / "docs" / "examples"


def run(*command: object, cwd: Path) -> str:
    environment = {**os.environ, "no_proxy": "*"}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, timeout=120, env=environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "beach.jpg"
    path.write_bytes(made_inputs.encoded(made_inputs.picture()))
    return path


@pytest.fixture
def expected(tiny_server: TritonServer, image: Path) -> Ranking:
    with Sat2SoundClient(tiny_server.grpc_url) as client:
        return client.retrieve_sounds(image, top_k=3)[0]


def compile_proto(folder: Path, *options: object) -> None:
    command = (sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={EXAMPLES}", *options, "open_inference.proto")
    run(*command, cwd=folder)


def test_bare_grpc(tiny_server: TritonServer, image: Path, expected: Ranking, tmp_path: Path) -> None:
    compile_proto(tmp_path, "--python_out=.", "--grpc_python_out=.")
    printed = run(sys.executable, EXAMPLES / "listen_grpc.py", tiny_server.grpc_url, image, cwd=tmp_path)
    assert printed.splitlines() == [f"{sound.score:.3f}  {sound.caption}" for sound in expected]


def test_the_proto_is_the_protocols(tmp_path: Path) -> None:
    compile_proto(tmp_path, "--descriptor_set_out=set.bin")
    (ours,) = descriptor_pb2.FileDescriptorSet.FromString((tmp_path / "set.bin").read_bytes()).file
    theirs = descriptor_pb2.FileDescriptorProto()
    service_pb2.DESCRIPTOR.CopyToProto(theirs)
    assert ours.package == theirs.package
    fields, known = _fields(ours.message_type), _fields(theirs.message_type)
    assert len(fields) == 19
    assert {name: known.get(name) for name in fields} == fields
    methods, offered = _methods(ours), _methods(theirs)
    assert {name: offered.get(name) for name in methods} == methods


def _fields(messages: Any, outer: str = "") -> dict[str, tuple[int, int, int]]:
    found = {}
    for message in messages:
        name = f"{outer}{message.name}."
        found.update({f"{name}{field.name}": (field.number, field.type, field.label) for field in message.field})
        found.update(_fields(message.nested_type, name))
    return found


def _methods(file: Any) -> dict[str, tuple[str, str]]:
    return {
        f"{service.name}/{method.name}": (method.input_type, method.output_type)
        for service in file.service
        for method in service.method
    }


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl(tiny_server: TritonServer, image: Path, expected: Ranking, tmp_path: Path) -> None:
    printed = run("sh", EXAMPLES / "listen_curl.sh", tiny_server.http_url, image, cwd=tmp_path)
    outputs = {output["name"]: output["data"] for output in json.loads(printed)["outputs"]}
    assert outputs["CAPTIONS"] == [sound.caption for sound in expected]
    assert outputs["SCORES"] == pytest.approx([sound.score for sound in expected], abs=1e-5)
