"""What a captioning run has done so far: a file that is only ever appended to and survives a kill at any moment."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any

from sat2sound.captioning.captioner import Answer
from sat2sound.errors import DatasetError

Key = tuple[str, int]  # row id, zoom level


class Journal:
    """One line of JSON per answer, on disk before `append` returns. A context manager; one process at a time.

    settings: what the captions depend on; a journal that was begun with others is refused. A last line that a kill left
    unfinished is cut off: its answer was never counted as done. Raises DatasetError.
    """

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        self.path, self.settings = path, settings
        self.answers: dict[Key, Answer] = {}

    def __enter__(self) -> Journal:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("ab+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise DatasetError(f"{self.path} is in use by another run", fix="wait for it, or end it") from None
        try:
            self._load()
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()

    def append(self, key: Key, answer: Answer) -> None:
        """Record an answer; a later one for the same key replaces it. Raises OSError, e.g. if the disk is full."""
        known = {name: value for name, value in vars(answer).items() if value is not None}
        self._write({"id": key[0], "zoom_level": key[1], **known})
        self.answers[key] = answer

    def _write(self, entry: dict[str, Any]) -> None:
        self._file.write(json.dumps(entry, ensure_ascii=False).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def _load(self) -> None:
        self._file.seek(0)
        content = self._file.read()
        whole = content.rfind(b"\n") + 1
        self._file.truncate(whole)
        lines = content[:whole].splitlines()
        if not lines:
            self._write({"settings": self.settings})
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)  # the file's name, too
            finally:
                os.close(folder)
            return
        try:
            settings = json.loads(lines[0])["settings"]
            for line in lines[1:]:
                entry = json.loads(line)
                answer = Answer(entry.get("caption"), entry.get("failure"))
                self.answers[str(entry["id"]), int(entry["zoom_level"])] = answer
        except (ValueError, KeyError, TypeError) as error:
            raise DatasetError(
                f"{self.path} is damaged: {error}", fix="restore it, or delete it to begin again"
            ) from None
        changed = [name for name in self.settings if settings.get(name) != self.settings[name]]
        if changed:
            name = changed[0]
            raise DatasetError(
                f"{self.path} was begun with {name} {settings.get(name)!r}, this run has {self.settings[name]!r}",
                fix="use the same settings, or another output file",
            )
