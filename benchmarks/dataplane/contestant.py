"""One side of a comparison in a process of its own, which does what it is told, a line at a time.

`python -m benchmarks.dataplane.contestant SPEC` with SPEC a JSON object of `Spec`. Each line of
its standard input is a JSON object `{"do": NAME, "calls": N}` or `{"do": NAME, "seconds": S}`; each
gets one line back: `{"took": [seconds of each call]}`, `{"per_s": rate}`, or what
`Sessions.beside` gives.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from benchmarks.dataplane import floors, triton

AT_ONCE = 64
SMALL_BYTES = 16
PACE_S = 0.01
LARGE_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Spec:
    """What a contestant is.

    Attributes:
        kind: "tls", "echo" or "eventfd" (floors), "local" (onnxruntime here), "triton" or "eais".
        core: to run on; `other_core`: for the far end of "eventfd".
        port, name: of the floor's server.
        instance, transport, batching: of "eais".
        models: which are loaded.
    """

    kind: str
    folder: str
    core: int
    other_core: int = 0
    port: int = 0
    name: str = ""
    instance: str = ""
    transport: str = ""
    batching: str = ""
    models: tuple[str, ...] = ()


class Contestant(Protocol):
    """What can be told to one."""

    def took(self, what: str, calls: int) -> list[float]:
        """Seconds of each of `calls` calls of a kind, one after the other."""
        ...

    def per_s(self, what: str, seconds: float) -> float:
        """Calls a second of many callers."""
        ...


class Floor:
    """Bytes there and back."""

    def __init__(self, exchange: floors.Exchange) -> None:
        self._exchange = exchange
        self._data = {"tiny": bytes(SMALL_BYTES), "identity": bytes(LARGE_BYTES)}

    def took(self, what: str, calls: int) -> list[float]:
        """See `Contestant`."""
        return floors.timed(self._exchange, self._data[what], calls)

    def per_s(self, what: str, seconds: float) -> float:
        """Of one caller."""
        end, calls = time.perf_counter() + seconds, 0
        while time.perf_counter() < end:
            calls += len(self.took(what, 100))
        return calls / seconds


class Sessions:
    """Sessions of onnxruntime, or of EAIS, on the models."""

    def __init__(self, spec: Spec) -> None:
        from benchmarks.dataplane.models import feed

        self._spec = spec
        self._sessions = {name: self._open(name) for name in spec.models}
        self._feeds = {name: {self._input(name): feed(name)} for name in spec.models}

    def _input(self, name: str) -> str:
        return str(self._sessions[name].get_inputs()[0].name)

    def _open(self, name: str, **more: Any) -> Any:
        path = str(Path(self._spec.folder) / f"{'identity' if name == 'huge' else name}.onnx")
        if self._spec.kind == "local":
            import onnxruntime

            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1
            return onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
        import eais

        return eais.InferenceSession(path, **self._arguments(), **more)

    def _arguments(self) -> dict[str, Any]:
        instance = {"instance": self._spec.instance}
        given: dict[str, Any] = {"provider_options": instance, "transport": self._spec.transport}
        if self._spec.batching:
            given["batching"] = self._spec.batching
        return given

    def took(self, what: str, calls: int) -> list[float]:
        """See `Contestant`."""
        run, feeds = self._sessions[what].run, self._feeds[what]
        took = []
        for _ in range(calls):
            began = time.perf_counter()
            run(None, feeds)
            took.append(time.perf_counter() - began)
        return took

    def per_s(self, what: str, seconds: float) -> float:
        """`threads:N:MODEL` of N threads, `tasks:N:MODEL` of N asyncio tasks."""
        how, many, model = what.split(":")
        if how == "threads":
            return self._threads(int(many), model, seconds)
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(self._tasks(int(many), model, seconds))

    def _threads(self, many: int, model: str, seconds: float) -> float:
        run, feeds = self._sessions[model].run, self._feeds[model]
        counts = [0] * many
        end = time.perf_counter() + seconds

        def work(number: int) -> None:
            while time.perf_counter() < end:
                run(None, feeds)
                counts[number] += 1

        threads = [threading.Thread(target=work, args=(number,)) for number in range(many)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(counts) / seconds

    async def _tasks(self, many: int, model: str, seconds: float) -> float:
        from eais import aio

        path, feeds = str(Path(self._spec.folder) / f"{model}.onnx"), self._feeds[model]
        async with aio.InferenceSession(path, **self._arguments()) as session:
            await session.run(None, feeds)
            end = time.perf_counter() + seconds

            async def work() -> int:
                count = 0
                while time.perf_counter() < end:
                    await session.run(None, feeds)
                    count += 1
                return count

            return sum(await asyncio.gather(*(work() for _ in range(many)))) / seconds

    def beside(self, seconds: float) -> dict[str, list[float]]:
        """Seconds of small calls that are due at an even pace, while huge ones follow each other.

        `shared`: of those on the connection of the huge ones; `apart`: of those of the same
        process on another, due in the middle between them. What a call waits for the one before
        it counts, so that nothing that holds calls up counts only once.
        """
        from eais_client.frontend import frontend_of

        other = Path(self._spec.folder) / "apart"
        other.symlink_to(os.environ["EAIS_CONFIG_DIR"])
        second = frontend_of({**os.environ, "EAIS_CONFIG_DIR": str(other)})
        apart = self._open("tiny", frontend=second)
        ended = threading.Event()
        took: dict[str, list[float]] = {"shared": [], "apart": []}

        def carry() -> None:
            while not ended.is_set():
                self.took("huge", 1)

        def call(name: str, run: Callable[..., Any], due: float, end: float) -> None:
            run(None, self._feeds["tiny"])
            while due < end:
                time.sleep(max(0.0, due - time.perf_counter()))
                run(None, self._feeds["tiny"])
                took[name].append(time.perf_counter() - due)
                due += PACE_S

        due = time.perf_counter() + 0.5
        end = due + seconds
        small = self._sessions["tiny"].run
        callers = [
            threading.Thread(target=call, args=("shared", small, due, end)),
            threading.Thread(target=call, args=("apart", apart.run, due + PACE_S / 2, end)),
        ]
        carrier = threading.Thread(target=carry)
        for thread in (*callers, carrier):
            thread.start()
        for thread in callers:
            thread.join()
        ended.set()
        carrier.join()
        return took


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def made(spec: Spec) -> Contestant:
    """The contestant that `spec` describes."""
    folder = Path(spec.folder)
    match spec.kind:
        case "tls":
            return Floor(floors.tls_client(folder, spec.port))
        case "echo":
            return Floor(floors.echo_client(folder, spec.port, spec.name))
        case "eventfd":
            return Floor(floors.eventfd_client(spec.other_core))
        case "triton":
            return triton.Client(spec.port)
        case _:
            return Sessions(spec)


def answer(one: Contestant, order: dict[str, Any]) -> dict[str, Any]:
    """Do what a line says."""
    what = order["do"]
    if what == "beside":
        assert isinstance(one, Sessions)
        return {"beside": one.beside(order["seconds"])}
    if "seconds" in order:
        return {"per_s": one.per_s(what, order["seconds"])}
    return {"took": one.took(what, order["calls"])}


def main() -> None:
    """Until standard input ends."""
    spec = Spec(**json.loads(sys.argv[1]))
    os.sched_setaffinity(0, {spec.core})
    one = made(spec)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(one, json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
