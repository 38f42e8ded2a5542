"""One JSON object per line on standard output: what log collectors read."""

from __future__ import annotations

import datetime
import json
import logging
import sys
from typing import Any

from sat2sound.serving.gateway.context import CURRENT

LOGGER = logging.getLogger("sat2sound.gateway")


class JsonFormatter(logging.Formatter):
    """Time, level, message, the request's id and trace, and what `extra={"fields": {...}}` adds."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        time = datetime.datetime.fromtimestamp(record.created, datetime.UTC).isoformat(timespec="milliseconds")
        entry: dict[str, Any] = {"time": time, "level": record.levelname.lower(), "message": record.getMessage()}
        if request := CURRENT.get():
            entry |= {"request_id": request.request_id, "trace_id": request.trace_id}
        entry |= getattr(record, "fields", {})
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False, default=str)


def configure(level: int = logging.INFO) -> None:
    """Send this project's and the libraries' messages to standard output as JSON."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.captureWarnings(True)
    LOGGER.setLevel(level)
    for name in ("kserve", "uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers[:] = []
        logging.getLogger(name).propagate = True
