"""A caller's W3C trace goes through the gateway to Triton: the spans that Triton exports by itself belong to it."""

from __future__ import annotations

import secrets
from pathlib import Path

import grpc
from gateway_process import Gateway
from span_collector import SpanCollector
from tritonclient.grpc import service_pb2 as protocol
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub

from sat2sound.serving.environment import ServingEnvironment
from sat2sound.serving.launcher import TritonServer

BODY = b'{"inputs": [{"name": "TEXT", "datatype": "BYTES", "shape": [1, 1], "data": ["rain"]}]}'


def test_tritons_spans_belong_to_the_callers_trace(
    triton_environment: ServingEnvironment, tiny_repository: Path
) -> None:
    by_rest, by_grpc, nobodys = (secrets.token_hex(16) for _ in range(3))
    span = secrets.token_hex(8)
    request = protocol.ModelInferRequest(model_name="embed_text")
    request.inputs.add(name="TEXT", datatype="BYTES", shape=[1, 1])
    request.raw_input_contents.append(b"\4\0\0\0wind")
    with SpanCollector() as collector:
        arguments = ("mode=opentelemetry", f"opentelemetry,url={collector.url}", "level=TIMESTAMPS", "rate=1")
        traced = tuple(f"--trace-config={argument}" for argument in arguments)
        with TritonServer(tiny_repository, environment=triton_environment, arguments=traced) as server:
            kserves = (
                f"--predictor_host={server.grpc_url}",
                "--predictor_protocol=grpc-v2",
                "--model_name=places-we-know",
            )
            options = (*kserves, "--allow-anonymous", "--drain-notice-seconds=0")  # as KServe spells them
            with Gateway(options) as gateway:
                assert gateway.request("GET", "/v2/models/places-we-know/ready").status == 200
                assert (
                    gateway.request("POST", "/v1/models/places-we-know:predict", b'{"instances": [{}]}').status == 200
                )
                assert b'outcome="invalid",route="places-we-know"' in gateway.request("GET", "/metrics").body
                path = "/v2/models/embed_text/infer"
                headers = {"traceparent": f"00-{by_rest}-{span}-01", "tracestate": "vendor=1"}
                assert gateway.request("POST", path, BODY, headers).status == 200
                with grpc.insecure_channel(f"127.0.0.1:{gateway.grpc_port}") as channel:
                    stub = GRPCInferenceServiceStub(channel)
                    stub.ModelInfer(request, metadata=(("traceparent", f"00-{by_grpc}-{span}-01"),), timeout=60)
                assert collector.exported(by_rest)
                assert collector.exported(by_grpc)
                assert collector.exported(span)  # Triton's span names the caller's as its parent
                assert not collector.exported(nobodys, seconds=0.1)  # the search does not find what was not sent
