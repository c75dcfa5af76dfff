"""A network agent, and what a host can do for one, as words."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, Final

from eais.net.messages import side_of
from eais.net.rate import rate_text
from eais.rpc.v1 import net_pb2
from eais_client.cli.printer import Printer
from eais_client.cli.table import Column, pairs, table

_ENDS: Final = (
    "INSTANCE",
    Column("BACK-END", rank=2),
    Column("SIDE", rank=3),
    "DRIVER",
    Column("INTERFACE", rank=1),
    "ADDRESS",
    Column("MTU", rank=5),
    Column("CAP", rank=4),
    Column("PORTS", rank=6, least=5),
)
_LEAST: Final = 20
"""Columns: less would be a word a line."""


def status_data(status: net_pb2.NetStatus) -> dict[str, object]:
    """For `-o json` and `-o yaml`; absent things are None."""
    offer = status.offer
    return {
        "agent": offer.agent,
        "underlay": offer.underlay or None,
        "mtu": offer.mtu or None,
        "wireguard_public_key": offer.wireguard_public_key.hex() or None,
        "pools": list(status.pools),
        "drivers": [
            {"name": one.name, "how": one.how or None, "missing": one.missing or None}
            for one in offer.drivers
        ],
        "vnics": [_end_data(end) for end in status.vnics],
    }


def status_lines(status: net_pb2.NetStatus, printer: Printer) -> list[str]:
    """For people."""
    offer = status.offer
    mtu = f", MTU {offer.mtu}" if offer.mtu else ""
    rows = [
        ("Agent", offer.agent),
        ("Pools", ", ".join(status.pools)),
        ("Underlay", f"{offer.underlay}{mtu}" if offer.underlay else ""),
        *((one.name, _driver_text(one.how, one.missing)) for one in offer.drivers),
    ]
    if not status.vnics:
        return [*pairs(rows), "", "No vNICs of yours."]
    headings = (*_ENDS, "GENERATION", "USER", "OWNER") if printer.wide else _ENDS
    ends = sorted(status.vnics, key=lambda end: (end.key.instance, end.key.host, end.key.side))
    cells = [_end_cells(end, wide=printer.wide) for end in ends]
    return [*pairs(rows), "", *table(headings, cells, printer.width)]


def check_lines(found: Mapping[str, Any], printer: Printer) -> list[str]:
    """What `eais_server.net.checking` found, for people."""
    lines = []
    for title, name in (("Drivers", "drivers"), ("Needs", "needs"), ("Beside", "notes")):
        lines += ["", printer.paint(title, "bold"), *_findings(found[name], printer, name)]
    can = [driver["name"] for driver in found["drivers"] if not driver["missing"]]
    said = f"This machine can do {', '.join(can)}." if can else "This machine can do no driver."
    return [said, *lines]


def _findings(found: Sequence[Mapping[str, str]], printer: Printer, name: str) -> list[str]:
    width = max(len(one["name"]) for one in found)
    bad = "note" if name == "notes" else "no"
    lines = []
    for one in found:
        word = bad if one["missing"] else "ok"
        shown = printer.paint(f"{word:<4}", {"ok": "green", "no": "red"}.get(word, "yellow"))
        first, *more = _broken(one["missing"] or one["how"], printer, 10 + width)
        lines.append(f"  {shown}  {one['name']:<{width}}  {first}".rstrip())
        lines += [f"        {'':<{width}}  {line}" for line in more]
        if one["help"]:  # in one line, since it has commands to copy
            lines.append(f"        {'':<{width}}  {one['help']}")
    return lines


def _broken(text: str, printer: Printer, margin: int) -> list[str]:
    """Lines as wide as the terminal, of which a margin is taken; what isn't shown there is one."""
    width = max(printer.width - margin, _LEAST) if printer.width else len(text) or 1
    lines = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
    return lines or [""]


def _driver_text(how: str, missing: str) -> str:
    return f"no: {missing}" if missing else f"yes, by {how}" if how else "yes"


def _end_data(end: net_pb2.NetVnic) -> dict[str, object]:
    key = end.key
    return {
        "pool": key.pool,
        "instance": key.instance,
        "back_end": key.host,
        "side": side_of(key.side).value,
        "driver": end.driver,
        "interface": end.interface,
        "address": end.address,
        "peer": end.peer,
        "peer_underlay": end.peer_underlay or None,
        "mtu": end.mtu or None,
        "cap_bytes_per_s": end.cap_bytes_per_s or None,
        "ports": list(end.ports),
        "generation": end.generation,
        "uid": end.uid,
        "owner": end.owner or None,
    }


def _end_cells(end: net_pb2.NetVnic, *, wide: bool) -> list[str]:
    cells = [
        end.key.instance,
        end.key.host,
        side_of(end.key.side).value,
        end.driver,
        end.interface,
        f"{end.address} -> {end.peer}",
        str(end.mtu or ""),
        rate_text(end.cap_bytes_per_s) if end.cap_bytes_per_s else "",
        ",".join(map(str, end.ports)),
    ]
    return [*cells, str(end.generation), str(end.uid), end.owner] if wide else cells
