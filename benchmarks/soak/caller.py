"""A caller in a process of its own, from both sides.

`python -m benchmarks.soak.caller INSTANCE`; its context is in `EAIS_CONFIG_DIR`. It is one
process for as long as the soak lasts, as what is judged must be: it calls from one line of its
standard input to the next, says then what it counted meanwhile, and rests.
"""

from __future__ import annotations

import itertools
import json
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import eais
from benchmarks.soak.calls import CALL_TIMEOUT_S, Tally, callers
from benchmarks.soak.models import affine

TERM = 7
NONCES = 1 << 34
ANSWERS_WITHIN_S = 2 * CALL_TIMEOUT_S


@dataclass(frozen=True, slots=True)
class Caller:
    """The other process, as its parent has it."""

    process: subprocess.Popen[str]

    @contextmanager
    def calling(self, tally: Tally) -> Iterator[None]:
        """It calls in the block; what it counted is added to `tally` at its end."""
        self._say("call")
        yield
        tally.add(self._say("rest"))

    def _say(self, word: str) -> Any:
        assert self.process.stdin
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()
        return self.hear()

    def hear(self) -> Any:
        """Its next line; RuntimeError if it ended, or says nothing for `ANSWERS_WITHIN_S`."""
        assert self.process.stdout
        heard, _, _ = select.select([self.process.stdout], [], [], ANSWERS_WITHIN_S)
        line = self.process.stdout.readline() if heard else ""
        if not line:
            raise RuntimeError("the other process ended, or hangs")
        return json.loads(line)


@contextmanager
def another_process(instance: str) -> Iterator[Caller]:
    """One with a session on `instance`, at rest; it ends with the block."""
    command = [sys.executable, "-m", "benchmarks.soak.caller", instance]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:
        try:
            made = Caller(process)
            made.hear()
            yield made
        finally:
            process.kill()


def say(what: Any) -> None:
    """One line for the parent."""
    print(json.dumps(what), flush=True)


def main() -> int:
    """Call on two threads, again and again."""
    # A Ctrl-C is its parent's to hear, which then ends the input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    options = [{"instance": sys.argv[1], "timeout_s": CALL_TIMEOUT_S}]
    with eais.InferenceSession(affine(TERM), provider_options=options) as session:
        say("ready")
        for number in itertools.count(1):
            if not sys.stdin.readline():
                return 0
            tally = Tally()
            with callers([(session, TERM)] * 2, tally, number * NONCES):
                say("calling")
                sys.stdin.readline()
            say(tally.data())
    return 0


if __name__ == "__main__":
    sys.exit(main())
