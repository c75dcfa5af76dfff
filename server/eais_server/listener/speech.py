"""What workers say, as events for the supervision. They aren't trusted."""

from __future__ import annotations

from typing import Final

from eais.rpc.v1 import common_pb2, supervision_pb2
from eais_server.listener import messages
from eais_server.supervision import events as on

# A worker refuses a model with a longer one; the listener keeps what it is told.
_SIGNATURE_BYTES: Final = 8 << 20
# Of what isn't used: more than a device has. Their reasons are kept while the session is.
_UNUSED: Final = 8
_NAME_BYTES: Final = 64


def event_of(worker: int, message: supervision_pb2.FromWorkerProcess, level: int) -> on.Event:
    """What a worker says, as an event; it isn't trusted."""
    match message.WhichOneof("kind"):
        case "spare" if message.spare.isolation >= level:
            return on.WorkerReady(worker, message.spare.isolation)
        case "spare":
            return on.WorkerAstray(worker, f"it is confined to level {message.spare.isolation}")
        case "adopted" if message.adopted.HasField("error"):
            return on.BindFailed(worker, messages.failure_of(message.adopted.error))
        case "adopted" if messages.is_port(message.adopted.port):
            return on.WorkerBound(worker, message.adopted.port)
        case "loaded" if message.loaded.ByteSize() <= _SIGNATURE_BYTES:
            signature = message.loaded.signature.SerializeToString()
            return on.SessionLoaded(worker, message.loaded.session, signature)
        case "runs":
            return on.SessionRuns(worker, message.runs.session, _runs(message.runs))
        case "load_failed":
            failed = messages.failure_of(message.load_failed.error)
            return on.LoadRefused(worker, message.load_failed.session, failed)
        case "stuck":
            return on.WorkerStuck(worker)
        case "device_lost" | "checked":
            return _of_device(worker, message)
    return on.WorkerAstray(worker, "it said what makes no sense")


def _runs(message: supervision_pb2.Runs) -> on.Runs:
    unused = (
        (messages.shown(u.runtime, _NAME_BYTES), messages.shown(u.why))
        for u in message.unused[:_UNUSED]
    )
    return on.Runs(messages.shown(message.runtime, _NAME_BYTES), tuple(unused))


def _of_device(worker: int, message: supervision_pb2.FromWorkerProcess) -> on.Event:
    """What it says of its device: that this failed, or how its check ended."""
    if message.HasField("device_lost"):
        return on.WorkerLostDevice(worker, _why(message.device_lost))
    checked = message.checked
    return on.Checked(worker, _why(checked.error) if checked.HasField("error") else "")


def _why(error: common_pb2.Error) -> str:
    return messages.failure_of(error).message or "the worker doesn't say why"
