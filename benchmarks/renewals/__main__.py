"""Renew every certificate of a real embedded pool every few seconds while 8 threads call.

Leaves live so short that front-end, worker, listener and manager each have another one every
`--every` seconds; in the middle the CA is rolled, again and again. Every answer is checked, as
benchmarks/faults does. `--json` prints one object on one line, whose keys are:

calls, lost (raised, or answered past the caller's deadline), wrong, sent_again (attempts after
a call's first; a worker that has no room hasn't made one), dropped (lost and sent_again
together: a connection was cut under them), renewals (by role), channels_replaced (of the
front-end: streams to the worker, the Watch, channels to manager and listener), ca_rolls,
slowest_call_ms. The exit status is 1 if a limit isn't met.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.ending import ending
from benchmarks.faults.stand import Stand, pause, stand
from benchmarks.renewals.leaves import Leaves
from eais.identity import Identity
from eais.rpc import client, verbs
from eais.rpc.v1 import hosts_pb2
from eais_client.frontend import frontend_of
from eais_client.wire import Turnover

# A leaf is renewed at 50 to 66 % of its life, 58 % on average.
RENEWED_AT = 0.58
ROLES = ("frontend", "worker", "listener", "manager")
NONE_OF = ("lost", "wrong", "sent_again", "dropped")
STEADY = "STEADY"


@dataclass(frozen=True, slots=True)
class Found:
    """What was counted while the callers called."""

    renewals: dict[str, int]
    turnover: Turnover
    rolls: int


def measure(seconds: float, every_s: float, root: Path) -> dict[str, Any]:
    """Call for `seconds` on a pool below `root`."""
    began_s = time.monotonic()
    with stand(root, leaf_life_s=every_s / RENEWED_AT) as made, Leaves(made.stack) as leaves:
        before = frontend_of(os.environ).turnover().replaced
        rolls = _roll_until(made, began_s, seconds)
        pause(began_s + seconds - time.monotonic())
        found = _found(made, leaves, rolls, before)
    return report(made, found, seconds, every_s)


def _roll_until(made: Stand, began_s: float, seconds: float) -> int:
    """Roll the CA after a quarter of the time, once more after each end while time is left."""
    pause(began_s + seconds / 4 - time.monotonic())
    rolls, took_s = 0, 0.0
    while not rolls or time.monotonic() + took_s < began_s + seconds:
        took_s = _roll_ca(made)
        rolls += 1
        pause(took_s / 2)
    return rolls


def _roll_ca(made: Stand) -> float:
    """Roll the CA, until the old one is dropped; how many seconds that took."""
    began_s, signer = time.monotonic(), _begin_roll(made)
    made.wait_until(lambda: _rolled(made, signer), "the CA to be rolled")
    return time.monotonic() - began_s


def _begin_roll(made: Stand) -> bytes:
    """Begin a roll; the digest of the CA that signs until then."""
    stack = made.stack
    operator = stack.bundle(Identity.operator(stack.pool, "bench"))
    with stack.dial(stack.endpoint("management"), operator) as line:
        reply = client.call(
            line,
            verbs.POOL_ADMIN_ROLL_CA,
            hosts_pb2.RollCaRequest(),
            timeout_s=10,
            unreachable="POOL_UNREACHABLE",
        )
    return reply.ca.ca_sha256


def _rolled(made: Stand, signer: bytes) -> bool:
    ca = made.stack.status().ca
    return ca.phase == STEADY and ca.ca_sha256 != signer


def _found(made: Stand, leaves: Leaves, rolls: int, before: int) -> Found:
    made.callers.stop()
    turnover = frontend_of(os.environ).turnover()
    replaced = turnover.replaced - before
    return Found(dict(leaves.renewals), Turnover(replaced, turnover.retries), rolls)


def report(made: Stand, found: Found, seconds: float, every_s: float) -> dict[str, Any]:
    """The figures by name."""
    tally = made.callers.tally
    again = found.turnover.retries
    return {
        "benchmark": "renewals",
        "seconds": seconds,
        "every_s": every_s,
        "calls": tally.calls,
        "lost": tally.lost,
        "wrong": tally.wrong,
        "sent_again": again,
        "dropped": tally.lost + again,
        "renewals": found.renewals,
        "channels_replaced": found.turnover.replaced,
        "ca_rolls": found.rolls,
        "slowest_call_ms": round(tally.slowest_s * 1000),
        "errors": dict(tally.errors),
    }


def missed(found: dict[str, Any]) -> list[str]:
    """Which figures don't meet their limit."""
    # Every role turns over about as often as asked for, whatever the machine does meanwhile.
    least = int(found["seconds"] / found["every_s"] / 2)
    few = [role for role in ROLES if found["renewals"].get(role, 0) < least]
    replaced = found["channels_replaced"]
    return [
        *(f"{key} = {found[key]} > 0" for key in NONE_OF if found[key]),
        *(f"renewals of {role} = {found['renewals'].get(role, 0)} < {least}" for role in few),
        *([f"channels_replaced = {replaced} < {least}"] if replaced < least else []),
        *(["ca_rolls = 0"] if not found["ca_rolls"] else []),
    ]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="one object on one line")
    parser.add_argument("--seconds", type=float, default=600.0, metavar="N", help="of calls")
    parser.add_argument("--every", type=float, default=5.0, metavar="S", help="between renewals")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave logs and state there")
    args = parser.parse_args()
    if args.keep:
        args.keep.mkdir(parents=True, exist_ok=True)
        found = measure(args.seconds, args.every, args.keep)
    else:
        with tempfile.TemporaryDirectory(prefix="eais-renewals-") as folder:
            found = measure(args.seconds, args.every, Path(folder))
    return ending(found, missed(found), as_json=args.json)


if __name__ == "__main__":
    sys.exit(main())
