"""WireGuard by the kernel's module: nothing but the interface, whose sockets are the kernel's."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Final

from eais_server.net.links import wireguard_netlink as netlink
from eais_server.net.links.entering import OWN, in_namespace
from eais_server.net.links.wireguard_keys import WireguardKey
from eais_server.net.links.wireguard_tunnel import Change, Tunnel

HOW: Final = "kernel module"
_KIND: Final = "wireguard"
#: No interface has it: asking about it tells what the kernel would let us do.
_NOBODY: Final = "eaisnobody"
_WHY: Final = {
    errno.ENODEV: "",
    errno.ENOENT: "this kernel has no wireguard module",
    errno.EPERM: "the kernel lets us make no interface: CAP_NET_ADMIN is missing",
}


class KernelTunnels:
    """The tunnels whose interfaces are in `namespace`, and their sockets in `underlay`."""

    def __init__(self, *, namespace: Path = OWN, underlay: Path = OWN) -> None:
        self._namespace = namespace
        self._underlay = underlay

    def missing(self) -> str:
        """Why it can't be done here; "" where it can. Loads the module where there is one."""
        try:
            in_namespace(self._namespace, lambda: netlink.read_tunnel(_NOBODY))
        except ImportError:
            return "pyroute2 isn't installed"
        except OSError as error:
            return _WHY.get(error.errno or 0, f"the wireguard module: {error.strerror}")
        return ""

    def has(self, interface: str) -> bool:
        """Whether there is such a tunnel, made by the kernel."""
        return in_namespace(self._namespace, lambda: netlink.kind_of(interface)) == _KIND

    def make(self, interface: str) -> None:
        """Have the interface, down. Raises OSError; EEXIST: another kind of link has the name."""
        if not self.has(interface):
            in_namespace(self._underlay, lambda: netlink.create(interface, self._namespace))

    def read(self, interface: str) -> Tunnel:
        """The tunnel as it is. Raises OSError."""
        return in_namespace(self._namespace, lambda: netlink.read_tunnel(interface))

    def write(self, interface: str, change: Change, key: WireguardKey) -> None:
        """Carry `change` out. Raises OSError."""
        in_namespace(self._namespace, lambda: netlink.write_tunnel(interface, change, key))

    def remove(self, interface: str) -> None:
        """Take it away, if it is there. Raises OSError."""
        if self.has(interface):
            in_namespace(self._namespace, lambda: netlink.delete(interface))
