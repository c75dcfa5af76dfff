"""Back-end hosts as words."""

from __future__ import annotations

from collections.abc import Sequence

from eais_client.cli.printer import Printer
from eais_client.cli.table import Column, table
from eais_client.pool_status import HostUse

_HEADINGS = ("HOST", "REACHABLE", "GRANTS", "INSTANCES", Column("ISOLATION", 1, least=12))
_WIDE = ("VNIC", "USER PLANE", "MANAGEMENT PLANE", "STUCK")


def host_data(host: HostUse) -> dict[str, object]:
    """The host for `-o json` and `-o yaml`; absent things are None."""
    return {
        "host": host.host,
        "reachable": host.reachable,
        "cordoned": host.cordoned,
        "draining": host.draining,
        "instances": host.instances,
        "stuck": list(host.stuck),
        "isolation": f"L{host.isolation}",
        "isolation_reason": host.isolation_reason or None,
        "vnic_driver": host.vnic_driver or None,
        "net_drivers": {name: missing or None for name, missing in host.net_drivers} or None,
        "user_plane": str(host.user_plane) if host.user_plane else None,
        "management_plane": str(host.management_plane) if host.management_plane else None,
    }


def host_table(hosts: Sequence[HostUse], printer: Printer) -> list[str]:
    """The rows of `eais host list`."""
    headings = (*_HEADINGS, *(_WIDE if printer.wide else ()))
    return table(headings, [_row(host, printer.wide) for host in hosts], printer.width)


def grants_text(host: HostUse) -> str:
    """Whether it is granted anything new: "yes", "cordoned", "draining", "drained"."""
    if host.draining:
        return "draining" if host.instances else "drained"
    return "cordoned" if host.cordoned else "yes"


def _row(host: HostUse, wide: bool) -> list[str]:
    reachable = "yes" if host.reachable else "no"
    row = [host.host, reachable, grants_text(host), str(host.instances), _isolation(host)]
    if wide:
        row += [_drivers(host), str(host.user_plane or ""), str(host.management_plane or "")]
        row += ["; ".join(host.stuck)]
    return row


def _drivers(host: HostUse) -> str:
    """Its own, and those of the kernel that its network agent can."""
    kernels = (name for name, missing in host.net_drivers if not missing)
    return ", ".join([host.vnic_driver, *kernels])


def _isolation(host: HostUse) -> str:
    return f"L{host.isolation}" + (f" ({host.isolation_reason})" if host.isolation_reason else "")
