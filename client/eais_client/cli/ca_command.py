"""The pool's CA: how it stands, and how it is replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eais_client.cli.command import Call, Group

if TYPE_CHECKING:
    from eais_client.pool_status import CaState

_HOUR_S, _MINUTE_S = 3600, 60
_PHASES = {
    "ANNOUNCED": "a new one is trusted too, and signs in",
    "RETIRING": "the new one signs, the old one is dropped in",
}


def add_to(pool: Group) -> None:
    """Register `eais pool roll-ca`."""
    pool.command("roll-ca", examples=["eais pool roll-ca", "eais pool roll-ca -o json"])(roll_ca)


def roll_ca(call: Call) -> None:
    """Replace the pool's CA, without a call failing for it.

    The new CA is announced for one leaf's life, then it signs; after another life the old
    one is dropped. While a roll is under way it goes on, and this says how far it is.
    """
    roll = call.roll_ca()
    ca = roll.ca
    head = "begun" if roll.begun else "under way already"
    lines = [f"roll of the CA {head}: {ca_text(ca)}", f"over in {_duration(ca.roll_left_s)}"]
    call.printer.answer(ca_data(ca) | {"begun": roll.begun}, lines)


def ca_data(ca: CaState) -> dict[str, object]:
    """The CA for `-o json` and `-o yaml`; durations in seconds, times in UTC."""
    return {
        "phase": ca.phase,
        "phase_left_s": ca.phase_left_s,
        "roll_left_s": ca.roll_left_s,
        "ends": f"{ca.ends:%FT%TZ}",
        "sha256": ca.sha256,
    }


def ca_text(ca: CaState) -> str:
    """The phase and the CA's end, in a line."""
    ends = f"ends {ca.ends:%F}"
    if ca.phase not in _PHASES:
        return f"{ca.phase}, {ends}"
    return f"{ca.phase} ({_PHASES[ca.phase]} {_duration(ca.phase_left_s)}), {ends}"


def _duration(seconds: int) -> str:
    if seconds >= _HOUR_S:
        return f"{seconds // _HOUR_S} h {seconds % _HOUR_S // _MINUTE_S} min"
    if seconds >= _MINUTE_S:
        return f"{seconds // _MINUTE_S} min {seconds % _MINUTE_S} s"
    return f"{seconds} s"
