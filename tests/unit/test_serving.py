"""A port that cannot be had is one clear line."""

from __future__ import annotations

import socket

import pytest

from local.serving import bind, refuse
from shared.errors import Misconfigured


def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Misconfigured, match=f"^port {port} cannot be used: Address already in use$"):
            bind(port)


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_number_that_is_no_port_is_named(port: int) -> None:
    with pytest.raises(Misconfigured, match=f"^port {port} cannot be used"):
        bind(port)


def test_a_port_that_was_just_left_can_be_had_again() -> None:
    """A stack that is started again finds its connections in TIME_WAIT."""
    with bind(0) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            server, _ = listener.accept()
            server.close()  # the side that closes first is the one in TIME_WAIT
    with bind(port):
        pass


def test_what_is_refused_is_said_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        refuse(Misconfigured("port 1 cannot be used"))
    assert (caught.value.code, capsys.readouterr().err) == (1, "port 1 cannot be used\n")
