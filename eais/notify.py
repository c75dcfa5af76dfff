"""Tell whoever started this process that it serves, and that it still moves.

The protocol is systemd's (sd_notify(3)); `eais pool up`'s supervisor listens to it as systemd
does. Each message is a datagram to the unix socket that `NOTIFY_SOCKET` names: `READY=1` once
the process serves, `WATCHDOG=1` more often than every `WATCHDOG_USEC` microseconds, `STOPPING=1`
when it begins to end. Without these variables nothing is said.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

log = logging.getLogger(__name__)

# How often within the watchdog's time: three may be late or lost before the fourth decides.
_WORDS_PER_WATCHDOG: Final = 4


class Notifier:
    """Says how this process is.

    Args:
        address: of the unix socket, `@` before an abstract one; "": there is nobody to tell.
        watchdog_s: how long the one who is told waits for the next `alive`; 0: for ever.
    """

    def __init__(self, address: str = "", watchdog_s: float = 0.0) -> None:
        self.watchdog_s = watchdog_s
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._unheard = False

    @classmethod
    def from_environ(cls, environ: Mapping[str, str], pid: int) -> Notifier:
        """What the variables say, which may be meant for another process than `pid`."""
        address = environ.get("NOTIFY_SOCKET", "")
        watchdog = environ.get("WATCHDOG_USEC", "")
        mine = environ.get("WATCHDOG_PID", str(pid)) == str(pid)
        watched = bool(address) and mine and watchdog.isdecimal()
        return cls(address, int(watchdog) / 1e6 if watched else 0.0)

    def ready(self) -> None:
        """This process serves."""
        self._say(b"READY=1")

    def alive(self) -> None:
        """It still moves."""
        self._say(b"WATCHDOG=1")

    def stopping(self) -> None:
        """It begins to end."""
        self._say(b"STOPPING=1")

    async def watch(self, moves: Callable[[], Awaitable[None]]) -> None:
        """Say `alive` each time that `moves` has returned, until cancelled.

        It returns at once if nobody waits for that. Called on the event loop, so that a loop
        that stands still says nothing.
        """
        while self.watchdog_s > 0:
            await moves()
            self.alive()
            await asyncio.sleep(self.watchdog_s / _WORDS_PER_WATCHDOG)

    def _say(self, words: bytes) -> None:
        if not self._address:
            return
        kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        try:
            with socket.socket(socket.AF_UNIX, kind) as line:
                line.sendto(words, self._address)
        except OSError as error:
            # Who doesn't read (a supervisor that is stopped) must not stop those that work.
            if not self._unheard:
                log.warning("%s isn't heard: %s", words.decode(), error.strerror)
            self._unheard = True
        else:
            self._unheard = False


async def turns() -> None:
    """Return at once: that the event loop comes round is all that is to be shown."""
