"""A process that makes load: it is given orders, and heard."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Final

from eais.errors import EaisError, RemoteError
from eais_client.load.generator import orders

CLOSES_WITHIN_S: Final = 15.0
_MODULE: Final = "eais_client.load.generator"


class ProcessEnded(RemoteError):
    """A process that makes load is no more."""


class Line:
    """One process.

    Orders are written by a thread of their own: who gives one may be a signal's handler, which
    interrupted whoever was giving another.
    """

    def __init__(self, number: int, environ: Mapping[str, str] | None) -> None:
        self.number = number
        self.process = subprocess.Popen(
            [sys.executable, "-m", _MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=None if environ is None else dict(environ),
            # Ctrl-C is for who asked for the load, and may want to have what there is.
            process_group=0,
        )
        self._orders: SimpleQueue[str | None] = SimpleQueue()
        self._writer = threading.Thread(target=self._write, daemon=True, name="orders")
        self._writer.start()

    def say(self, order: str, **data: Any) -> None:
        """Give an order; from anywhere."""
        self._orders.put(json.dumps({"do": order, **data}) + "\n")

    def heard(self) -> dict[str, Any]:
        """Its next line; raises PROCESS_FAILED if it has ended, or what hindered it."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            code = self.process.wait()
            raise ProcessEnded(
                "PROCESS_FAILED", f"process {self.number} of those that make load {_ended(code)}"
            )
        told: dict[str, Any] = json.loads(line)
        if told["tell"] == "error":
            raise orders.error_of(told)
        return told

    def answer(self) -> dict[str, Any] | EaisError:
        """The same, but what it would raise: so that no process's answer is left unheard."""
        try:
            return self.heard()
        except EaisError as error:
            return error

    def dismiss(self) -> None:
        """Have it end."""
        self._orders.put(None)

    def close(self) -> None:
        """Wait for its end, not for long."""
        self.dismiss()
        try:
            self.process.wait(CLOSES_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._writer.join()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def _write(self) -> None:
        stdin = self.process.stdin
        assert stdin is not None
        # If it is gone, the end of its output says so.
        with suppress(OSError):
            for order in iter(self._orders.get, None):
                stdin.write(order)
                stdin.flush()
        with suppress(OSError):
            stdin.close()


def _ended(code: int) -> str:
    return f"was ended by signal {-code}" if code < 0 else f"ended with {code}"
