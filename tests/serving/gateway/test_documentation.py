"""docs/gateway.md: its command starts a gateway, its request is answered as it says."""

from __future__ import annotations

import base64
import json
import re
import shlex
from pathlib import Path

import made_inputs
from gateway_process import TOKEN, Gateway
from shared_data import ROOT

from sat2sound.serving.gateway.instances import KEYS
from sat2sound.serving.launcher import TritonServer

DOCUMENT = (ROOT / "docs" / "gateway.md").read_text(encoding="utf-8")


def test_the_command_and_the_request(tiny_server: TritonServer, tmp_path: Path) -> None:
    (command,) = re.findall(r"```sh\n(.*?)\n```", DOCUMENT, re.DOTALL)
    tokens = tmp_path / "tokens.txt"
    tokens.write_text(TOKEN)
    given = dict(zip(*[iter(shlex.split(command)[2:])] * 2, strict=True))
    assert given.keys() == {"--predictor-host", "--token-file", "--http-port", "--grpc-port"}
    store = tmp_path / "store"
    store.mkdir()
    picture = made_inputs.encoded(made_inputs.picture(5))
    (store / "place.png").write_bytes(picture)
    options = (f"--predictor-host={tiny_server.grpc_url}", f"--token-file={tokens}", "--drain-notice-seconds=0")
    request, response = (json.loads(block) for block in re.findall(r"```json\n(.*?)```", DOCUMENT, re.DOTALL))
    request["instances"][0]["image"]["b64"] = base64.b64encode(picture).decode()
    request["instances"][1]["image_uri"] = (store / "place.png").as_uri()
    with Gateway((*options, f"--image-stores={store.as_uri()}")) as gateway:
        found = gateway.predict(*request["instances"]).json["predictions"]
    assert [sorted(entry) for entry in found] == [sorted(entry) for entry in response["predictions"]]
    assert len(found[0]["sounds"]) == 3
    assert found[0]["sounds"][0].keys() >= response["predictions"][0]["sounds"][0].keys()
    assert found[2]["error"]["status"] == 400


def test_every_key_is_explained() -> None:
    for key in KEYS:
        assert f"`{key}`" in DOCUMENT, key
