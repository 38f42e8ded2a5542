from __future__ import annotations

import socket

import pytest

from sat2sound.serving.errors import PortInUse, ServingError
from sat2sound.serving.ports import choose_ports, is_free

LOOPBACK = "127.0.0.1"


def test_free_ports_are_different_and_below_those_of_outgoing_connections() -> None:
    ports = choose_ports(LOOPBACK, (0, 0, 0))
    assert len(set(ports)) == 3
    assert all(20_000 <= port < 32_000 for port in ports)
    assert all(is_free(LOOPBACK, port) for port in ports)


def test_given_ports_are_kept() -> None:
    (wanted,) = choose_ports(LOOPBACK, (0,))
    chosen = choose_ports(LOOPBACK, (0, wanted, 0))
    assert chosen[1] == wanted
    assert len(set(chosen)) == 3


def test_a_port_in_use_is_refused_at_once() -> None:
    with socket.create_server((LOOPBACK, 0)) as listener:
        port = listener.getsockname()[1]
        assert not is_free(LOOPBACK, port)
        with pytest.raises(PortInUse, match=rf"127.0.0.1:{port} is in use by another process.*0 for any free one"):
            choose_ports(LOOPBACK, (0, port))


def test_one_port_for_two_services_is_refused() -> None:
    (port,) = choose_ports(LOOPBACK, (0,))
    with pytest.raises(ServingError, match="given twice"):
        choose_ports(LOOPBACK, (port, port, 0))


def test_an_address_of_another_machine_offers_no_port() -> None:
    with pytest.raises(ServingError, match=r"no free port on 192\.0\.2\.1"):
        choose_ports("192.0.2.1", (0,))
