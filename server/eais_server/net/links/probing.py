"""Whether a kernel can make interfaces of a kind: one is made, and taken away again."""

from __future__ import annotations

import errno
import os
from typing import Any

from eais_server.net.link import Ability
from eais_server.net.links import netlink


def probe_kind(kind: str, **attributes: Any) -> Ability:
    """Try it in this namespace. Of a probe that is killed an interface is left, which goes with
    the next one: its name is the same.
    """
    name = f"eaisprobe{os.getpid() % 100_000}"
    try:
        netlink.delete_link(name)
        netlink.add_link(name, kind, **attributes)
        netlink.delete_link(name)
    except ImportError:
        return Ability("pyroute2 isn't installed: pip install 'eais[net]'")
    except OSError as error:
        if why := _why(kind, error):
            return Ability(why)
    return Ability(how="kernel")


def _why(kind: str, error: OSError) -> str:
    match error.errno:
        case errno.EPERM:
            return "making interfaces needs CAP_NET_ADMIN"
        case errno.EOPNOTSUPP:
            return f"this kernel has no {kind} module"
        case errno.EEXIST | errno.EADDRINUSE:
            # There is one of that number, or of that port: so there can be.
            return ""
    return f"the kernel says: {error.strerror}"
