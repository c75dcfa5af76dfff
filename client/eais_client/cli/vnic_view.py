"""An instance's vNIC as words."""

from __future__ import annotations

from dataclasses import asdict
from typing import Final

from eais.net.rate import rate_text
from eais.net.traffic import Traffic
from eais_client.vnic_end import EndHere, Vnic

_SIZES: Final = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def vnic_data(vnic: Vnic, here: EndHere | None = None) -> dict[str, object]:
    """For `-o json` and `-o yaml`; absent things are None. `here`: as this host's agent says."""
    traffic = vnic.traffic
    return {
        "driver": vnic.driver or None,
        "address": vnic.address or None,
        "peer": vnic.peer or None,
        "isolation": vnic.isolation or None,
        "why": vnic.why or None,
        "cap_bytes_per_s": vnic.cap_bytes_per_s or None,
        "counters": asdict(traffic) if traffic is not None else None,
        "interface": here.interface if here else None,
        "mtu": here.mtu or None if here else None,
    }


def vnic_rows(vnic: Vnic, here: EndHere | None = None) -> list[tuple[str, str]]:
    """Rows of `eais describe`; one, if nothing is granted."""
    if not vnic.address:
        return [("vNIC", "")]
    kept = "" if vnic.is_kernels else "others are kept off by "
    rows = [("vNIC", f"{vnic.address} ({vnic.driver}; {kept}{vnic.isolation})")]
    if vnic.peer:
        rows.append(("Own end", _own_end(vnic, here)))
    if vnic.why:
        rows.append(("Chosen", vnic.why))
    if vnic.is_kernels:
        cap = vnic.cap_bytes_per_s
        rows.append(("Cap", f"{rate_text(cap)} each way" if cap else "none"))
    if vnic.traffic is not None:
        rows.append(("Carried", _traffic(vnic.traffic)))
    return rows


def size_text(size: int) -> str:
    """Bytes as they are counted beside links: "1.25 MB"."""
    for unit, name in _SIZES:
        if size >= unit:
            return f"{size / unit:.3g} {name}"
    return f"{size} B"


def _own_end(vnic: Vnic, here: EndHere | None) -> str:
    if vnic.end is None:
        return f"{vnic.peer}, another front-end's"
    if here is None:
        return f"{vnic.peer}, which this host's network agent doesn't tell of: does it run?"
    mtu = f", MTU {here.mtu}" if here.mtu else ""
    return f"{vnic.peer}, by {here.interface}{mtu}"


def _traffic(traffic: Traffic) -> str:
    said = (
        f"{size_text(traffic.bytes_in)} in {traffic.packets_in} packets to it, "
        f"{size_text(traffic.bytes_out)} in {traffic.packets_out} from it"
    )
    dropped = traffic.dropped_in + traffic.dropped_out
    return f"{said}; {dropped} dropped" if dropped else said
