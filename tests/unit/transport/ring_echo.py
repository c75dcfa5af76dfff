"""The other process of a ring's tests: sends back whatever comes.

Arguments: the four descriptors, and whether it may spin.
"""

from __future__ import annotations

import select
import sys

from eais.transport.parts import PiecePart
from eais.transport.ring.end import Descriptors, RingEnd
from eais.transport.ring.reader import Record


def wait(end: RingEnd) -> Record:
    """The next message, however long it takes."""
    poll = select.poll()
    poll.register(end.fileno(), select.POLLIN)
    while (record := end.take()) is None:
        if not end.await_more() and end.sleeps():
            poll.poll()
            end.wakes()
    return record


def finish(end: RingEnd) -> None:
    """Send the rest of what was sent last."""
    poll = select.poll()
    poll.register(end.fileno(), select.POLLIN)
    while end.unfinished and not end.go_on():
        poll.poll()
        end.wakes()


def main() -> None:
    """Send back all, a piece as its bytes."""
    end = RingEnd(Descriptors(*map(int, sys.argv[1:5])), may_spin=sys.argv[5] == "1")
    while True:
        record = wait(end)
        end.send([bytes(record.data) if isinstance(record, PiecePart) else record])
        finish(end)


if __name__ == "__main__":
    main()
