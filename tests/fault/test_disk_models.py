"""What a listener keeps is damaged while it serves: found before it is used, mended, no call lost.

A real pool and a program that calls. Then a worker dies, or the listener, so that the damaged
file must be read again.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import eais
from benchmarks.faults.processes import titled
from eais.errors import UsageError
from tests.system.stack import Stack, embedded_pool, eventually
from tests.system.test_store_full import attach, model_of

ONE = {"x": np.ones(1, np.float32)}


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    root, config = tmp_path_factory.mktemp("pool"), "[listener]\ncpu_cores = 1\n"
    with embedded_pool(root, config) as stack, pytest.MonkeyPatch.context() as patch:
        attach(stack, patch)
        yield stack


@pytest.fixture
def model(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    path = tmp_path / "m.onnx"
    path.write_bytes(model_of(4, seed=abs(hash(request.node.name)) % 1000))
    return path


def stored(pool: Stack, model: Path) -> Path:
    """The store's file of a model."""
    data = model.read_bytes()
    files = (pool.state / "listener" / "store").glob("*/" + "[0-9a-f]" * 64)
    return next(file for file in files if file.read_bytes() == data)


def flip(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(1 << 20)
        byte = file.read(1)[0]
        file.seek(1 << 20)
        file.write(bytes([byte ^ 0x10]))


def cut(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(1 << 20)


def remove(path: Path) -> None:
    path.unlink()


def die(pool: Stack, title: str) -> None:
    """A process of the pool's is killed, and has ended.

    One that was killed often is back after some seconds only.
    """
    process = eventually(lambda: titled(pool.supervisor.pid, title), f"{title} runs")
    sent = process.send(signal.SIGKILL)
    assert sent.exited_s(30) is not None
    sent.close()


def answer(session: eais.InferenceSession) -> bytes:
    return bytes(session.run(None, ONE)[0])


@pytest.mark.parametrize("dies", ["eais-worker ei-", "eais-listener"])
@pytest.mark.parametrize("damage", [flip, cut, remove])
def test_a_stored_model(
    pool: Stack, model: Path, damage: Callable[[Path], None], dies: str
) -> None:
    with eais.InferenceSession(model) as session:
        right = answer(session)
        damage(stored(pool, model))
        die(pool, dies)
        assert answer(session) == right
        assert stored(pool, model).stat().st_nlink > 1
        die(pool, dies)
        assert answer(session) == right


def test_a_model_that_is_another_by_now_is_not_sent_in_its_place(pool: Stack, model: Path) -> None:
    with eais.InferenceSession(model) as session:
        answer(session)
        flip(stored(pool, model))
        model.write_bytes(model_of(4, seed=1001))
        die(pool, "eais-worker ei-")
        with pytest.raises(UsageError) as caught:
            session.run(None, ONE)
        assert caught.value.reason == "MODEL_CHANGED"
    with eais.InferenceSession(model) as session:
        assert answer(session)


@pytest.mark.parametrize("name", ["leases", "specs", "usage"])
def test_a_record_of_the_listener(pool: Stack, model: Path, name: str) -> None:
    """The pool and the client know what it said: it is granted, and opened, once more."""
    with eais.InferenceSession(model) as session:
        right = answer(session)
        (record,) = (pool.state / "listener" / name).glob("*.json")
        instance = record.name.removesuffix(".json")
        epoch = pool.instance(instance).epoch
        eventually(lambda: record.exists() or None, "counters are written")
        die(pool, "eais-listener")
        # Its supervisor starts it at once; what is damaged now is damaged in time, or next time.
        with record.open("r+b") as file:
            file.write(b"x")
        die_again_unless_said(pool, record)
        assert answer(session) == right
        assert record.with_name(f"{record.name}.damaged").exists()
        assert pool.instance(instance).epoch == epoch
        shares = [use.state for device in pool.status().devices for use in device.shares]
        assert shares == ["GRANTED"]
    record.with_name(f"{record.name}.damaged").unlink()


def die_again_unless_said(pool: Stack, record: Path) -> None:
    """The listener has found the damage."""

    def said() -> bool | None:
        return f"{record} is damaged" in (pool.state / "listener.log").read_text() or None

    try:
        eventually(said, "the damage is said", within_s=3)
    except AssertionError:
        die(pool, "eais-listener")
        eventually(said, "the damage is said")
