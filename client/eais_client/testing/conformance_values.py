"""Values that are no plain tensors of numbers, given and taken as onnxruntime does.

Part of `eais_client.testing.check_session`: strings, sequences, maps, optional values, lists,
zero-dimensional and 64-bit numbers, shapes that change with every call, metadata.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from eais_client.testing import value_models as models
from eais_client.testing.sameness import assert_same

Maker = Callable[..., Any]
#: (a model, values to give its inputs, one after the other)
Case = tuple[bytes, list[dict[str, Any]]]

_WORDS = ["gpu", "npu", "fpga ✓", ""]
_NUMBERS = {
    models.FLOAT: np.float32,
    models.DOUBLE: np.float64,
    models.INT32: np.int32,
    models.INT64: np.int64,
}


def cases() -> Iterator[Case]:
    """Models, and the inputs that each is to be tried with."""
    yield from _strings()
    yield from _maps()
    yield from _sequences()
    yield from _numbers()
    yield from _shapes()


def check_values(maker: Maker, oracle: Callable[[bytes], Any]) -> None:
    """Each case's answer, or error, is the oracle's: value, dtype, Python type, text.

    Raises AssertionError for what differs.
    """
    for model, feeds in cases():
        here, there = oracle(model), maker(model)
        assert _declared(there) == _declared(here)
        for feed in feeds:
            expected = outcome(partial(here.run, None, feed))
            assert_same(outcome(partial(there.run, None, feed)), expected)


def check_entries(maker: Maker, oracle: Callable[[bytes], Any], options: Any) -> None:
    """A session made with config entries in `options` answers as without, and has them."""
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    model, x = models.summed(models.DOUBLE), np.full((2, 2), 0.25)
    feed = {"x": x, "s": np.array(1.0)}
    session = maker(model, options)
    assert_same(session.run(None, feed), oracle(model).run(None, feed))
    kept = session.get_session_options().get_session_config_entry
    assert kept("session.set_denormal_as_zero") == "1"


def outcome(run: Callable[[], Any]) -> Any:
    """What `run` gives, or (class's name, text) of what it raises."""
    try:
        return run()
    except Exception as error:  # noqa: BLE001 - which class it is, is the question
        return type(error).__name__, str(error)


def _declared(session: Any) -> list[tuple[Any, ...]]:
    args = [*session.get_inputs(), *session.get_outputs()]
    told = [(arg.name, arg.type, arg.shape) for arg in args]
    return [*told, (session.get_modelmeta().custom_metadata_map,)]


def _strings() -> Iterator[Case]:
    given = [
        _texts(*_WORDS, "nul\0"),
        np.array(_WORDS),
        np.array([b"a", b"b"], "V1"),
        _texts(1, None, 2.5, b"x", True),
        np.array("one", object),
        _texts().reshape(0, 3),
        _texts("long" * 20_000),
        [["a", "b"], ["c", "d"]],
        [1, 2],
        "a",
        b"a",
    ]
    yield models.identity(models.STRING, None), [{"x": value} for value in given]
    yield models.normalized(), [{"x": _texts("The", "DOG")}, {"x": _texts("the")}]
    columns = [_texts("npu", "none").reshape(2, 1), [["npu"], ["gpu"]], np.array([["gpu"]])]
    yield models.labelled(_WORDS), [{"x": value} for value in columns]


def _maps() -> Iterator[Case]:
    rows = [np.arange(3 * n, dtype=np.float32).reshape(n, 3) / 7 for n in (0, 1, 3)]
    for words in (["a", "b", "ç"], [3, 5, -1]):
        yield models.zipped(words), [{"x": value} for value in (*rows, rows[1][0], rows[2].T[:2])]
    for words, other in ((["a", "b"], 2), ([1, 2], "b")):
        word = words[0]
        given: list[Any] = [
            {word: 1.0},
            {word: 2, words[1]: np.float32(0.1)},
            {word: True, other: np.int64(3)},
            {},
            {word: None},
            {word: "text"},
            {word: [1]},
            {None: 1.0},
            {1.5: 1.0},
            {b"a": 1.0},
            [{word: 1.0}],
            ({word: 1.0},),
            ({},),
            (),
        ]
        yield models.vectorized(words), [{"x": value} for value in given]


def _sequences() -> Iterator[Case]:
    for kind, dtype in {**_NUMBERS, models.STRING: np.object_}.items():
        a = np.array(["1", "2"] if dtype is np.object_ else [1, 2], dtype)
        b = a[0] if dtype is np.object_ else a.sum()
        yield models.collected(kind), [{"a": a, "b": np.array(b, dtype)}, {"a": [], "b": a[:0]}]
        given = [[], [a], [a, a.reshape(1, 2)], [a.tolist()], a, (a,), [1.0], None, [None]]
        yield models.counted(kind), [{"x": value} for value in given]
    yield models.maybe(models.FLOAT), [{"x": np.ones(2, np.float32)}, {"x": None}, {}]


def _numbers() -> Iterator[Case]:
    for kind, dtype in _NUMBERS.items():
        lists = [[[1, 2]], [[1.5, 2]], [[True]], [["1"]], [[2**40]], [[1], [1, 2]], [[None]], []]
        arrays = [np.ones((2, 3), dtype), np.ones((0, 3), dtype), np.ones((3, 2), dtype).T]
        scalars = [np.array(4, dtype), dtype(4), 4, [4]]
        values = [*arrays, *lists]
        yield (
            models.summed(kind),
            [{"x": x, "s": scalars[0]} for x in values]
            + [{"x": arrays[0], "s": scalar} for scalar in scalars],
        )
    yield models.identity(models.DOUBLE, None), [{"x": np.array(1.5)}, {"x": [1.0, 2]}, {"x": []}]


def _shapes() -> Iterator[Case]:
    turns = [np.arange(n * 3).reshape(n, 3) % n == 0 for n in range(1, 8)]
    yield models.nonzero(), [{"x": value} for value in (*turns, [[True, False], [1, 0]])]
    for shape in ([], [3], [None, 3], ["n", "m"], [0]):
        given = [np.ones(s, np.float32) for s in ((), (3,), (1, 3), (0,))]
        yield (
            models.identity(models.FLOAT, shape),
            [{"x": value} for value in (*given, [1, 2, 3], [[1, 2, 3]])],
        )


def _texts(*items: object) -> Any:
    made = np.empty(len(items), object)
    made[:] = items
    return made
