"""How often each identity of an embedded pool was renewed, seen by its files."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from eais import tls
from eais.errors import IdentityError
from tests.system.stack import Stack

LOOK_EVERY_S = 0.1


class Leaves:
    """Counts, from a thread of its own, each new leaf in the pool's identity files.

    Attributes:
        renewals: by role; the first leaf of a file is none.
    """

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._seen: dict[Path, bytes] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.renewals: Counter[str] = Counter()

    def __enter__(self) -> Leaves:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(LOOK_EVERY_S):
            for path in self._files():
                self._look(path)

    def _files(self) -> Iterator[Path]:
        state, config = self._stack.state, self._stack.config
        yield state / "manager" / "identity.pem"
        yield state / "listener" / "identity.pem"
        yield config / "contexts" / "local" / "frontend.pem"
        yield from (state / "listener" / "leases").glob("*.pem")

    def _look(self, path: Path) -> None:
        try:
            bundle = tls.load_bundle(path)
        except IdentityError:
            return  # of a lease that has ended meanwhile
        before, self._seen[path] = self._seen.get(path), bundle.leaf_pem
        if before not in (None, bundle.leaf_pem):
            self.renewals[bundle.identity.role.value] += 1
