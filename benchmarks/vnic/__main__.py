"""What calls cost by each driver of the kernel, beside the same calls without one.

Two machines made of network namespaces, joined by a veth pair as a wire, with a pool, network
agents, and one cpu.1 instance a driver; all calls are this project's own, over HTTP/2 with mutual
TLS, from one program an instance. By VXLAN and WireGuard packets go over that same wire, by veth
over a pair of its own; each is compared with a plain route over the wire (the driver "host") in the
same round. `--json` prints one object on one line:

veth_over_plain, vxlan_over_plain, wireguard_over_plain (throughput of 64 MiB calls, there and back,
÷ the plain one's: the median over the rounds), *_rtt_over_plain (p50 of 16-byte calls ÷ the plain
one's), plain_mb_per_s and plain_rtt_us behind them, attach_added_ms_p50 and _p99 (that of `attach`
with a vNIC by VXLAN, less that of one without, in turns; as a program asks for it, with a worker
that waits to be adopted), and
`wireguard`: by the kernel's module or by wireguard-go. The exit status is 1 if a limit isn't met.
It needs root, to make the namespaces.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.ending import ending
from benchmarks.faults.__main__ import quantile
from tests.net.machines import Site, site
from tests.net.program import Job, job

PLAIN: Final = "host"
MIB: Final = 64
LARGE: Final = 3
SMALL: Final = 300
BYTES: Final = 2 * MIB << 20
LIMITS: Final = {"veth_over_plain": 0.9, "vxlan_over_plain": 0.9}
ATTACH_LIMIT_MS: Final = 50.0


class Side:
    """An instance, and the program that calls it."""

    def __init__(self, made: Site, stack: ExitStack, driver: str) -> None:
        self.driver = driver
        said = made.front.data("attach", "--type", "cpu.1", "--vnic", driver)
        if said["vnic"]["driver"] != driver:
            raise SystemExit(f"no {driver}: {said['vnic']}")
        more = {"EAIS_INSTANCE": str(said["id"]), "EAIS_TRANSPORT": "h2"}
        self._job: Job = stack.enter_context(job(made, **more))

    def large_s(self) -> float:
        """The median of a few large calls."""
        took = (self._job.tell(f"timed {MIB}")["s"][0] for _ in range(LARGE))
        return float(median(took))

    def small_s(self) -> float:
        """The median of small ones."""
        return float(median(self._job.tell(f"small {SMALL}")["s"]))


def compared(made: Site, driver: str, rounds: int) -> dict[str, list[list[float]]]:
    """For the plain one and a driver: seconds of large calls and of small ones, by round."""
    found: dict[str, list[list[float]]] = {}
    with ExitStack() as stack:
        sides = [Side(made, stack, each) for each in (PLAIN, driver)]
        for side in sides:
            found[side.driver] = [[], []]
            side.large_s()
            side.small_s()
        for number in range(rounds):
            for side in sides[:: 1 if number % 2 else -1]:
                found[side.driver][0].append(side.large_s())
                found[side.driver][1].append(side.small_s())
    return found


def ratios(found: dict[str, list[list[float]]]) -> dict[str, float]:
    """Each driver's figures, by name."""
    figures = {}
    plain = found[PLAIN]
    for driver, (large, small) in found.items():
        if driver != PLAIN:
            faster = [a / b for a, b in zip(plain[0], large, strict=True)]
            slower = [a / b for a, b in zip(small, plain[1], strict=True)]
            figures[f"{driver}_over_plain"] = round(median(faster), 3)
            figures[f"{driver}_rtt_over_plain"] = round(median(slower), 3)
    return figures


def attaching(made: Site, count: int) -> dict[str, float]:
    """What a vNIC adds to an attach, in milliseconds."""
    times: dict[str, list[float]] = {PLAIN: [], "vxlan": []}
    # A worker takes less to be there, and waits then: how fast it starts is no vNIC's doing.
    pause = {"EAIS_TEST_PAUSE_S": "1"}
    with made.front.program("-m", "tests.net.attaching", **pause) as process:
        program = Job(process)
        program.tell("")
        for number in range(count + 1):
            for driver, taken in times.items():
                took = float(program.tell(driver)["s"])
                if number:
                    taken.append(took * 1000)
    figures = {}
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        plain, ours = (quantile(times[driver], share) for driver in (PLAIN, "vxlan"))
        figures[f"attach_added_ms_{name}"] = round(ours - plain, 1)
        figures[f"attach_plain_ms_{name}"] = round(plain, 1)
    return figures


def measure(folder: Path, rounds: int, attaches: int) -> dict[str, Any]:
    """All figures."""
    figures: dict[str, Any] = {}
    for name in ("apart", "together"):
        (folder / name).mkdir()
    with site(folder / "apart", "vxlan", direct=True) as made:
        # Each by itself: what wireguard-go leaves a processor like is no other driver's doing.
        for driver in ("wireguard", "vxlan"):
            print(f"measuring: {driver}", file=sys.stderr)
            found = compared(made, driver, rounds)
            figures |= ratios(found)
            for instance in made.front.data("list")["instances"]:
                made.front.run("detach", str(instance["id"]))
        large, small = found[PLAIN]
        figures["plain_mb_per_s"] = round(BYTES / median(large) / 1e6)
        figures["plain_rtt_us"] = round(median(small) * 1e6)
        offer = made.agents["b"].offer()
        figures["wireguard"] = next(d.how for d in offer.drivers if d.name == "wireguard")
        print("measuring: attach", file=sys.stderr)
        figures |= attaching(made, attaches)
    with site(folder / "together", "veth", direct=True) as made:
        print("measuring: veth", file=sys.stderr)
        figures |= ratios(compared(made, "veth", rounds))
    return figures


def missed(figures: dict[str, Any]) -> list[str]:
    """Which figures don't meet their limit."""
    said = [
        f"{name}: {figures[name]}, not >= {limit}"
        for name, limit in LIMITS.items()
        if figures[name] < limit
    ]
    if (added := figures["attach_added_ms_p99"]) > ATTACH_LIMIT_MS:
        said.append(f"attach_added_ms_p99: {added}, not <= {ATTACH_LIMIT_MS:g}")
    return said


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="one object on one line")
    parser.add_argument("--rounds", type=int, default=11, help="of each comparison (11)")
    parser.add_argument("--attaches", type=int, default=100, help="of each kind (100)")
    given = parser.parse_args()
    if os.geteuid():
        parser.error("it makes network namespaces, which only root may")
    with tempfile.TemporaryDirectory(prefix="eais-vnic-") as folder:
        figures = measure(Path(folder), given.rounds, given.attaches)
    return ending(figures, missed(figures), as_json=given.json)


if __name__ == "__main__":
    sys.exit(main())
