"""The requests that all drivers make of the kernel, by pyroute2.

All of pyroute2 that they need is here, but for WireGuard's own. Each call is of the calling
thread's network namespace, and raises OSError with the kernel's errno.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Collection, Iterator, Set
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from socket import AF_INET
from typing import Any, Final

from eais.net.traffic import NO_TRAFFIC, Traffic

_ROOT: Final = 0xFFFF_FFFF  # TC_H_ROOT, linux/pkt_sched.h
_PERMANENT: Final = 0x80  # NUD_PERMANENT, linux/neighbour.h
_IPV6: Final = Path("/proc/sys/net/ipv6/conf")  # of the calling thread's namespace
_GENERATES_NONE: Final = 1  # IN6_ADDR_GEN_MODE_NONE, linux/if_link.h
_UP: Final = 1  # IFF_UP, linux/if.h
_QDISC_HANDLE: Final = 0x10000
"""1:, of the one qdisc that an interface of ours has."""


@dataclass(frozen=True, slots=True)
class Link:
    """An interface, as the kernel has it.

    Attributes:
        kind: "veth", "vxlan", "tun", ...; "" for one without.
        alias: its mark.
        group: its number (IFLA_GROUP).
        mac: "" for one that has none.
        counted: by the interface: in is what it received.
    """

    index: int
    name: str
    kind: str
    alias: str
    mtu: int
    up: bool
    group: int = 0
    mac: str = ""
    counted: Traffic = NO_TRAFFIC


def read_link(name: str) -> Link | None:
    """The interface of that name; None if there is none."""
    found: list[Any] = []
    with _but(errno.ENODEV), opened() as netlink:
        found = list(netlink.link("get", ifname=name))
    return _link(found[0]) if found else None


def read_vxlan(name: str) -> tuple[int, str, str, int] | None:
    """Of a VXLAN: its number, its own address, the other's, its port; None if it is none."""
    found: list[Any] = []
    with _but(errno.ENODEV), opened() as netlink:
        found = list(netlink.link("get", ifname=name))
    return _vxlan(found[0]) if found else None


def vxlans_of(number: int, port: int) -> list[Link]:
    """The VXLANs here that have a number and a port."""
    with opened() as netlink:
        found = [(message, _vxlan(message)) for message in netlink.link("dump")]
    return [_link(each) for each, its in found if its and (its[0], its[3]) == (number, port)]


@contextmanager
def namespace_file(path: Path) -> Iterator[int]:
    """A descriptor of a network namespace's file."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def all_links() -> list[Link]:
    """All interfaces here."""
    with opened() as netlink:
        return [_link(message) for message in netlink.link("dump")]


def links_named(names: Set[str]) -> dict[str, Link]:
    """The interfaces of those names that there are: all are listed where that asks for less."""
    if len(names) > 1:
        return {link.name: link for link in all_links() if link.name in names}
    return {name: link for name in names if (link := read_link(name))}


def add_link(name: str, kind: str, **attributes: Any) -> None:
    """Make an interface."""
    with opened() as netlink:
        netlink.link("add", ifname=name, kind=kind, **attributes)


def set_link(index: int, **attributes: Any) -> None:
    """Change an interface: mtu, state, net_ns_fd, IFLA_IFALIAS ..."""
    with opened() as netlink:
        netlink.link("set", index=index, **attributes)


def without_ipv6(index: int, name: str) -> None:
    """Have no IPv6 on an interface that isn't up yet: it would speak by itself.

    Where /proc/sys can only be read, as the unit's agent has it, it has no IPv6 address at least:
    no router is asked for. A host that forwards IPv6 joins routers' groups there all the same,
    which the firewall drops. A kernel without IPv6, or an MTU below IPv6's 1280 (RFC 8200,
    section 5), has none anyway.
    """
    with suppress(OSError):
        (_IPV6 / name / "disable_ipv6").write_text("1")
        return
    none = {"attrs": [("AF_INET6", {"attrs": [("IFLA_INET6_ADDR_GEN_MODE", _GENERATES_NONE)]})]}
    with _but(errno.EAFNOSUPPORT), opened() as netlink:
        netlink.link("set", index=index, IFLA_AF_SPEC=none)


def set_alias(index: int, text: str) -> None:
    """Put a mark on an interface."""
    with opened() as netlink:
        netlink.link("set", index=index, IFLA_IFALIAS=text)


def delete_link(name: str) -> None:
    """Take an interface away; one that isn't there is nothing."""
    with _but(errno.ENODEV), opened() as netlink:
        for index in netlink.link_lookup(ifname=name):
            netlink.link("del", index=index)


def addresses(index: int) -> set[tuple[str, str, int]]:
    """Of an interface, IPv4: its own, the other end's ("" if the same), and the prefix length."""
    with opened() as netlink:
        found = list(netlink.addr("dump", index=index, family=AF_INET))
    return {
        (
            str(message.get_attr("IFA_LOCAL")),
            str(message.get_attr("IFA_ADDRESS")),
            int(message["prefixlen"]),
        )
        for message in found
    }


def owned(asked: Collection[str]) -> dict[str, int]:
    """Those of these addresses that are this network namespace's own: by which interface."""
    with opened() as netlink:
        found = list(netlink.addr("dump", family=AF_INET))
    by_address = {str(each.get_attr("IFA_LOCAL")): int(each["index"]) for each in found}
    return {own: by_address[own] for own in asked if own in by_address}


def add_address(index: int, own: str, other: str) -> None:
    """Give an interface its own address, and the route to the other end's alone with it."""
    with opened() as netlink:
        netlink.addr("add", index=index, family=AF_INET, local=own, address=other, prefixlen=32)


def delete_address(index: int, own: str, other: str, prefix: int) -> None:
    """Take an address off an interface."""
    with opened() as netlink:
        netlink.addr("del", index=index, family=AF_INET, local=own, address=other, prefixlen=prefix)


def set_neighbour(index: int, other: str, mac: str) -> None:
    """Have the other end known by its MAC address, so that nobody is asked for it."""
    with opened() as netlink:
        netlink.neigh("replace", dst=other, lladdr=mac, ifindex=index, state=_PERMANENT)


def has_route(index: int, other: str) -> bool:
    """Whether the way to `other` alone is by that interface."""
    with opened() as netlink:
        found = list(netlink.route("dump", family=AF_INET, oif=index))
    return any(
        message.get_attr("RTA_DST") == other and message["dst_len"] == 32 for message in found
    )


def gateways() -> set[str]:
    """By which other networks are reached from here, IPv4."""
    with opened() as netlink:
        found = list(netlink.route("dump", family=AF_INET))
    return {str(each.get_attr("RTA_GATEWAY") or "") for each in found} - {""}


def add_route(index: int, own: str, other: str) -> None:
    """Have the way to `other` alone by that interface."""
    with opened() as netlink:
        netlink.route(
            "replace",
            dst=f"{other}/32",
            oif=index,
            prefsrc=own,
            scope=253,  # link: rtnetlink.h
        )


def shape(index: int, bytes_per_s: int, burst_bytes: int, queue_bytes: int) -> None:
    """Have what leaves an interface go no faster: a token bucket (tc-tbf), in any other's place."""
    with opened() as netlink:
        netlink.tc(
            "replace",
            "tbf",
            index=index,
            handle=_QDISC_HANDLE,
            rate=bytes_per_s,
            burst=burst_bytes,
            limit=queue_bytes,
        )


def unshape(index: int) -> None:
    """Let what leaves an interface go as fast as it can."""
    with _but(errno.ENOENT, errno.EINVAL), opened() as netlink:  # no other than the kernel's own
        netlink.tc("del", index=index, parent=_ROOT)


def rate_of(index: int) -> int:
    """Bytes a second that may leave an interface; 0: as many as can."""
    with opened() as netlink:
        found = list(netlink.get_qdiscs(index=index))
    for message in found:
        if message.get_attr("TCA_KIND") == "tbf":
            options = message.get_attr("TCA_OPTIONS")
            fast = options.get_attr("TCA_TBF_RATE64")
            return int(fast or options.get_attr("TCA_TBF_PARMS")["rate"])
    return 0


class _Kept(threading.local):
    socket: Any = None


_kept: Final = _Kept()


@contextmanager
def kept_open() -> Iterator[None]:
    """Within, one socket serves all calls of this thread, which must stay in its namespace."""
    from pyroute2 import IPRoute

    with IPRoute() as netlink:
        _kept.socket = netlink
        try:
            yield
        finally:
            _kept.socket = None


@contextmanager
def opened() -> Iterator[Any]:
    """A netlink socket of this namespace; pyroute2's errors are made OSErrors."""
    from pyroute2 import IPRoute
    from pyroute2.netlink.exceptions import NetlinkError

    with ExitStack() as stack:
        netlink = _kept.socket or stack.enter_context(IPRoute())
        try:
            yield netlink
        except NetlinkError as error:
            raise OSError(error.code, os.strerror(error.code)) from None


@contextmanager
def _but(*numbers: int) -> Iterator[None]:
    """Errors of these numbers are none."""
    try:
        yield
    except OSError as error:
        if error.errno not in numbers:
            raise


def _vxlan(message: Any) -> tuple[int, str, str, int] | None:
    info = message.get_attr("IFLA_LINKINFO")
    if info is None or info.get_attr("IFLA_INFO_KIND") != "vxlan":
        return None
    data = info.get_attr("IFLA_INFO_DATA")
    return (
        int(data.get_attr("IFLA_VXLAN_ID")),
        str(data.get_attr("IFLA_VXLAN_LOCAL") or ""),
        str(data.get_attr("IFLA_VXLAN_GROUP") or ""),
        int(data.get_attr("IFLA_VXLAN_PORT")),
    )


def _link(message: Any) -> Link:
    info = message.get_attr("IFLA_LINKINFO")
    return Link(
        index=int(message["index"]),
        name=str(message.get_attr("IFLA_IFNAME")),
        kind=str(info.get_attr("IFLA_INFO_KIND") or "") if info else "",
        alias=str(message.get_attr("IFLA_IFALIAS") or ""),
        mtu=int(message.get_attr("IFLA_MTU") or 0),
        up=bool(message["flags"] & _UP),
        group=int(message.get_attr("IFLA_GROUP") or 0),
        mac=str(message.get_attr("IFLA_ADDRESS") or ""),
        counted=_counted(message),
    )


def _counted(message: Any) -> Traffic:
    found: dict[str, int] = message.get_attr("IFLA_STATS64") or {}
    return Traffic(
        bytes_in=int(found.get("rx_bytes", 0)),
        bytes_out=int(found.get("tx_bytes", 0)),
        packets_in=int(found.get("rx_packets", 0)),
        packets_out=int(found.get("tx_packets", 0)),
        dropped_in=int(found.get("rx_dropped", 0)),
        dropped_out=int(found.get("tx_dropped", 0)),
    )
