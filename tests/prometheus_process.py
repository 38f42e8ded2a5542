"""A real Prometheus (Debian's package) as a process of its own, on the loopback, with our rules loaded."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
import yaml

from sat2sound.serving.ports import choose_ports

Rows = list[dict[str, Any]]


def program(name: str) -> str:
    """The path of prometheus or promtool; skips where Debian's package is absent."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed (Debian: apt install prometheus)")
    return found


@dataclass(frozen=True)
class Target:
    """What is scraped. address: host:port. labels: as the operator's relabelling would add them."""

    job: str
    address: str
    labels: dict[str, str]


class Prometheus:
    """A context manager. folder: for its configuration and data. groups: rule groups, evaluated every second."""

    def __init__(self, folder: Path, targets: list[Target], groups: Rows, *, scrape_seconds: int = 1) -> None:
        self._folder = folder
        (port,) = choose_ports("127.0.0.1", (0,))
        self.url = f"http://127.0.0.1:{port}"
        rules = {"groups": [{**group, "interval": "1s"} for group in groups]}
        (folder / "rules.yaml").write_text(yaml.safe_dump(rules))
        every = f"{scrape_seconds}s"
        configuration = {
            "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
            "rule_files": ["rules.yaml"],
            "scrape_configs": [
                {"job_name": target.job, "static_configs": [{"targets": [target.address], "labels": target.labels}]}
                for target in targets
            ],
        }
        (folder / "prometheus.yaml").write_text(yaml.safe_dump(configuration))

    def __enter__(self) -> Self:
        arguments = (
            f"--config.file={self._folder / 'prometheus.yaml'}",
            f"--storage.tsdb.path={self._folder / 'data'}",
            f"--web.listen-address={self.url.removeprefix('http://')}",
        )
        with (self._folder / "prometheus.log").open("wb") as log:
            self._process = subprocess.Popen([program("prometheus"), *arguments], stdout=log, stderr=log)
        for _ in range(300):
            if self._process.poll() is not None:
                break
            try:
                with urllib.request.urlopen(f"{self.url}/-/ready", timeout=5):  # noqa: S310 (loopback)
                    return self
            except OSError:
                time.sleep(0.1)
        self._stop()
        raise AssertionError((self._folder / "prometheus.log").read_text())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=30)

    def api(self, path: str, **parameters: str) -> Any:
        """The data of one call to its HTTP API. Raises AssertionError with Prometheus' own words."""
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 (loopback)
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(f"{parameters}: {error.read().decode()}") from None

    def query(self, expression: str) -> Rows:
        """The instant vector of an expression, now; a scalar as one row."""
        found = self.api("query", query=expression)
        if found["resultType"] == "scalar":
            return [{"metric": {}, "value": found["result"]}]
        return list(found["result"])
