"""What network agents offer, from the wire: judged here, since the brains trust what they get."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

from eais.errors import EaisError, make_error
from eais.net.plan import KERNEL_DRIVERS, PUBLIC_KEY_BYTES
from eais.rpc.status import clip
from eais.rpc.v1 import net_pb2
from eais_pool.brain.net_records import NetAbility, NetOffer

_AGENT: Final = re.compile(r"[a-z0-9][a-z0-9.\-]{0,62}", re.ASCII)
_MAX_TEXT: Final = 256


def offer_of(message: net_pb2.NetOffer) -> NetOffer:
    """What a host's agent offers, as far as the pool knows its drivers.

    Raises:
        UsageError: ARGUMENT, for what no agent can say.
    """
    if not _AGENT.fullmatch(message.agent):
        raise _refused(f"agent {message.agent[:64]!a}")
    if message.wireguard_public_key and len(message.wireguard_public_key) != PUBLIC_KEY_BYTES:
        raise _refused(f"a WireGuard key of {len(message.wireguard_public_key)} bytes")
    said = {each.name: clip(each.missing, _MAX_TEXT) for each in message.drivers}
    known = (NetAbility(name, said[name]) for name in KERNEL_DRIVERS if name in said)
    return NetOffer(
        agent=message.agent,
        abilities=tuple(known),
        underlay=_underlay(message.underlay),
        key=message.wireguard_public_key.hex(),
        namespace=message.namespace,
        mtu=message.mtu,
    )


def _underlay(text: str) -> str:
    if not text:
        return ""
    try:
        address = ipaddress.IPv4Address(text)
    except ValueError:
        raise _refused(f"tunnels at {text[:64]!a}") from None
    if address.is_unspecified or address.is_multicast or address.is_loopback:
        raise _refused(f"tunnels at {address}")
    return str(address)


def _refused(what: str) -> EaisError:
    return make_error("ARGUMENT", f"a network agent offers what can't be: {what}")
