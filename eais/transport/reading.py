"""Reads the messages of a data stream. (Brain)

One reader per stream and direction: it keeps what repeats.
"""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.message import DecodeError

from eais.errors import UsageError
from eais.rpc.v1 import worker_pb2
from eais.transport import messages
from eais.transport.parts import Buffer, ToClientParts, ToWorkerParts


class ToWorkerReader:
    """Reads what clients send."""

    def read(self, data: Buffer) -> ToWorkerParts:
        """A whole message; `UsageError` MALFORMED_MESSAGE if it isn't a ToWorker."""
        try:
            message = worker_pb2.ToWorker.FromString(bytes(data))
        except DecodeError:
            raise malformed("ToWorker") from None
        return messages.to_worker_parts(message)

    def portions(self, data: Buffer, most: int) -> Iterator[ToWorkerParts]:
        """`read` in steps: what the message says in its order, `most` runs, pieces, … a step.

        For messages so large that reading them at once would keep everybody waiting.
        """
        whole = self.read(data)
        yield ToWorkerParts(
            hello=whole.hello, ring_wanted=whole.ring_wanted, ring_begins=whole.ring_begins
        )
        for name in ("runs", "pieces", "cancels", "hold", "release"):
            items = getattr(whole, name)
            for begin in range(0, len(items), most):
                yield ToWorkerParts(**{name: items[begin : begin + most]})


class ToClientReader:
    """Reads what workers send."""

    def read(self, data: Buffer) -> ToClientParts:
        """A whole message; `UsageError` MALFORMED_MESSAGE if it isn't a ToClient."""
        try:
            message = worker_pb2.ToClient.FromString(bytes(data))
        except DecodeError:
            raise malformed("ToClient") from None
        return messages.to_client_parts(message)


def malformed(kind: str) -> UsageError:
    """The error of bytes that are no message of the kind."""
    return UsageError("MALFORMED_MESSAGE", f"what came is not a {kind} message")
