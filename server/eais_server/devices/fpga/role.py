"""What a simulated board's role does: it runs its payload, an ONNX model, on the host's CPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnxruntime as ort

from eais.errors import EaisError, make_error
from eais.onnx_external import scan_model
from eais.rpc.v1 import listener_pb2
from eais_server.devices.driver import PLAIN_RUN, SessionSettings
from eais_server.devices.fpga.framing import MAX_MESSAGE_BYTES
from eais_server.devices.fpga.image import Image
from eais_server.runtime.options import session_options
from eais_server.runtime.session import OrtSession
from eais_server.worker.messages import signature_message

_ENVELOPE_BYTES = 16


class OnnxRole:
    """A role that gives the true results of an ONNX model, by onnxruntime.

    Args:
        image: its payload is the model, whole in one file.
        threads: that one run has.

    Raises:
        UsageError: IMAGE_INVALID.
    """

    def __init__(self, image: Image, threads: int) -> None:
        self._session = OrtSession(_loaded(bytes(image.payload), threads))
        self.signature: listener_pb2.Signature = signature_message(self._session.signature)
        if self.signature.ByteSize() > MAX_MESSAGE_BYTES - _ENVELOPE_BYTES:
            raise _invalid("its inputs, outputs and metadata take too many words")
        self._outputs = [output.name for output in self._session.signature.outputs]

    def run(self, feed: dict[str, Any], outputs: Sequence[str]) -> list[tuple[str, Any]]:
        """See `state.Role`."""
        found = self._session.prepare(PLAIN_RUN).execute(outputs, feed)
        return list(zip(outputs or self._outputs, found, strict=True))


def _loaded(model: bytes, threads: int) -> ort.InferenceSession:
    try:
        if scan_model(model).references:
            raise _invalid("its payload refers to other files")
        options = session_options(SessionSettings(), threads)
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except EaisError as error:
        raise error if error.reason == "IMAGE_INVALID" else _invalid(error.message) from None
    except Exception as error:  # noqa: BLE001 - onnxruntime's classes have no base of their own
        raise _invalid(str(error)) from None


def _invalid(why: str) -> EaisError:
    return make_error("IMAGE_INVALID", f"the role image can't be used: {why}")
