"""Which server a command talks to: one that was named, one that runs here, or one started for the occasion."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sat2sound.clients.connection import Connection
from sat2sound.clients.deadlines import Deadline
from sat2sound.clients.description import ModelDescription, default_description, describe_repository, describe_server
from sat2sound.clients.errors import ClientError
from sat2sound.errors import ConfigurationError

REPOSITORY_VARIABLE = "SAT2SOUND_REPOSITORY"
LOCAL_SERVER = "localhost:8001"
START_SECONDS = 180.0
_PROBE_SECONDS = 2.0
_DESCRIBE_SECONDS = 15.0
_SOURCE_TREE = Path(__file__).resolve().parent.parent

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Server:
    """url: gRPC address. embedded: started by this process. model: what it serves; None if it does not say."""

    url: str
    embedded: bool
    model: ModelDescription | None

    @property
    def expects(self) -> ModelDescription:
        """The model, or the starter where it is not known: decides at which scale images are cut."""
        return self.model or default_description()


def default_repository() -> Path:
    """Where the starter's repository is built: build/repository of the source tree (else of the working directory)."""
    tree = _SOURCE_TREE if (_SOURCE_TREE / "pyproject.toml").is_file() else Path.cwd()
    return tree / "build" / "repository"


def ready_repository(named: Path | None, progress: Progress) -> Path:
    """A built repository: the one that was named, as it is, else the default one, brought up to date.

    Raises ConfigurationError if the named one is none: it is never overwritten.
    """
    if named is not None:
        describe_repository(named)
        return named
    progress("checking the model repository")
    from sat2sound.export.build import ensure_repository

    return ensure_repository(default_repository(), progress=progress)


@contextmanager
def embedded_server(repository: Path, progress: Progress) -> Iterator[Server]:
    """A server of this process on free ports of the loopback, stopped at the end. Raises ServingError."""
    from sat2sound.serving.launcher import TritonServer

    server = TritonServer(repository)
    try:
        server.start(START_SECONDS, progress=progress)
        yield Server(server.grpc_url, embedded=True, model=describe_repository(repository))
    finally:
        progress("stopping the server")
        server.stop()


@contextmanager
def chosen_server(named: str | None, progress: Progress, environ: Mapping[str, str] = os.environ) -> Iterator[Server]:
    """The server for one command.

    named: host:port that the person gave (option or SAT2SOUND_SERVER): used, or the command fails. Otherwise a server
    of ours at localhost:8001, and if there is none, one is started (on the repository of SAT2SOUND_REPOSITORY, else on
    the default one) and stopped afterwards.
    """
    if named:
        yield _remote(named)
    elif _serves_us(LOCAL_SERVER):
        progress(f"using the server at {LOCAL_SERVER}")
        yield _remote(LOCAL_SERVER)
    else:
        progress(f"no server at {LOCAL_SERVER}: starting one for this command (`sat2sound serve` keeps one running)")
        repository = environ.get(REPOSITORY_VARIABLE)
        with embedded_server(ready_repository(Path(repository) if repository else None, progress), progress) as server:
            yield server


def _remote(url: str) -> Server:
    """A server that runs already. Raises ClientError if it does not answer."""
    connection = Connection(url)
    try:
        model = describe_server(connection, Deadline(_DESCRIBE_SECONDS))
    except ConfigurationError:  # built before servers said what they serve
        model = None
    finally:
        connection.close()
    return Server(url, embedded=False, model=model)


def _serves_us(url: str) -> bool:
    connection = Connection(url)
    try:
        return connection.is_ready("retrieve_sounds", Deadline(_PROBE_SECONDS))
    except ClientError:
        return False
    finally:
        connection.close()
