"""WireGuard by wireguard-go: a process a tunnel, and a TUN interface that is there as long as it.

The process is in the underlay's network namespace, where its sockets are, and makes the interface
there; it is then given to the other. wireguard-go opens its sockets when it sees that the interface
is up: in another namespace it looks once a second (routineHackListener, tun/tun_linux.go), unless
the kernel has it believe so from the start, as newer ones do.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from eais_server.net.links import capabilities
from eais_server.net.links import wireguard_netlink as netlink
from eais_server.net.links.entering import OWN, in_namespace
from eais_server.net.links.wireguard_keys import WireguardKey
from eais_server.net.links.wireguard_process import WireguardProcesses
from eais_server.net.links.wireguard_tunnel import Change, Tunnel
from eais_server.net.links.wireguard_uapi import SOCKET_DIR

PROGRAM: Final = "wireguard-go"
_KIND: Final = "tun"
_TUN: Final = Path("/dev/net/tun")
#: Where Debian, and who builds it, have it.
_PLACES: Final = "/usr/local/bin:/usr/bin:/usr/sbin"


def find_program() -> Path | None:
    """wireguard-go, by PATH or at its usual places."""
    found = shutil.which(PROGRAM, path=f"{os.environ.get('PATH', '')}:{_PLACES}")
    return Path(found) if found else None


class GoTunnels:
    """The tunnels whose interfaces are in `namespace`, and their sockets in `underlay`.

    Args:
        find: finds the program.
        sockets: where it has its control sockets.
    """

    def __init__(
        self,
        *,
        namespace: Path = OWN,
        underlay: Path = OWN,
        find: Callable[[], Path | None] = find_program,
        sockets: Path = SOCKET_DIR,
    ) -> None:
        self._namespace = namespace
        self._underlay = underlay
        self._find = find
        self._sockets = sockets
        self._processes = WireguardProcesses(sockets)

    @property
    def how(self) -> str:
        """As `Ability`."""
        return f"{PROGRAM} {self._find() or ''}".rstrip()

    def missing(self) -> str:
        """Why it can't be done here; "" where it can."""
        if self._find() is None:
            return "there is no wireguard-go: install the package wireguard-go"
        return _no_tun() or _no_sockets(self._sockets)

    def has(self, interface: str) -> bool:
        """Whether there is a process for such a tunnel, though it may answer nothing."""
        return self._processes.there(interface)

    def make(self, interface: str) -> None:
        """Have the process and the interface, down if it is new.

        Raises:
            OSError: EEXIST: another link has the name; ENOENT: there is no wireguard-go;
                StartFault: what it said.
        """
        kept = self._processes.answers(interface) and _KIND in self._kinds(interface)
        if not kept:
            self._start(interface)
        if self._kinds(interface)[0] is None:
            in_namespace(self._underlay, lambda: netlink.move(interface, self._namespace))

    def read(self, interface: str) -> Tunnel:
        """The tunnel as it is. Raises OSError."""
        return self._processes.socket_of(interface).get()

    def write(self, interface: str, change: Change, key: WireguardKey) -> None:
        """Carry `change` out. Raises OSError."""
        self._processes.socket_of(interface).set(change, key)

    def remove(self, interface: str) -> None:
        """End the process, and with it its interface; take its socket away. Raises OSError."""
        self._processes.end(interface)

    def _start(self, interface: str) -> None:
        self._processes.end(interface)
        if any(kind is not None for kind in self._kinds(interface)):
            # wireguard-go would take a TUN interface that someone has left here for its own.
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        program = self._find()
        if program is None:
            raise FileNotFoundError(errno.ENOENT, "there is no wireguard-go on this host")
        in_namespace(self._underlay, lambda: self._processes.start(program, interface))

    def _kinds(self, interface: str) -> tuple[str | None, str | None]:
        """Of the links that have the name: where it is to be, and where it is made."""
        first = in_namespace(self._namespace, lambda: netlink.kind_of(interface))
        return first, in_namespace(self._underlay, lambda: netlink.kind_of(interface))


def _no_tun() -> str:
    try:
        os.close(os.open(_TUN, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return f"wireguard-go needs {_TUN}: {error.strerror}"
    if not capabilities.has(capabilities.NET_ADMIN):
        return "wireguard-go needs CAP_NET_ADMIN"
    return ""


def _no_sockets(sockets: Path) -> str:
    there = next(place for place in (sockets, *sockets.parents) if place.exists())
    if os.access(there, os.W_OK | os.X_OK):
        return ""
    return f"wireguard-go can't have its socket in {sockets}: {there} isn't ours to write"
