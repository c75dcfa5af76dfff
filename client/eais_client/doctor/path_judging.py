"""What the path to an instance is like, in words, from what was measured. (Brain)"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from eais.errors import EaisError, make_error
from eais.net.plan import VETH, VXLAN, WIREGUARD
from eais.net.rate import rate_text

#: Of a path's cap, below which it is said that something else is narrower.
_NEAR: Final = 0.7
#: Bytes a second: where large tensors take longer to travel than most models take to run.
_SLOW: Final = 12_500_000
#: Seconds there and back that no call on one site takes.
_FAR_S: Final = 0.01
_THERE: Final = "and `eais net status` on the back-end must show the instance's end"
#: What a vNIC needs between its ends, by driver.
_CUT: Final = {
    VETH: "`eais net status`, as root on this machine, must show both its ends",
    VXLAN: f"UDP 4789 must pass both ways between the two machines, whatever is between, {_THERE}",
    WIREGUARD: "UDP 51820 and above must pass both ways between the two machines, whatever is "
    f"between, {_THERE}",
}


@dataclass(frozen=True, slots=True)
class Measured:
    """What calls took.

    Attributes:
        small_s: of small calls, the fastest first.
        up_bytes_per_s, down_bytes_per_s: of large ones; 0: they didn't come through.
    """

    small_s: tuple[float, ...]
    up_bytes_per_s: float = 0.0
    down_bytes_per_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Pings:
    """Whether a small packet to the instance's address and a full one are answered; None: it
    can't be told.
    """

    small: bool | None = None
    full: bool | None = None


@dataclass(frozen=True, slots=True)
class Way:
    """By what it goes.

    Attributes:
        driver: of the vNIC.
        mtu: of this host's end; 0: it isn't known, or there is none.
        cap_bytes_per_s: each way; 0: none.
    """

    driver: str
    mtu: int = 0
    cap_bytes_per_s: int = 0


def way_text(way: Way, measured: Measured) -> str:
    """The path in one line: "vxlan, MTU 1450, round trip 0.21 ms (0.19 to 0.6), up ..."."""
    small = measured.small_s
    middle = small[len(small) // 2]
    words = [way.driver]
    if way.mtu:
        words.append(f"MTU {way.mtu}")
    times = f"{_ms(middle)} ms ({_ms(small[0])} to {_ms(small[-1])})"
    words.append(f"a small call takes {times}")
    up, down = (rate_text(x, 3) for x in (measured.up_bytes_per_s, measured.down_bytes_per_s))
    words.append(f"up {up}, down {down}")
    return ", ".join(words)


def judge(way: Way, measured: Measured) -> str:
    """The path in one line, with what is remarkable.

    Raises:
        Unavailable: HOST_UNREACHABLE: small calls come through and large ones don't.
    """
    lost = [
        name
        for name, got in (("to", measured.up_bytes_per_s), ("from", measured.down_bytes_per_s))
        if not got
    ]
    if lost:
        which = " and ".join(lost)
        raise black_hole(way, f"small calls come through, large tensors {which} the instance don't")
    said = way_text(way, measured)
    slowest = min(measured.up_bytes_per_s, measured.down_bytes_per_s)
    if way.cap_bytes_per_s and slowest < way.cap_bytes_per_s / _NEAR:
        near = slowest >= way.cap_bytes_per_s * _NEAR
        cap = rate_text(way.cap_bytes_per_s, 3)
        return f"{said}; {f'its cap is {cap}' if near else f'less than its cap of {cap} lets pass'}"
    if slowest < _SLOW:
        return f"{said}; slow: large tensors take longer to travel than most models to run"
    if measured.small_s[len(measured.small_s) // 2] > _FAR_S:
        return f"{said}; far: many calls at a time hide that, one after the other doesn't"
    return said


def black_hole(way: Way, what: str) -> EaisError:
    """HOST_UNREACHABLE, of `what` comes through and what doesn't: as if for its size."""
    size = f"packets of {way.mtu} bytes" if way.mtu else "full packets"
    text = f"{what}: {size} are lost, as it seems"
    if way.mtu:
        hint = "the network between the hosts has a smaller MTU than their interfaces say: set it "
        hint += "there (`ip link set DEV mtu N` on both hosts), and attach again"
    else:
        hint = "something between drops large packets, and the word of it (ICMP): let that pass"
    return make_error("HOST_UNREACHABLE", text, hint=hint)


def silence(way: Way, what: str, pings: Pings) -> EaisError | None:
    """Why nothing answers by a vNIC of the kernel's; None if the way isn't to blame.

    Args:
        what: doesn't answer, and how.
    """
    if pings.small is False:
        text = f"{what}; nor is a ping there: nothing comes back by the {way.driver} vNIC"
        return make_error("HOST_UNREACHABLE", text, hint=_CUT[way.driver])
    if pings.small and pings.full is False:
        return black_hole(way, f"{what}; small pings are answered")
    if pings.small is None:
        hint = f"{_CUT[way.driver]}; if small packets pass alone, its MTU is too large"
        return make_error("HOST_UNREACHABLE", what, hint=hint)
    return None


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.2g}"
