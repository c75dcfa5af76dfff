"""A caller in a process of its own: calls until its standard input ends, then says its tally.

`python -m benchmarks.soak.caller INSTANCE NUMBER`; its context is in `EAIS_CONFIG_DIR`.
"""

from __future__ import annotations

import json
import signal
import sys

import eais
from benchmarks.soak.calls import CALL_TIMEOUT_S, Tally, callers
from benchmarks.soak.models import affine

TERM = 7
NONCES = 1 << 34


def main() -> int:
    """Call, on two threads."""
    # A Ctrl-C is its parent's to hear, which then ends the input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    instance, number = sys.argv[1], int(sys.argv[2])
    tally = Tally()
    options = [{"instance": instance, "timeout_s": CALL_TIMEOUT_S}]
    with eais.InferenceSession(affine(TERM), provider_options=options) as session:
        print("ready", flush=True)
        with callers([(session, TERM)] * 2, tally, number * NONCES):
            sys.stdin.read()
    print(json.dumps(tally.data()), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
