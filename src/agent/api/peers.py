"""Which user of this machine a connection on loopback comes from: the owner of the socket at its other end.

Loopback says where a request comes from, not from whom. Linux knows the owner of each socket: asked for one connection
over netlink (sock_diag(7), a few microseconds), or, where that is not allowed, read from /proc/net/tcp and tcp6.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import struct
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path

Address = tuple[str, int]
# The user at the client's end of a connection (client's address, server's address), or None where nobody can tell.
PeerUser = Callable[[Address | None, Address | None], int | None]

_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST = 4, 20, 1
_NO_COOKIE = 0xFFFFFFFF
_HEADER, _ENTRY = 16, 72
_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))


def user_at(client: Address | None, server: Address | None) -> int | None:
    """The user whose socket is at `client`'s end of its connection to `server`; None where the system cannot tell.

    A socket that its process has closed has no owner any more, and the system calls it root's: that is None, too.
    """
    if client is None or server is None:
        return None
    try:
        ends = (_plain(client), _plain(server))
    except ValueError:
        return None
    # A client that connected to 127.0.0.1 through an IPv6 socket has a mapped address: the same connection.
    for spelled in (str, _mapped):
        with contextlib.suppress(OSError, struct.error):
            found = _from_netlink(*((spelled(host), port) for host, port in ends))
            if found is not None:
                return found
    lines: list[str] = []
    for table in _TABLES:
        with contextlib.suppress(OSError):
            lines += table.read_text(encoding="ascii").splitlines()[1:]
    return in_tables(lines, *ends)


def may_ask(uid: int | None, own: int) -> bool:
    """Whether the peer's user may use a server of user `own` that has no token: the same user, or root."""
    return uid is not None and uid in (own, 0)


def in_tables(lines: Iterable[str], client: Address, server: Address) -> int | None:
    """The owner of the socket at `client`'s end of the connection, from the lines of /proc/net/tcp and tcp6."""
    for line in lines:
        columns = line.split()
        if len(columns) < 10 or columns[0] == "sl":
            continue
        is_it = _plain(_read(columns[1])) == client and _plain(_read(columns[2])) == server
        uid, inode = int(columns[7]), int(columns[9])
        if is_it and inode:
            return uid
    return None


def _plain(address: Address) -> Address:
    """An address in one spelling. Raises ValueError for what is none."""
    return _plain_host(address[0]), address[1]


@lru_cache(maxsize=16)  # of this machine, which has few: no client can choose it
def _plain_host(host: str) -> str:
    """A host's address in one spelling: IPv4 where it is a mapped one."""
    ip = ipaddress.ip_address(host.partition("%")[0])
    inner = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return str(inner or ip)


def _mapped(address: str) -> str:
    return f"::ffff:{address}" if ":" not in address else address


def _read(column: str) -> Address:
    """`0100007F:1F90` as ("127.0.0.1", 8080): each 32-bit word is in the machine's own order."""
    text, _, port = column.partition(":")
    words = [int(text[at : at + 8], 16) for at in range(0, len(text), 8)]
    packed = struct.pack(f"={len(words)}I", *words)
    return str(ipaddress.ip_address(packed)), int(port, 16)


def _from_netlink(client: Address, server: Address) -> int | None:
    """What the kernel says about this one connection. Raises OSError where it may not be asked."""
    family = socket.AF_INET6 if ":" in client[0] else socket.AF_INET
    ends = struct.pack(
        "!HH16s16s", client[1], server[1], socket.inet_pton(family, client[0]), socket.inet_pton(family, server[0])
    )
    states = 0xFFFFFFFF
    request = struct.pack("=BBBBI", family, socket.IPPROTO_TCP, 0, 0, states) + ends
    request += struct.pack("=III", 0, _NO_COOKIE, _NO_COOKIE)
    head = struct.pack("=IHHII", _HEADER + len(request), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as link:
        link.settimeout(1)
        link.bind((0, 0))
        link.sendto(head + request, (0, 0))
        answer = link.recv(8192)
    kind = struct.unpack_from("=IH", answer)[1]
    if kind != _SOCK_DIAG_BY_FAMILY or len(answer) < _HEADER + _ENTRY:
        return None
    uid, inode = struct.unpack_from("=II", answer, _HEADER + _ENTRY - 8)
    return int(uid) if inode else None


def own_user() -> int:
    """The user this process acts as."""
    return os.geteuid()
