"""A terminal that is asked for keys, and says when its size changes."""

from __future__ import annotations

import os
import select
import signal
import termios
import tty
from contextlib import ExitStack, suppress
from typing import Self, TextIO

from eais_client.cli.signals import handled


class Keys:
    """Single keys of `stdin`, unechoed, in the block; none if it is no terminal.

    `wake` ends a wait from any thread.
    """

    def __init__(self, stdin: TextIO) -> None:
        self._stdin = stdin if stdin.isatty() else None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._stack.callback(os.close, self._read)
        self._stack.callback(os.close, self._write)
        if self._stdin is not None:
            fd = self._stdin.fileno()
            before = termios.tcgetattr(fd)
            self._stack.callback(termios.tcsetattr, fd, termios.TCSADRAIN, before)
            tty.setcbreak(fd)
        self._stack.enter_context(handled((signal.SIGWINCH,), lambda *_: self.wake()))
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def wake(self) -> None:
        """End the wait that is under way, or the next one."""
        with suppress(BlockingIOError):  # full: it wakes
            os.write(self._write, b"\0")

    def wait(self) -> str:
        """The keys that were typed, after somebody typed or woke."""
        sources = [self._read, *([self._stdin.fileno()] if self._stdin else [])]
        ready, _, _ = select.select(sources, [], [])
        if self._read in ready:
            os.read(self._read, 1 << 16)
        if self._stdin is None or self._stdin.fileno() not in ready:
            return ""
        typed = os.read(self._stdin.fileno(), 64)
        if not typed:  # the terminal has gone
            self._stdin = None
        return typed.decode(errors="replace")
