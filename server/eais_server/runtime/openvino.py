"""A model that OpenVINO has compiled, as a session."""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from eais_server.devices.driver import PreparedRun, RunSettings, RuntimeSession, SessionSignature
from eais_server.runtime.options import check_entry
from eais_server.runtime.refusals import checked_feed, run_ended, run_failed, unknown_output

# Its converters of other formats stay out, and with them what they report home.
sys.modules.setdefault("openvino.tools.ovc", None)  # type: ignore[arg-type]
import openvino  # noqa: E402


def new_core() -> Any:
    """OpenVINO's core; most of a second, the first time."""
    return openvino.Core()


class OpenVinoSession:
    """A compiled model as a `RuntimeSession`. Any thread may prepare and run.

    Args:
        plain: opens the same in onnxruntime, for calls that give other values for initializers:
            to OpenVINO they are constants.
    """

    def __init__(
        self, compiled: Any, signature: SessionSignature, plain: Callable[[], RuntimeSession]
    ) -> None:
        self._compiled = compiled
        self._signature = signature
        self._open_plain = plain
        self._plain: RuntimeSession | None = None
        self._opens_plain = threading.Lock()
        self._overridable = {spec.name for spec in signature.overridable_initializers}
        self._outputs = {spec.name: i for i, spec in enumerate(signature.outputs)}
        self._idle: deque[Any] = deque()

    @property
    def signature(self) -> SessionSignature:
        """What it takes and gives, as onnxruntime says."""
        return self._signature

    def prepare(self, settings: RunSettings) -> OpenVinoRun:
        """See `RuntimeSession`; onnxruntime's entries are checked, and change nothing here."""
        for key, value in settings.config_entries.items():
            check_entry(key, value)
        return OpenVinoRun(self, settings)

    def places(self, outputs: Sequence[str]) -> list[int]:
        """Where the outputs are, all of them for none; InputRejected OUTPUT_UNKNOWN."""
        for name in outputs:
            if name not in self._outputs:
                raise unknown_output(name)
        return [self._outputs[name] for name in outputs] or list(self._outputs.values())

    def plain_for(self, feed: Mapping[str, Any]) -> RuntimeSession | None:
        """What runs a call that overrides initializers; None for all others."""
        if not self._overridable or self._overridable.isdisjoint(feed):
            return None
        with self._opens_plain:
            self._plain = self._plain or self._open_plain()
        return self._plain

    def take(self) -> Any:
        """A request that nobody runs, which is to be given back."""
        try:
            return self._idle.pop()
        except IndexError:
            return self._compiled.create_infer_request()

    def give_back(self, request: Any) -> None:
        """It ran to its end."""
        self._idle.append(request)


class OpenVinoRun:
    """One run of an `OpenVinoSession`, as a `PreparedRun`."""

    def __init__(self, session: OpenVinoSession, settings: RunSettings) -> None:
        self._session = session
        self._settings = settings
        self._request: Any = None
        self._plain: PreparedRun | None = None
        self._terminated = False

    def execute(self, outputs: Sequence[str], feed: Mapping[str, Any]) -> list[Any]:
        """See `PreparedRun`."""
        if plain := self._session.plain_for(feed):
            self._plain = plain.prepare(self._settings)
            if self._terminated:
                self._plain.terminate()
            return self._plain.execute(outputs, feed)
        signature = self._session.signature
        places, values = self._session.places(outputs), checked_feed(feed, signature)
        try:
            return self._run(places, values)
        except Exception as error:  # noqa: BLE001 - OpenVINO raises RuntimeErrors, mostly
            if self._terminated:
                raise run_ended() from None
            raise run_failed(words_of(error), memory=isinstance(error, MemoryError)) from None

    def _run(self, places: Sequence[int], values: Sequence[Any]) -> list[Any]:
        self._request = request = self._session.take()
        try:
            # The arrays are read where they are, and kept until the run is over.
            for i, value in enumerate(values):
                request.set_input_tensor(i, openvino.Tensor(value, shared_memory=True))
            request.start_async()
            if self._terminated:  # `terminate` may have come before there was anything to cancel
                request.cancel()
            request.wait()
            found = [request.get_output_tensor(i).data.copy() for i in places]
        finally:
            self._request = None
        self._session.give_back(request)
        return found

    def terminate(self) -> None:
        """See `PreparedRun`."""
        self._terminated = True
        if self._plain is not None:
            self._plain.terminate()
        if (request := self._request) is not None:
            request.cancel()

    @property
    def terminated(self) -> bool:
        """See `PreparedRun`."""
        return self._terminated


def words_of(error: Exception) -> str:
    """Its own, without the lines that say where in its sources it was raised."""
    lines = [line.strip() for line in str(error).splitlines()]
    told = [line for line in lines if line and not line.startswith(("Exception from", "Check '"))]
    return (told[0] if told else type(error).__name__)[:200]
