"""The demo from end to end: a pool of its own, real models remote and local, side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import onnxruntime

import eais
from eais_client.cli.outside import Outside
from eais_client.cli.progress import Part, Progress
from eais_client.context import ContextStore
from eais_client.demo import file_types, resnet
from eais_client.demo.compare import SideBySide, same_bits, side_by_side
from eais_client.demo.own_pool import OwnPool, own_environ, own_pool
from eais_client.demo.result import Checks, DemoResult, ModelCheck, Stay
from eais_client.instances import Instance

TYPE = "cpu.1"
PICTURES = 8
LARGE_ROUNDS, SMALL_ROUNDS = 30, 200
_STEPS = 8
T = TypeVar("T")
Feeds = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Twin:
    """One model in two sessions."""

    name: str
    file: Path
    local: file_types.Session
    remote: file_types.Session

    def latency(self, feeds: Feeds, rounds: int, clock: Callable[[], float]) -> SideBySide:
        """Median latency of one call with `feeds`, here and there."""
        return side_by_side(
            lambda: self.local.run(None, feeds),
            lambda: self.remote.run(None, feeds),
            rounds=rounds,
            clock=clock,
        )

    def check(self, answers: int, exact: bool, latency: SideBySide) -> ModelCheck:
        """What was found about it."""
        return ModelCheck(self.name, self.file.stat().st_size, answers, exact, latency)


class Demo:
    """One run of the demo."""

    def __init__(self, outside: Outside, progress: Progress, *, keep: bool = False) -> None:
        self._outside = outside
        self._progress = progress
        self._keep = keep
        self._clock = outside.clock
        self._done = 0

    def run(self) -> tuple[DemoResult, OwnPool]:
        """Do it all; the result, and the pool, which has ended unless it was to be kept."""
        began = self._clock()
        part = self._step("starting a pool of its own")
        with own_pool(self._outside, part, keep=self._keep) as pool:
            up_ms = (self._clock() - began) * 1000
            with own_environ(pool.environ):
                stay = self._stay(pool)
            self._step("stopping the pool")
        return DemoResult(stay, up_ms, self._clock() - began, pool.left_behind()), pool

    def _stay(self, pool: OwnPool) -> Stay:
        model = pool.folder / "resnet50.onnx"
        self._step("writing ResNet-50")
        resnet.write_resnet50(model)
        store = ContextStore.of_environ(pool.environ)
        with self._outside.connect(store, pool.running.context) as client:
            self._step(f"attaching {TYPE}")
            instance, attach_ms = self._timed(lambda: client.attach(type=TYPE))
            checks = self._with_sessions(instance, model)
            self._step("detaching")
            _, detach_ms = self._timed(lambda: client.detach(instance.id))
        isolation = f"L{min(worker.isolation for worker in instance.workers)}"
        return Stay(instance.id, isolation, checks, attach_ms, detach_ms)

    def _with_sessions(self, instance: Instance, model: Path) -> Checks:
        files = (model, file_types.model_file())
        with ExitStack() as stack:
            part = self._step("uploading the models")
            with eais.on_upload(
                lambda done, total: part.step(_upload_text(done, total), done, total)
            ):
                remotes, upload_ms = self._timed(
                    lambda: [stack.enter_context(_remote(file, instance)) for file in files]
                )
            large = self._check_large(Twin("resnet50", files[0], _local(files[0]), remotes[0]))
            twin = Twin("magika", files[1], _local(files[1]), remotes[1])
            small, identified = self._check_program(twin)
        return Checks(large, small, identified, upload_ms)

    def _check_large(self, twin: Twin) -> ModelCheck:
        self._step("comparing ResNet-50")
        pictures: list[Feeds] = [{resnet.INPUT: one} for one in resnet.pictures(PICTURES)]
        exact = all(
            same_bits(twin.remote.run(None, one), twin.local.run(None, one)) for one in pictures
        )
        latency = twin.latency(pictures[0], LARGE_ROUNDS, self._clock)
        return twin.check(len(pictures), exact, latency)

    def _check_program(self, twin: Twin) -> tuple[ModelCheck, int]:
        """What magika says with each session; and of how many files."""
        self._step("identifying this project's files with magika")
        files = file_types.own_files()
        there, here = (file_types.identify(one, files) for one in (twin.remote, twin.local))
        exact = there.labels == here.labels and _same_answers(there.outputs, here.outputs)
        one_file = {file_types.INPUT: np.asarray(here.feeds[-1][file_types.INPUT], np.int32)}
        latency = twin.latency(one_file, SMALL_ROUNDS, self._clock)
        answers = sum(len(outputs[0]) for outputs in here.outputs)
        return twin.check(answers, exact, latency), len(here.labels)

    def _timed(self, call: Callable[[], T]) -> tuple[T, float]:
        began = self._clock()
        result = call()
        return result, (self._clock() - began) * 1000

    def _step(self, text: str) -> Progress:
        part = Part(self._progress, self._done, _STEPS)
        part.step(text)
        self._done += 1
        return part


def _same_answers(there: Sequence[Sequence[Any]], here: Sequence[Sequence[Any]]) -> bool:
    return len(there) == len(here) and all(map(same_bits, there, here))


def _upload_text(done: int, total: int) -> str:
    return f"uploading the models: {done / 1e6:.0f} of {total / 1e6:.0f} MB"


def _local(model: Path) -> file_types.Session:
    """A session in this process, with as many threads as the remote share has cores: one."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # no warnings about the model's unused parts
    session: file_types.Session = onnxruntime.InferenceSession(
        str(model), options, providers=["CPUExecutionProvider"]
    )
    return session


def _remote(model: Path, instance: Instance) -> eais.InferenceSession:
    return eais.InferenceSession(model, provider_options=[{"instance": instance.id}])
