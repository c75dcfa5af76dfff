"""The network namespaces that an agent was given to enter, known by the number of their file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from eais.errors import make_error
from eais_server.net.links.entering import OWN


class Spaces:
    """The agent's own network namespace, and those that it was given.

    Args:
        paths: files of them, such as /run/netns/front.
        own: of the agent's.
    """

    def __init__(self, paths: Sequence[Path] = (), own: Path = OWN) -> None:
        self._own = own
        self._paths = (own, *paths)

    @property
    def all(self) -> tuple[Path, ...]:
        """Each that is there, once."""
        return tuple({number: path for path, number in self._numbered()}.values())

    def number(self, path: Path) -> int:
        """The number of the namespace that a file is of, if it was given; 0 if it wasn't."""
        try:
            wanted = path.stat().st_ino
        except OSError:
            return 0
        return wanted if wanted in {number for _, number in self._numbered()} else 0

    def path(self, number: int) -> Path:
        """A file of the namespace of that number.

        Raises:
            ConfigError: NETDEV, it is none of those that were given.
        """
        for path, known in self._numbered():
            if known == number:
                return path
        text = f"the network namespace {number} is none that this agent was given"
        raise make_error("NETDEV", text, hint="eais net agent --netns PATH")

    def _numbered(self) -> list[tuple[Path, int]]:
        found = []
        for path in self._paths:
            try:
                found.append((path, path.stat().st_ino))
            except OSError:  # it is gone: what was in there is, too
                continue
        return found
