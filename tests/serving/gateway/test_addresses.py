"""Requests do not go where only the gateway could."""

from __future__ import annotations

import pytest

from sat2sound.serving.gateway.addresses import predictor_address, public_address
from sat2sound.serving.gateway.refusals import FetchError

PRIVATE = [
    "http://127.0.0.1/",
    "http://localhost:9000/x.png",
    "http://10.1.2.3/",
    "http://192.168.0.1/",
    "http://172.16.0.1/",
    "http://169.254.169.254/latest/meta-data",
    "http://100.64.0.1/",
    "http://0.0.0.0/",
    "http://[::1]/",
    "http://[::ffff:10.0.0.1]/",
    "http://[fd00::1]/",
    "http://[fec0::1]/",
    "http://[fe80::1]/",
    "http://[::10.0.0.1]/",
    "http://[64:ff9b::a00:1]/",
    "http://[64:ff9b:1::a00:1]/",
    "http://[2002:a00:1::1]/",
    "http://224.0.0.1/",
    "http://2130706433/",  # 127.0.0.1 as one number
    "http://0x7f.1/",
]


@pytest.mark.parametrize("url", PRIVATE)
def test_private_addresses_are_refused_unless_allowed(url: str) -> None:
    with pytest.raises(FetchError, match=r"not a public address|cannot be resolved"):
        public_address(url, allow_private=False)


def test_allowed_private_and_public_addresses() -> None:
    assert public_address("http://127.0.0.1:8000/x", allow_private=True) == "127.0.0.1"
    assert public_address("https://1.1.1.1/x", allow_private=False) == "1.1.1.1"
    assert public_address("https://[2606:4700:4700::1111]/x", allow_private=False) == "2606:4700:4700::1111"
    assert public_address("https://[64:ff9b::101:101]/x", allow_private=False) == "64:ff9b::101:101"  # of 1.1.1.1


@pytest.mark.parametrize("url", ["ftp://1.1.1.1/", "file:///etc/passwd", "http://", "http://a:99999/", "//host/x", "x"])
def test_what_is_no_http_address(url: str) -> None:
    with pytest.raises(FetchError):
        public_address(url, allow_private=True)


def test_kserve_gives_the_predictors_name_without_its_port() -> None:
    assert predictor_address("sat2sound-predictor.models") == "sat2sound-predictor.models:80"
    assert predictor_address("[::1]") == "[::1]:80"
    for whole in ("localhost:8001", "dns:///triton:8001", "ipv4:10.0.0.1:8001,10.0.0.2:8001", "[::1]:8001"):
        assert predictor_address(whole) == whole
