"""Parsing of what a real server printed; test_launcher.py has the server itself."""

from __future__ import annotations

from pathlib import Path

from sat2sound.serving.control import ModelState
from sat2sound.serving.startup import failures, loaded_models, lost_port, models_in, tail

LOG = """\
E1123 16:54:25.155136 10998 server.cc:241] "CudaDriverHelper has not been initialized."
[libprotobuf ERROR /tmp/text.cc:337] Error parsing text-format inference.ModelConfig: 8:6: no field named "bogus".
E1123 16:54:25.156209 10998 model_repository_manager.cc:1460] "Poll failed for model directory 'b': failed to read text"
E1123 16:54:25.156292 10998 model_repository_manager.cc:703] "Invalid argument: ensemble e contains models that are \
not available or ambiguous: b"
I1123 16:54:25.156312 10998 model_lifecycle.cc:472] "loading: a:1"
I1123 16:54:25.320346 10998 model_lifecycle.cc:839] "successfully loaded 'a'"
I1123 16:54:25.321748 10998 grpc_server.cc:2558] "Started GRPCInferenceService at 127.0.0.1:23170"
"""
LOST = "E1123 16:55:30.281386 1 main.cc:257] \"failed to start HTTP service: Socket '[::]:1' already in use \""


def test_models_are_the_folders_with_a_configuration(tmp_path: Path) -> None:
    for name in ("second", "first", "notes"):
        (tmp_path / name).mkdir()
    (tmp_path / "first" / "config.pbtxt").touch()
    (tmp_path / "second" / "config.pbtxt").touch()
    assert models_in(tmp_path) == ("first", "second")


def test_progress_is_read_from_the_log() -> None:
    assert loaded_models(LOG) == ("a",)
    assert loaded_models("") == ()


def test_the_reason_comes_from_the_index_or_else_from_the_log() -> None:
    states = [
        ModelState("a", "READY", ""),
        ModelState("b", "", ""),
        ModelState("c", "UNAVAILABLE", "Internal: no file"),
    ]
    reasons = failures(states, ("a", "b", "c", "d", "e"), LOG)
    assert reasons.keys() == {"b", "c", "d", "e"}
    assert reasons["b"].startswith("Poll failed for model directory 'b'")
    assert 'no field named "bogus"' in reasons["b"]
    assert reasons["c"] == "Internal: no file"
    assert reasons["d"] == "no reason was given"
    assert reasons["e"] == "Invalid argument: ensemble e contains models that are not available or ambiguous: b"


def test_an_ensemble_that_lacks_a_step_does_not_repeat_the_steps_reason() -> None:
    lacks = "Invalid argument: ensemble 'a' depends on 'z' which has no loaded version"
    states = [
        ModelState("a", "", f"{lacks}. Model 'z' loading failed with error: no\n\nAt:\n  x;"),
        ModelState("z", "", "no"),
    ]
    assert list(failures(states, ("a", "z"), "").items()) == [("z", "no"), ("a", lacks)]


def test_a_lost_port_is_recognised() -> None:
    assert lost_port(LOST)
    assert not lost_port(LOG)


def test_the_tail_prefers_errors() -> None:
    assert tail(LOG, lines=2).splitlines() == LOG.splitlines()[2:4]
    assert tail("one\ntwo\nthree\n", lines=2) == "two\nthree"
