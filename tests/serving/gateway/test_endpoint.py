"""The gateway as a process in front of the real server: answers, refusals, limits, drain."""

from __future__ import annotations

import base64
import http.client
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import made_inputs
import numpy as np
import pytest
from gateway_process import TOKEN, Gateway

from sat2sound.clients.client import Sat2SoundClient
from sat2sound.serving.launcher import TritonServer


@pytest.fixture(scope="module")
def picture() -> bytes:
    return made_inputs.encoded(made_inputs.picture(3))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, picture: bytes) -> Path:
    made = tmp_path_factory.mktemp("gateway")
    (made / "tokens").write_text(f"# comment\n{TOKEN}\n")
    (made / "store").mkdir()
    (made / "store" / "scene.png").write_bytes(picture)
    (made / "secret.png").write_bytes(picture)
    return made


@pytest.fixture(scope="module")
def gateway(tiny_server: TritonServer, folder: Path) -> Iterator[Gateway]:
    options = (
        f"--predictor-host={tiny_server.grpc_url}",
        f"--token-file={folder / 'tokens'}",
        f"--image-stores={(folder / 'store').as_uri()}",
        "--max-request-bytes=4000000",
        "--timeout-seconds=10",
        "--drain-notice-seconds=0",
    )
    with Gateway(options) as running:
        yield running


def assert_alike(found: Any, expected: Any) -> None:
    """Equal but for float32's last digits: how many requests share a batch decides these."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            assert_alike(found[name], value)
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_alike(one, other)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, abs=2e-6)
    else:
        assert found == expected


def base64_of(data: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(data).decode()}


def test_a_ranking_is_the_clients(gateway: Gateway, tiny_server: TritonServer, picture: bytes) -> None:
    answer = gateway.predict({"image": base64_of(picture), "month": 7, "hour": 12, "top_k": 5})
    assert answer.status == 200
    with Sat2SoundClient(tiny_server.grpc_url) as client:
        (expected,) = client.retrieve_sounds([picture], month=7, hour=12, top_k=5)
    assert answer.json["predictions"][0]["sounds"] == expected.to_json()


def test_scores_and_embedding(gateway: Gateway, tiny_server: TritonServer, picture: bytes) -> None:
    queries = ["waves on a beach", "traffic"]
    answer = gateway.predict({"image": base64_of(picture), "queries": queries, "embedding": True})
    prediction = answer.json["predictions"][0]
    assert prediction.keys() == {"scores", "embedding"}
    with Sat2SoundClient(tiny_server.grpc_url) as client:
        embedding = client.embed_satellite([picture])[0]
        expected = client.score_queries([picture], client.embed_text(queries))[0]
    assert np.allclose(prediction["embedding"], embedding, atol=1e-6)
    assert [entry["query"] for entry in prediction["scores"]] == queries
    assert np.allclose([entry["score"] for entry in prediction["scores"]], expected, atol=1e-6)


def test_a_bad_instance_leaves_its_neighbours_alone(gateway: Gateway, picture: bytes) -> None:
    bad = [
        ({"image": base64_of(b"no image")}, 400, "image"),
        ({"image": "not base64!"}, 400, "base64"),
        ({"image": base64_of(picture), "latitude": 91, "longitude": 0}, 400, "latitude"),
        ({"image": base64_of(picture), "colour": "red"}, 400, "colour"),
        ({"image": base64_of(picture), "month": "June"}, 400, "month"),
        ({"latitude": 10.0, "longitude": 20.0}, 400, "no imagery of places"),
        ({}, 400, "no image"),
        ("beach", 400, "object"),
    ]
    answer = gateway.predict(
        {"image": base64_of(picture)}, *(entry for entry, _, _ in bad), {"image": base64_of(picture)}
    )
    assert answer.status == 200
    first, *errors, last = answer.json["predictions"]
    assert len(first["sounds"]) > 0
    assert first == last
    for found, (entry, status, text) in zip(errors, bad, strict=True):
        assert found["error"]["status"] == status, entry
        assert text in found["error"]["message"], entry


def test_references_stay_in_their_store(gateway: Gateway, folder: Path, picture: bytes) -> None:
    store = (folder / "store").as_uri()
    (folder / "store" / "link.png").symlink_to(folder / "secret.png")
    allowed = gateway.predict({"image_uri": f"{store}/scene.png"}, {"image": base64_of(picture)}).json["predictions"]
    assert allowed[0] == allowed[1]
    for reference in (
        f"{store}/../secret.png",
        f"{store}/%2e%2e/secret.png",
        f"{store}-other/scene.png",
        (folder / "secret.png").as_uri(),
        "http://169.254.169.254/latest/meta-data",
        "file:///etc/passwd",
        f"{store}/link.png",
    ):
        (found,) = gateway.predict({"image_uri": reference}).json["predictions"]
        assert "store" in found["error"]["message"], reference


def test_bodies_that_are_no_requests(gateway: Gateway) -> None:
    path = "/v1/models/sat2sound:predict"
    for body in (b"{", b"[]", b'{"instances": {}}', b'{"instances": []}', b"\x00\xff"):
        answer = gateway.request("POST", path, body)
        assert answer.status == 400, body
        assert "error" in answer.json
    assert gateway.request("POST", path, b"raw", {"Content-Type": "image/png"}).status == 400
    assert gateway.request("POST", "/v1/models/unknown:predict", b'{"instances": [1]}').status == 404


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer wrong", "Basic abc", f"bearer {TOKEN}x"])
def test_nobody_without_a_token(gateway: Gateway, authorization: str) -> None:
    for method, path in (
        ("POST", "/v1/models/sat2sound:predict"),
        ("POST", "/v2/models/embed_text/infer"),
        ("GET", "/v2/models/embed_text"),
        ("GET", "/v1/models"),
    ):
        answer = gateway.request(method, path, b"{}", {"Authorization": authorization})
        assert answer.status == 401, path
        assert answer.headers["www-authenticate"] == "Bearer"
    assert gateway.request("GET", "/v2/health/ready", headers={"Authorization": ""}).status == 200


def test_a_refusal_reaches_a_client_that_is_still_sending(gateway: Gateway) -> None:
    for _ in range(5):
        body = b"x" * 3_900_000
        answer = gateway.request("POST", "/v1/models/sat2sound:predict", body, {"Authorization": "Bearer wrong"})
        assert answer.status == 401


def test_tokens_rotate_without_a_restart(gateway: Gateway, folder: Path) -> None:
    try:
        (folder / "tokens").write_text("another\n")
        time.sleep(1.2)
        assert gateway.request("GET", "/v1/models").status == 401
        assert gateway.request("GET", "/v1/models", headers={"Authorization": "Bearer another"}).status == 200
    finally:
        (folder / "tokens").write_text(f"{TOKEN}\n")
        time.sleep(1.2)
    assert gateway.request("GET", "/v1/models").status == 200


def test_models_cannot_be_loaded_or_unloaded(gateway: Gateway) -> None:
    for verb in ("load", "unload"):
        assert gateway.request("POST", f"/v2/repository/models/sat2sound/{verb}").status == 403


def test_large_bodies_are_refused(gateway: Gateway) -> None:
    # The answer comes before the body is sent: nothing of it is ever held.
    connection = http.client.HTTPConnection("127.0.0.1", gateway.http_port, timeout=30)
    connection.putrequest("POST", "/v1/models/sat2sound:predict")
    for name, value in (("Authorization", f"Bearer {TOKEN}"), ("Content-Length", "300000000")):
        connection.putheader(name, value)
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()


def test_a_body_of_unknown_length_is_bounded_too(gateway: Gateway) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", gateway.http_port, timeout=30)
    pieces = (b"x" * 100_000 for _ in range(41))
    headers = {"Authorization": f"Bearer {TOKEN}"}
    connection.request("POST", "/v1/models/sat2sound:predict", pieces, headers, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()


def test_a_body_that_does_not_arrive_gives_its_place_back(gateway: Gateway) -> None:
    # As many as are answered at once: without an end to the patience with them they would keep everybody else out.
    connections = []
    for _ in range(64):
        connection = http.client.HTTPConnection("127.0.0.1", gateway.http_port, timeout=30)
        connection.putrequest("POST", "/v1/models/sat2sound:predict")
        for name, value in (("Authorization", f"Bearer {TOKEN}"), ("Content-Length", "1000")):
            connection.putheader(name, value)
        connection.endheaders(b"{")
        connections.append(connection)
    found = []
    for connection in connections:
        answer = connection.getresponse()
        found.append((answer.status, "body did not arrive within 10 seconds" in json.loads(answer.read())["error"]))
        connection.close()
    assert found == [(408, True)] * 64
    assert gateway.request("GET", "/v1/models").status == 200


def test_open_inference_protocol_over_rest(gateway: Gateway, tiny_server: TritonServer) -> None:
    described = gateway.request("GET", "/v2/models/embed_text").json
    assert described["inputs"] == [{"name": "TEXT", "datatype": "BYTES", "shape": [-1, 1]}]
    body = {"inputs": [{"name": "TEXT", "datatype": "BYTES", "shape": [2, 1], "data": ["rain", "wind"]}]}
    answer = gateway.request("POST", "/v2/models/embed_text/infer", json.dumps(body).encode())
    assert answer.status == 200, answer.body
    (output,) = answer.json["outputs"]
    with Sat2SoundClient(tiny_server.grpc_url) as client:
        expected = client.embed_text(["rain", "wind"])
    assert np.allclose(np.reshape(output["data"], output["shape"]), expected, atol=1e-6)
    refused = {"inputs": [{"name": "TEXT", "datatype": "BYTES", "shape": [1, 1], "data": [" "]}]}
    answer = gateway.request("POST", "/v2/models/embed_text/infer", json.dumps(refused).encode())
    assert answer.status == 400
    assert "text" in answer.json["error"]


def instance_tensor(*instances: Any, shape: list[int] | None = None, **changed: Any) -> dict[str, Any]:
    texts = [entry if isinstance(entry, str) else json.dumps(entry) for entry in instances]
    tensor = {"name": "INSTANCES", "datatype": "BYTES", "shape": shape or [len(texts)], "data": texts}
    return {"id": "q", "inputs": [{**tensor, **changed}]}


def test_the_v2_protocol_asks_the_same_questions(gateway: Gateway, folder: Path, picture: bytes) -> None:
    path = "/v2/models/sat2sound/infer"
    reference = f"{(folder / 'store').as_uri()}/scene.png"
    asked: list[Any] = [
        {"image": base64_of(picture), "month": 7, "top_k": 3},
        {"image_uri": reference, "queries": ["waves on a beach"], "embedding": True},
        {"latitude": 1.0, "longitude": 2.0},
        {"image": "no base64!"},
    ]
    expected = gateway.predict(*asked).json["predictions"]
    answer = gateway.request("POST", path, json.dumps(instance_tensor(*asked, shape=[4, 1])).encode())
    assert answer.status == 200, answer.body
    (output,) = answer.json["outputs"]
    assert (answer.json["id"], output["name"], output["shape"]) == ("q", "PREDICTIONS", [4, 1])
    assert_alike([json.loads(text) for text in output["data"]], expected)
    mixed = gateway.request("POST", path, json.dumps(instance_tensor("{", asked[0])).encode()).json
    unreadable, good = (json.loads(text) for text in mixed["outputs"][0]["data"])
    assert unreadable["error"]["status"] == 400
    assert "no JSON" in unreadable["error"]["message"]
    assert_alike(good, expected[0])
    described = gateway.request("GET", "/v2/models/sat2sound").json
    assert described["inputs"] == [{"name": "INSTANCES", "datatype": "BYTES", "shape": [-1]}]
    assert described["outputs"] == [{"name": "PREDICTIONS", "datatype": "BYTES", "shape": [-1]}]
    not_it: list[dict[str, Any]] = [
        instance_tensor(asked[0], name="IMAGE"),
        instance_tensor(asked[0], datatype="INT32", data=[1]),
        instance_tensor(asked[0], shape=[2]),
        instance_tensor(*[asked[2]] * 65),
        instance_tensor(shape=[0]),
        {"inputs": []},
    ]
    for wrong in not_it:
        refused = gateway.request("POST", path, json.dumps(wrong).encode())
        assert refused.status == 400, (wrong, refused.body)


def test_outputs_are_binary_where_that_is_asked_for(gateway: Gateway, tiny_server: TritonServer) -> None:
    path = "/v2/models/embed_text/infer"
    text = {"name": "TEXT", "datatype": "BYTES", "shape": [1, 1], "data": ["rain"]}
    with Sat2SoundClient(tiny_server.grpc_url) as client:
        expected = client.embed_text("rain")
    for asked in (
        {"outputs": [{"name": "EMBEDDING", "parameters": {"binary_data": True}}]},
        {"parameters": {"binary_data_output": True}},
        {"parameters": {"binary_data_output": True}, "outputs": [{"name": "EMBEDDING"}]},
    ):
        answer = gateway.request("POST", path, json.dumps({"inputs": [text], **asked}).encode())
        assert answer.status == 200, answer.body
        length = int(answer.headers["inference-header-content-length"])
        (output,) = json.loads(answer.body[:length])["outputs"]
        assert output["parameters"]["binary_data_size"] == len(answer.body) - length
        assert "data" not in output
        np.testing.assert_array_equal(np.frombuffer(answer.body[length:], np.float32), expected[0])


def test_captions_come_as_text_and_versions_are_not_served(gateway: Gateway, tiny_server: TritonServer) -> None:
    vector = np.random.default_rng(1).standard_normal((1, 256)).astype(np.float32)
    named = {"name": "EMBEDDING", "datatype": "FP32", "shape": [1, 256], "data": vector[0].tolist()}
    body = json.dumps({"inputs": [named]}).encode()
    answer = gateway.request("POST", "/v2/models/search_gallery/infer", body)
    with Sat2SoundClient(tiny_server.grpc_url) as client:
        (ranking,) = client.search_gallery(vector)
    outputs = {output["name"]: output["data"] for output in answer.json["outputs"]}
    assert outputs["CAPTIONS"] == [sound.caption for sound in ranking]
    refused = gateway.request("POST", "/v2/models/search_gallery/versions/1/infer", body)
    assert refused.status == 501
    assert "version" in refused.json["error"].lower()


def test_ids_and_traces_go_through(gateway: Gateway, picture: bytes) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    headers = {"X-Request-Id": "question-1", "traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    assert gateway.predict({"image": base64_of(picture)}, headers=headers).headers["x-request-id"] == "question-1"
    for _ in range(50):
        found = [line for line in gateway.lines if line.get("request_id") == "question-1"]
        if found:
            break
        time.sleep(0.05)
    assert (found[0]["trace_id"], found[0]["route"], found[0]["outcome"]) == (trace, "sat2sound", "ok")


def test_metrics_count_by_route_and_outcome(gateway: Gateway, picture: bytes) -> None:
    def value(line: str) -> float:
        text = gateway.request("GET", "/metrics").body.decode()
        return next((float(row.rpartition(" ")[2]) for row in text.splitlines() if row.startswith(line)), 0.0)

    counted = 'sat2sound_gateway_request_duration_seconds_count{outcome="ok",route="sat2sound"}'
    before, refused = value(counted), value('sat2sound_gateway_refused_requests_total{reason="unauthenticated"}')
    gateway.predict({"image": base64_of(picture)})
    gateway.request("GET", "/v1/models", headers={"Authorization": ""})
    assert value(counted) - before == 1
    assert value('sat2sound_gateway_refused_requests_total{reason="unauthenticated"}') - refused == 1
    for stage in ("queue", "preprocess", "inference"):
        assert value(f'sat2sound_gateway_stage_duration_seconds_count{{stage="{stage}"}}') > 0


def test_too_many_at_once_are_told_to_come_back(tiny_server: TritonServer, picture: bytes) -> None:
    options = (
        f"--predictor-host={tiny_server.grpc_url}",
        "--allow-anonymous",
        "--max-concurrency=1",
        "--max-waiting=1",
    )
    with Gateway((*options, "--drain-notice-seconds=0")) as small:
        found: list[tuple[int, str | None]] = []

        def ask() -> None:
            answer = small.predict(*({"image": base64_of(picture)} for _ in range(30)))
            found.append((answer.status, answer.headers.get("retry-after")))

        askers = [threading.Thread(target=ask) for _ in range(8)]
        for asker in askers:
            asker.start()
        while any(asker.is_alive() for asker in askers):
            assert small.request("GET", "/v2/health/ready").status == 200  # load does not turn it red
            time.sleep(0.02)
        assert {status for status, _ in found} == {200, 429}
        assert all((after == "1") is (status == 429) for status, after in found)


def test_without_triton_it_is_not_ready_and_says_so(picture: bytes) -> None:
    with Gateway(("--predictor-host=127.0.0.1:9", "--allow-anonymous", "--drain-notice-seconds=0")) as alone:
        assert alone.request("GET", "/v2/health/ready").status == 503
        assert alone.request("GET", "/v2/health/live").status == 200
        (found,) = alone.predict({"image": base64_of(picture)}).json["predictions"]
        assert found["error"]["status"] == 503


def test_a_gateway_open_to_everybody_must_be_asked_for() -> None:
    with pytest.raises(AssertionError, match="ended with 2"), Gateway(()):
        pass


def test_a_port_in_use_is_said_to_be(gateway: Gateway) -> None:
    options = ("--allow-anonymous", f"--grpc-port={gateway.grpc_port}")
    with pytest.raises(AssertionError, match="ended with 2"), Gateway(options):
        pass


def test_binary_tensors_of_a_request_are_taken_as_they_are(
    gateway: Gateway, tiny_server: TritonServer, picture: bytes
) -> None:
    element = len(picture).to_bytes(4, "little") + picture
    named = {"name": "IMAGE", "datatype": "BYTES", "shape": [1, 1], "parameters": {"binary_data_size": len(element)}}
    month = {"name": "MONTH", "datatype": "INT32", "shape": [1, 1], "data": [7]}
    header = json.dumps({"id": "a", "inputs": [named, month], "outputs": [{"name": "EMBEDDING"}]}).encode()

    def ask(header: bytes, rest: bytes, length: int | None = None) -> Any:
        sent = {
            "Inference-Header-Content-Length": str(len(header) if length is None else length),
            "Content-Type": "application/octet-stream",
        }
        return gateway.request("POST", "/v2/models/embed_satellite/infer", header + rest, sent)

    answer = ask(header, element)
    assert answer.status == 200, answer.body
    (output,) = answer.json["outputs"]
    with Sat2SoundClient(tiny_server.grpc_url) as client:
        expected = client.embed_satellite(picture, month=7)
    np.testing.assert_array_equal(np.array(output["data"], np.float32).reshape(expected.shape), expected)
    for wrong in (
        ask(header, element[:-1]),
        ask(header, element + b"more"),
        ask(header, element, length=len(header) + len(element) + 1),
        ask(header, element, length=-1),
        ask(header.replace(b"[1, 1]", b"[2, 1]"), element),
        ask(header.replace(b"BYTES", b"FP33!"), element),
        ask(b'{"inputs": 3}', element),
        ask(header, b"\xff\xff\xff\xff" + element[4:]),
    ):
        assert wrong.status == 400, wrong.body
        assert "binary inference request" in wrong.json["error"]
