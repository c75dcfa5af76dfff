"""All that a caller was told, and what must never be in it."""

from __future__ import annotations

import re
import sys
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

CHECKOUT = Path(__file__).resolve().parents[2]
PLACES = (str(CHECKOUT), sysconfig.get_path("purelib"), sys.prefix, "/usr/", "/proc/", "/dev/shm")
STACKS = ("Traceback", 'File "', ".py:", '.py"', "memfd:")
PROCESS_ID = re.compile(rb"\bpid\W{0,3}\d")
A_BUG = re.compile(rb"\bBUG\b")
NEVER = {grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL}


@dataclass
class Heard:
    """What was said since `clear`; `secrets` are the words planted besides those of above."""

    secrets: set[str] = field(default_factory=set)
    said: list[bytes] = field(default_factory=list)
    codes: list[grpc.StatusCode] = field(default_factory=list)

    def clear(self) -> None:
        """A new row begins."""
        self.said.clear()
        self.codes.clear()

    def say(self, text: str | bytes) -> None:
        """Something that a caller was told: an output, a log line, an exception's text."""
        self.said.append(text.encode(errors="backslashreplace") if isinstance(text, str) else text)

    def failed(self, error: Any) -> None:
        """A call's status, with its text and all that trails it."""
        self.codes.append(error.code())
        self.say(str(error.details()))
        for key, value in error.trailing_metadata() or ():
            self.say(key)
            self.say(value)

    def check(self) -> None:
        """AssertionError for a status, a word or a place that no caller may see."""
        assert not NEVER & set(self.codes), f"{self.codes}: {self.said[-5:]}"
        words = [word.encode() for word in (*PLACES, *STACKS, *sorted(self.secrets))]
        for data in self.said:
            found = [word for word in words if word in data]
            found += [match[0] for match in (A_BUG.search(data), PROCESS_ID.search(data)) if match]
            assert not found, f"{found} was said in {data[:2000]!r}"


class RecordedChannel:
    """A `grpc.Channel` of which all replies and failures are heard."""

    def __init__(self, channel: grpc.Channel, heard: Heard) -> None:
        self._channel = channel
        self._heard = heard

    def __enter__(self) -> RecordedChannel:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    def close(self) -> None:
        """As the channel's own."""
        self._channel.close()

    def _reading(self, read: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
        def heard(data: bytes) -> Any:
            self._heard.say(data)
            return read(data)

        return heard

    def _answered(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def heard(*args: Any, **kwargs: Any) -> Any:
            try:
                return call(*args, **kwargs)
            except grpc.RpcError as error:
                self._heard.failed(error)
                raise

        return heard

    def unary_unary(self, path: str, write: Any, read: Any) -> Callable[..., Any]:
        """One message, one reply."""
        return self._answered(self._channel.unary_unary(path, write, self._reading(read)))

    def stream_unary(self, path: str, write: Any, read: Any) -> Callable[..., Any]:
        """Messages, one reply."""
        return self._answered(self._channel.stream_unary(path, write, self._reading(read)))

    def stream_stream(self, path: str, write: Any, read: Any) -> Callable[..., Any]:
        """Messages, replies."""
        call = self._channel.stream_stream(path, write, self._reading(read))
        return lambda *args, **kwargs: _RecordedReplies(call(*args, **kwargs), self._heard)


class _RecordedReplies:
    def __init__(self, replies: Any, heard: Heard) -> None:
        self._replies = replies
        self._heard = heard

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            return next(self._replies)
        except grpc.RpcError as error:
            self._heard.failed(error)
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._replies, name)
