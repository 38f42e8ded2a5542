"""The launcher with a real server on tiny graphs."""

from __future__ import annotations

import ipaddress
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import tritonclient.grpc as triton
from raw_client import infer, pixel_inputs
from tiny_repository import CONFIG
from tritonclient.utils import InferenceServerException

from sat2sound.contract import MODELS
from sat2sound.serving import launcher
from sat2sound.serving.child import group_members
from sat2sound.serving.environment import ServingEnvironment
from sat2sound.serving.errors import PortInUse, ServerFailedToStart, ServingError, UnusableEnvironment
from sat2sound.serving.launcher import TritonServer
from sat2sound.serving.ports import choose_ports, is_free

pytestmark = pytest.mark.usefixtures("triton_environment")


def get(url: str, body: Any = None) -> tuple[int, str]:
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data), timeout=10) as response:  # noqa: S310
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def listeners(port: int) -> set[str]:
    """Addresses on which something listens at this port."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            _, local, _, state = line.split()[:4]
            address, at = local.split(":")
            if state == "0A" and int(at, 16) == port:  # 0A: listening
                words = (bytes.fromhex(address[start : start + 8])[::-1] for start in range(0, len(address), 8))
                found.add(ipaddress.ip_address(b"".join(words)))
    return {str(getattr(address, "ipv4_mapped", None) or address) for address in found}


def shared_memory(group: int) -> set[Path]:
    """Files in shared memory that the processes of a group have mapped; other servers may run on this machine."""
    maps = "".join(Path(f"/proc/{pid}/maps").read_text() for pid in group_members(group))
    return {Path(path) for path in re.findall(r"(/dev/shm/\S+)", maps)}


@pytest.fixture
def copied(tiny_repository: Path, tmp_path: Path) -> Path:
    """A repository to damage."""
    return Path(shutil.copytree(tiny_repository, tmp_path / "repository"))


@pytest.fixture
def small(copied: Path) -> Path:
    """A repository that starts quickly: one preprocessor and one graph."""
    for name in MODELS:
        if name not in ("audio_preprocess", "query_scores"):
            shutil.rmtree(copied / name)
    return copied


def test_it_is_ready_on_loopback_and_serves_what_the_contract_says(tiny_server: TritonServer) -> None:
    assert tiny_server.ready()
    assert tiny_server.running()
    assert tiny_server.returncode is None
    assert tiny_server.control.version() == "2.51.0"
    assert {state.name: state.state for state in tiny_server.control.models()} == dict.fromkeys(MODELS, "READY")
    assert get(f"{tiny_server.http_url}/v2/health/ready") == (200, "")
    assert "nv_inference_request_success" in get(tiny_server.metrics_url)[1]
    assert infer(tiny_server.grpc_url, "embed_pixels", pixel_inputs(3))["EMBEDDING"].shape == (3, 256)
    for port in (tiny_server.http_port, tiny_server.grpc_port, tiny_server.metrics_port):
        assert not is_free("127.0.0.1", port)
        assert listeners(port) == {"127.0.0.1"}


@pytest.mark.parametrize("path", ["v2/repository/index", "v2/repository/models/embed_pixels/unload", "v2/logging"])
def test_clients_may_not_administer_it_over_http(tiny_server: TritonServer, path: str) -> None:
    status, answer = get(f"{tiny_server.http_url}/{path}", {})
    assert (status, "restricted" in answer) == (403, True)
    assert tiny_server.ready()


def test_clients_may_not_administer_it_over_grpc(tiny_server: TritonServer) -> None:
    with triton.InferenceServerClient(tiny_server.grpc_url) as client:
        for call in (
            lambda: client.unload_model("embed_pixels"),
            lambda: client.load_model("other"),
            client.get_model_repository_index,
            lambda: client.register_system_shared_memory("region", "/key", 64),
            client.get_trace_settings,
        ):
            with pytest.raises(InferenceServerException, match="restricted"):
                call()
    assert tiny_server.ready()


def test_progress_is_told_and_nothing_is_left_behind(small: Path) -> None:
    lines: list[str] = []
    server = TritonServer(small).start(progress=lines.append)
    group, log = server.pid, server.log
    assert len(group_members(group)) == 1 + 1 + 1  # the server, and one stub per model
    memory = shared_memory(group)
    assert len(memory) == 2
    # What a stub that is killed while it starts does not get to remove has the same prefix.
    prefix = next(iter(memory)).name[: len("sat2sound-") + 17]
    forgotten = Path("/dev/shm", f"{prefix}forgotten")  # noqa: S108
    forgotten.touch()
    assert lines[0].startswith("starting Triton with 2 models on gRPC 127.0.0.1:")
    assert lines[-1].startswith("Triton 2.51.0 is ready after ")
    with pytest.raises(ServingError, match="started already"):
        server.start()
    assert server.stop()
    assert not server.running()
    assert not group_members(group)
    assert not [path for path in (*memory, forgotten) if path.exists()]
    assert not log.exists()
    assert server.stop(), "stopping a stopped server does nothing"
    with pytest.raises(ServingError, match="not running"):
        _ = server.pid


def test_a_stopped_server_starts_again_on_ports_of_its_choice(small: Path, tmp_path: Path) -> None:
    http, grpc, metrics = choose_ports("127.0.0.1", (0, 0, 0))
    log = tmp_path / "logs" / "triton.log"
    server = TritonServer(small, http_port=http, grpc_port=grpc, metrics_port=metrics, log=log)
    for _ in range(2):
        with server as running:
            assert running.grpc_url == f"127.0.0.1:{grpc}"
            assert running.http_url == f"http://127.0.0.1:{http}"
            assert running.metrics_url == f"http://127.0.0.1:{metrics}/metrics"
            assert running.ready()
        assert not server.ready()
    assert "successfully loaded 'query_scores'" in log.read_text()


def test_every_model_that_fails_is_reported_with_the_servers_own_reason(copied: Path) -> None:
    (copied / "audio_preprocess" / "1" / "model.py").write_text("raise ValueError('no ears')\n")
    (copied / "text_encoder" / "1" / "model.onnx").unlink()
    (copied / "audio_encoder" / "1" / "model.onnx").write_bytes(b"not a graph")
    config = copied / "query_scores" / "config.pbtxt"
    config.write_text(config.read_text() + "bogus: 1\n")
    server = TritonServer(copied)
    with pytest.raises(ServerFailedToStart) as caught:
        server.start()
    reasons = caught.value.reasons
    assert reasons.keys() == {
        "audio_preprocess",
        "text_encoder",
        "audio_encoder",
        "query_scores",
        "embed_audio",
        "embed_text",
        "score_queries",
    }
    assert "ValueError: no ears" in reasons["audio_preprocess"]
    assert "text_encoder/1/model.onnx does not exist" in reasons["text_encoder"]
    assert "audio_encoder/1/model.onnx" in reasons["audio_encoder"]
    assert 'no field named "bogus"' in reasons["query_scores"]
    assert "depends on" in reasons["embed_audio"]
    assert "query_scores" in reasons["score_queries"]
    assert str(caught.value).startswith(f"7 of {len(MODELS)} models failed to load\n  audio_encoder: ")
    assert caught.value.log_file.exists(), "the log of a failed start stays"
    assert not server.running()
    caught.value.log_file.unlink()


def test_a_graph_that_does_not_fit_its_configuration_is_refused(copied: Path) -> None:
    shutil.copyfile(copied / "audio_pooling" / "1" / "model.onnx", copied / "satellite_pooling" / "1" / "model.onnx")
    with pytest.raises(ServerFailedToStart) as caught:
        TritonServer(copied).start()
    reason = caught.value.reasons["satellite_pooling"]
    audio, satellite = CONFIG.audio, [-1, CONFIG.image_tokens, CONFIG.embedding]
    found = ["batch", audio.output_tokens, audio.output_width]
    assert f"input TOKENS has shape {found} in the graph, {satellite} in the configuration" in reason


def test_numpy_2_on_the_path_of_a_model_is_caught_at_load(
    triton_environment: ServingEnvironment, small: Path, tmp_path: Path
) -> None:
    # The environment is sound, but a model drags in the numpy 2 of this test's environment.
    numpy_2 = tmp_path / "numpy2"
    numpy_2.mkdir()
    ours = next(Path(sys.prefix, "lib").glob("python3.*")) / "site-packages"
    for name in ("numpy", "numpy.libs"):
        (numpy_2 / name).symlink_to(ours / name)
    model = small / "audio_preprocess" / "1" / "model.py"
    model.write_text(f"import sys; sys.path.insert(0, {str(numpy_2)!r})\n" + model.read_text())
    with pytest.raises(ServerFailedToStart, match=r"every output would be empty. Install numpy<2"):
        TritonServer(small, environment=triton_environment).start()


def test_an_unusable_environment_is_refused_before_anything_starts(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAT2SOUND_TRITON_ENVIRONMENT", sys.prefix)  # this test's own: no server in it
    with pytest.raises(UnusableEnvironment, match=r"lacks nvidia-pytriton"):
        TritonServer(small).start()


def test_a_port_in_use_is_refused_before_anything_starts(small: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        server = TritonServer(small, http_port=port)
        with pytest.raises(PortInUse, match=str(port)):
            server.start()
    assert not server.running()


def test_a_free_port_that_is_lost_while_loading_is_replaced(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    thieves: list[socket.socket] = []

    def choose_and_lose(host: str, wanted: tuple[int, ...]) -> tuple[int, ...]:
        ports = choose_ports(host, wanted)
        if not thieves:
            thieves.append(socket.create_server((host, ports[1])))
        return ports

    monkeypatch.setattr(launcher, "choose_ports", choose_and_lose)
    lines: list[str] = []
    try:
        with TritonServer(small) as server:
            server.stop(drain=False)
            server.start(progress=lines.append)
            assert server.ready()
            assert server.grpc_port != thieves[0].getsockname()[1]
    finally:
        for thief in thieves:
            thief.close()


def test_an_empty_folder_is_no_repository(tmp_path: Path) -> None:
    with pytest.raises(ServingError, match=r"not a built model repository; run `sat2sound export`"):
        TritonServer(tmp_path).start()


def test_a_model_that_never_finishes_loading_is_named(small: Path) -> None:
    (small / "audio_preprocess" / "1" / "model.py").write_text("import time\ntime.sleep(600)\n")
    server = TritonServer(small)
    with pytest.raises(ServerFailedToStart, match=r"not ready after 3 s; still loading: audio_preprocess") as caught:
        server.start(timeout=3.0)
    assert not server.running()
    caught.value.log_file.unlink()


def test_starting_can_be_given_up(small: Path) -> None:
    (small / "audio_preprocess" / "1" / "model.py").write_text("import time\ntime.sleep(600)\n")
    server = TritonServer(small)
    with pytest.raises(ServingError, match="cancelled"):
        server.start(cancelled=lambda: True)
    assert not server.running()


def test_bad_arguments_fail_with_the_servers_words(small: Path) -> None:
    with pytest.raises(ServerFailedToStart, match=r"(?s)ended with status \d+ while starting.*no-such-option"):
        TritonServer(small, arguments=("--no-such-option",)).start()


def test_a_server_that_dies_is_noticed(small: Path) -> None:
    server = TritonServer(small).start()
    os.kill(server.pid, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while server.running() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert server.returncode == -signal.SIGKILL
    assert not server.ready()
    group = server.pid
    assert not server.stop(), "nothing was drained"
    assert not group_members(group)


def test_a_launcher_that_is_killed_takes_server_and_stubs_with_it(small: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from sat2sound.serving.launcher import TritonServer\n"
        "server = TritonServer(Path(sys.argv[1]), log=Path(sys.argv[2])).start()\n"
        "print(server.pid, flush=True); time.sleep(600)\n"
    )
    arguments = [sys.executable, "-c", program, str(small), str(small.parent / "log")]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        group = int(process.stdout.readline())
        assert len(group_members(group)) == 3
        memory = shared_memory(group)
        assert len(memory) == 2
        process.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 5
    while group_members(group) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not group_members(group)
    assert not [path for path in memory if path.exists()]
