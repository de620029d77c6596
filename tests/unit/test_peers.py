"""Whose socket it is, from the lines of /proc/net/tcp and tcp6."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from agent.api import peers
from agent.api.peers import in_tables, may_ask, user_at

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"
V4 = "  18: 0100007F:8895 0100007F:1F40 01 00000000:00000000 00:00000000 00000000  1001        0 35548 1 0 20 4 0 10 -1"
GONE = "  18: 0100007F:8895 0100007F:1F40 05 00000000:00000000 03:00001770 00000000     0        0 0 3 0"
V6 = (
    "   1: 00000000000000000000000001000000:8895 00000000000000000000000001000000:1F40 01 00000000:00000000"
    " 00:00000000 00000000  1002        0 4711 1 0 20 4 0 10 -1"
)
MAPPED = (
    "   1: 0000000000000000FFFF00000100007F:8895 0000000000000000FFFF00000100007F:1F40 01 00000000:00000000"
    " 00:00000000 00000000  1003        0 4712 1 0 20 4 0 10 -1"
)
CLIENT, SERVER = ("127.0.0.1", 0x8895), ("127.0.0.1", 8000)


@pytest.mark.skipif(sys.byteorder != "little", reason="the lines above are of a little-endian machine")
def test_the_owner_is_that_of_the_client_s_end() -> None:
    assert in_tables([HEAD, V4], CLIENT, SERVER) == 1001
    assert in_tables([V4], SERVER, CLIENT) is None, "the server's own end tells nothing"
    assert in_tables([V6], ("::1", 0x8895), ("::1", 8000)) == 1002
    assert in_tables([MAPPED], CLIENT, SERVER) == 1003
    assert in_tables([V4], ("127.0.0.1", 1), SERVER) is None
    assert in_tables([HEAD, "", "x y"], CLIENT, SERVER) is None


def test_a_socket_that_was_closed_is_nobody_s_though_the_system_calls_it_root_s() -> None:
    assert in_tables([GONE], CLIENT, SERVER) is None


def test_the_same_user_and_root_may_ask() -> None:
    assert may_ask(1000, 1000)
    assert may_ask(0, 1000)
    assert not may_ask(1001, 1000)
    assert not may_ask(1001, 0), "a server of root serves root alone"
    assert not may_ask(None, 1000)


CONNECT = """
import encodings.idna, os, socket, sys  # before the user changes, who may not read the library
if len(sys.argv) > 3:
    os.setuid(int(sys.argv[3]))
one = socket.create_connection((sys.argv[1], int(sys.argv[2])))
sys.stdin.readline()
one.close()
print("closed", flush=True)
sys.stdin.readline()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the owner of a socket as Linux has it")
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("is_netlink", [True, False])
def test_a_real_connection_s_owner_is_found_while_it_is_open(
    address: str, is_netlink: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    if not is_netlink:

        def refuse(*_: object) -> int:
            raise PermissionError

        monkeypatch.setattr(peers, "_from_netlink", refuse)
    other = [str(65534)] if os.geteuid() == 0 else []
    expected = 65534 if other else os.geteuid()
    try:
        server = socket.create_server((address, 0), family=socket.AF_INET6 if ":" in address else socket.AF_INET)
    except OSError:
        pytest.skip(f"{address} is not to be had here")
    server.settimeout(30)
    with server:
        child = subprocess.Popen(
            [sys.executable, "-c", CONNECT, address, str(server.getsockname()[1]), *other],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdin is not None
        assert child.stdout is not None
        with child:
            connection, client = server.accept()
            with connection:
                assert user_at(client[:2], connection.getsockname()[:2]) == expected
                child.stdin.write("\n")
                child.stdin.flush()
                assert child.stdout.readline() == "closed\n"
                assert user_at(client[:2], connection.getsockname()[:2]) is None
            child.stdin.write("\n")


def test_what_is_no_address_tells_nothing() -> None:
    assert user_at(None, SERVER) is None
    assert user_at(CLIENT, None) is None
    assert user_at(("testclient", 1), SERVER) is None
    assert user_at(CLIENT, ("/run/mill.sock", 0)) is None
