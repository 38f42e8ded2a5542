"""The gateway's gRPC side with plain grpcio stubs: a token on every method, answers as Triton's, nothing loaded."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import grpc
import made_inputs
import numpy as np
import pytest
from gateway_process import TOKEN, Gateway
from tritonclient.grpc import service_pb2 as protocol
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub
from tritonclient.utils import deserialize_bytes_tensor

from sat2sound.clients.client import Sat2SoundClient
from sat2sound.serving.launcher import TritonServer

BEARER = (("authorization", f"Bearer {TOKEN}"),)


@pytest.fixture(scope="module")
def stub(tiny_server: TritonServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GRPCInferenceServiceStub]:
    tokens: Path = tmp_path_factory.mktemp("tokens") / "tokens"
    tokens.write_text(TOKEN)
    options = (f"--predictor-host={tiny_server.grpc_url}", f"--token-file={tokens}", "--drain-notice-seconds=0")
    with Gateway(options) as gateway, grpc.insecure_channel(f"127.0.0.1:{gateway.grpc_port}") as channel:
        yield GRPCInferenceServiceStub(channel)


def text_request(model: str, text: bytes) -> protocol.ModelInferRequest:
    request = protocol.ModelInferRequest(model_name=model)
    request.inputs.add(name="TEXT", datatype="BYTES", shape=[1, 1])
    request.raw_input_contents.append(len(text).to_bytes(4, "little") + text)
    return request


def test_every_method_wants_a_token(stub: GRPCInferenceServiceStub) -> None:
    calls = {
        "ServerLive": protocol.ServerLiveRequest(),
        "ServerReady": protocol.ServerReadyRequest(),
        "ServerMetadata": protocol.ServerMetadataRequest(),
        "ModelReady": protocol.ModelReadyRequest(name="embed_text"),
        "ModelMetadata": protocol.ModelMetadataRequest(name="embed_text"),
        "ModelInfer": text_request("embed_text", b"rain"),
        "RepositoryModelLoad": protocol.RepositoryModelLoadRequest(model_name="embed_text"),
        "RepositoryModelUnload": protocol.RepositoryModelUnloadRequest(model_name="embed_text"),
    }
    for name, request in calls.items():
        for metadata in ((), (("authorization", "Bearer wrong"),)):
            with pytest.raises(grpc.RpcError) as refused:
                getattr(stub, name)(request, metadata=metadata, timeout=30)
            assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED, name


def test_an_embedding_is_tritons(stub: GRPCInferenceServiceStub, tiny_server: TritonServer) -> None:
    answer = stub.ModelInfer(text_request("embed_text", b"rain on leaves"), metadata=BEARER, timeout=30)
    with Sat2SoundClient(tiny_server.grpc_url) as client:
        expected = client.embed_text(["rain on leaves"])
    assert np.array_equal(np.frombuffer(answer.raw_output_contents[0], np.float32), expected[0])


def test_the_gateways_own_model_is_asked_in_json_texts(stub: GRPCInferenceServiceStub) -> None:
    picture = base64.b64encode(made_inputs.encoded(made_inputs.picture(3))).decode()
    texts = [json.dumps({"image": picture, "top_k": 2}).encode(), b"[1"]
    request = protocol.ModelInferRequest(model_name="sat2sound", id="q")
    request.inputs.add(name="INSTANCES", datatype="BYTES", shape=[2])
    request.raw_input_contents.append(b"".join(len(text).to_bytes(4, "little") + text for text in texts))
    answer = stub.ModelInfer(request, metadata=BEARER, timeout=60)
    assert (answer.id, answer.outputs[0].name, answer.outputs[0].shape) == ("q", "PREDICTIONS", [2])
    good, bad = (json.loads(text) for text in deserialize_bytes_tensor(answer.raw_output_contents[0]))
    assert [sound["rank"] for sound in good["sounds"]] == [1, 2]
    assert bad["error"]["status"] == 400
    request.inputs[0].name = "IMAGE"
    with pytest.raises(grpc.RpcError, match="takes one input INSTANCES") as refused:
        stub.ModelInfer(request, metadata=BEARER, timeout=30)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    described = stub.ModelMetadata(protocol.ModelMetadataRequest(name="sat2sound"), metadata=BEARER, timeout=30)
    assert [tensor.name for tensor in (*described.inputs, *described.outputs)] == ["INSTANCES", "PREDICTIONS"]


def test_only_public_models_are_reached(stub: GRPCInferenceServiceStub) -> None:
    for model in ("text_encoder", "gallery", "nothing"):
        with pytest.raises(grpc.RpcError) as refused:
            stub.ModelInfer(text_request(model, b"rain"), metadata=BEARER, timeout=30)
        assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED, model


def test_nothing_is_loaded_or_unloaded(stub: GRPCInferenceServiceStub, tiny_server: TritonServer) -> None:
    for name in ("RepositoryModelLoad", "RepositoryModelUnload"):
        request = getattr(protocol, f"{name}Request")(model_name="embed_text")
        with pytest.raises(grpc.RpcError) as refused:
            getattr(stub, name)(request, metadata=BEARER, timeout=30)
        assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert tiny_server.ready()


def test_bad_input_keeps_its_status_and_words(stub: GRPCInferenceServiceStub) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        stub.ModelInfer(text_request("embed_text", b"  "), metadata=BEARER, timeout=30)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "item 0" in refused.value.details()


def test_readiness_and_metadata(stub: GRPCInferenceServiceStub) -> None:
    ready = stub.ServerReady(protocol.ServerReadyRequest(), metadata=BEARER, timeout=30)
    assert ready.ready
    described = stub.ModelMetadata(protocol.ModelMetadataRequest(name="embed_audio"), metadata=BEARER, timeout=30)
    assert [tensor.name for tensor in described.inputs] == ["AUDIO", "OFFSET_SECONDS"]
