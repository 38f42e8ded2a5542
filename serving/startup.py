"""What a starting server says about its models: progress from its log, failures from its repository index."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from sat2sound.serving.control import ModelState

_LOADED = re.compile(r"\"successfully loaded '([^']+)'\"")
_ERROR_LINE = re.compile(r"^(?:error: .*|.*: unrecognized option .*|E\d{4} [\d:.]+ \d+ \S+\] .*)$", re.MULTILINE)
_ERROR_MESSAGE = re.compile(r"^E\d{4} [\d:.]+ \d+ \S+\] \"?(.*?)\"?$")
_CONSEQUENCE = re.compile(r"(.* depends on '[^']+' which has no loaded version)\..*", re.DOTALL)
_BIND_FAILURE = re.compile(r"already in use|Address already in use", re.IGNORECASE)


def models_in(repository: Path) -> tuple[str, ...]:
    """Names of the models in a repository folder, sorted."""
    return tuple(sorted(path.parent.name for path in repository.glob("*/config.pbtxt")))


def loaded_models(log: str) -> tuple[str, ...]:
    """Models that the log reports as loaded so far. The index is served only after all were tried."""
    return tuple(_LOADED.findall(log))


def failures(states: Collection[ModelState], expected: Collection[str], log: str) -> dict[str, str]:
    """Model -> the server's reason, for every expected model that is not ready.

    The index gives the reason when a backend refused a model; when the server itself did (unreadable configuration,
    a step that is not there), only the log has it. Ensembles that merely lack such a model come last, without its
    reason over again.
    """
    known = {model.name: model for model in states}
    reasons = {}
    for name in expected:
        model = known.get(name, ModelState(name, "", ""))
        if model.state != "READY":
            reasons[name] = model.reason or _reason_in_log(log, name) or "no reason was given"
    causes = {name: reason for name, reason in reasons.items() if not _CONSEQUENCE.match(reason)}
    return causes | {name: _CONSEQUENCE.sub(r"\1", reason) for name, reason in reasons.items() if name not in causes}


def _reason_in_log(log: str, name: str) -> str:
    about = re.compile(rf"ensemble '?{re.escape(name)}'? |model directory '{re.escape(name)}'|load '{re.escape(name)}'")
    parser = ""
    for line in log.splitlines():
        if line.startswith("[libprotobuf ERROR"):  # comes just before the line that names the model
            parser = line.partition("] ")[2]
        message = _ERROR_MESSAGE.match(line)
        if message and about.search(message[1]):
            return "; ".join(filter(None, (message[1].replace("\\n", "\n"), parser)))
        if message:
            parser = ""
    return ""


def lost_port(log: str) -> bool:
    """Whether the server ended because another process took one of its ports first."""
    return bool(_BIND_FAILURE.search(log))


def tail(log: str, lines: int = 15) -> str:
    """The log's error lines if it has any, else its last lines."""
    errors = _ERROR_LINE.findall(log)
    return "\n".join((errors or log.splitlines())[-lines:])
