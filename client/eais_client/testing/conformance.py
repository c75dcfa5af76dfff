"""What every session must do that stands in for onnxruntime's: `check_session(maker)`.

The checks run alike over `onnxruntime.InferenceSession`, the oracle, and over
`eais.InferenceSession`. They take their models from the wheels of onnxruntime and onnx,
and make small ones with the latter.
"""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from eais_client.testing.sameness import assert_same

Maker = Callable[..., Any]
#: (exception class's name, its text)
Mistake = tuple[str, str]


def check_session(maker: Maker, *, light: tuple[str, ...] = ("light_squeezenet",)) -> None:
    """Run all checks on sessions that `maker(path_or_bytes, sess_options=None)` makes.

    `light` names models of the onnx wheel to run besides onnxruntime's own. Raises
    AssertionError for what differs from onnxruntime in this process.
    """
    # Its models are made with onnx, which a front-end hasn't.
    from eais_client.testing.conformance_values import check_entries, check_values

    for path in [*own_models().values(), *map(light_model, light)]:
        check_signature(maker, path)
        check_answers(maker, path)
    check_bytes(maker)
    check_outputs(maker)
    check_lists(maker)
    check_mistakes(maker)
    check_bad_models(maker)
    check_async(maker)
    check_threads(maker)
    check_values(maker, oracle)
    check_entries(maker, oracle, _onnxruntimes_options())


def own_models() -> dict[str, Path]:
    """Onnxruntime's own small models, by name."""
    folder = _package("onnxruntime") / "datasets"
    return {name: folder / f"{name}.onnx" for name in ("mul_1", "sigmoid", "logreg_iris")}


def light_model(name: str) -> Path:
    """A real architecture of the onnx wheel, with constant weights: "light_resnet50"."""
    return _package("onnx") / "backend/test/data/light" / f"{name}.onnx"


def feeds_of(session: Any, seed: int) -> dict[str, Any]:
    """Random inputs of the shapes and types that the session declares."""
    rng = np.random.default_rng(seed)
    return {arg.name: _random(arg, rng) for arg in session.get_inputs()}


def check_signature(maker: Maker, path: Path) -> None:
    """Inputs, outputs, metadata and providers are onnxruntime's."""
    here, there = oracle(path), maker(path)
    for method in ("get_inputs", "get_outputs", "get_overridable_initializers"):
        assert _args(getattr(there, method)()) == _args(getattr(here, method)()), method
    mine, theirs = there.get_modelmeta(), here.get_modelmeta()
    for field in ("producer_name", "graph_name", "domain", "description", "version"):
        assert getattr(mine, field) == getattr(theirs, field), field
    assert mine.graph_description == theirs.graph_description
    assert mine.custom_metadata_map == theirs.custom_metadata_map
    assert there.get_providers() == ["CPUExecutionProvider"]
    assert list(there.get_provider_options()) == there.get_providers()
    assert int(there.get_session_options().graph_optimization_level) == 99


def check_answers(maker: Maker, path: Path) -> None:
    """Answers are bit for bit onnxruntime's, whatever outputs are asked for."""
    here, there = oracle(path), maker(path)
    names = [arg.name for arg in here.get_outputs()]
    for seed in range(2):
        feeds = feeds_of(here, seed)
        expected = here.run(None, feeds)
        for wanted in (None, [], names, tuple(names)):
            assert_same(there.run(wanted, feeds), expected)
        assert_same(there.run(names[::-1], feeds), expected[::-1])


def check_bytes(maker: Maker) -> None:
    """A model's bytes do what its path does."""
    path = own_models()["mul_1"]
    feeds = {"X": np.full((3, 2), 2.0, np.float32)}
    expected = oracle(path).run(None, feeds)
    for model in (path.read_bytes(), str(path)):
        assert_same(maker(model).run(None, feeds), expected)


def check_outputs(maker: Maker) -> None:
    """Answers may be written to, and are nobody else's memory."""
    session = maker(own_models()["mul_1"])
    feeds = {"X": np.ones((3, 2), np.float32)}
    first, second = session.run(None, feeds)[0], session.run(None, feeds)[0]
    first[:] = 0
    assert second.any()
    assert feeds["X"].all()


def check_lists(maker: Maker) -> None:
    """Lists become arrays of the declared type; strides and order don't matter."""
    path = own_models()["mul_1"]
    here, there = oracle(path), maker(path)
    x = np.arange(12, dtype=np.float32).reshape(6, 2)
    for value in (x[:3].tolist(), [[1, 2], [3, 4], [5, 6]], x[::2], np.asfortranarray(x[:3])):
        assert_same(there.run(None, {"X": value}), here.run(None, {"X": value}))


def check_mistakes(maker: Maker) -> None:
    """The same mistakes raise the same classes with the same words."""
    path = own_models()["mul_1"]
    here, there = oracle(path), maker(path)
    for names, feeds in _MISTAKES:
        expected = mistake(partial(here.run, names, feeds))
        assert mistake(partial(there.run, names, feeds)) == expected, (names, feeds)
    assert len(there.run(None, {"X": np.ones((3, 2), np.float32)})) == 1  # and it goes on


def check_bad_models(maker: Maker) -> None:
    """What can't be loaded raises what onnxruntime raises."""
    good = own_models()["mul_1"].read_bytes()
    for model in (b"", b"garbage" * 9, good[:40], "/nowhere/model.onnx", "nowhere.onnx", 5, None):
        expected = mistake(partial(oracle, model))
        assert mistake(partial(maker, model)) == expected, model


def check_async(maker: Maker) -> None:
    """`run_async` calls back once, with the answer or with the text of what was wrong."""
    path = own_models()["mul_1"]
    session, expected = maker(path), oracle(path, threads=2)
    for x in (np.ones((3, 2), np.float32), np.ones((2, 2), np.float32)):
        assert_same(_called_back(session, x), _called_back(expected, x))


def check_threads(maker: Maker) -> None:
    """Many threads get each their own answer."""
    session = maker(own_models()["mul_1"])
    wrong: list[int] = []

    def work(number: int) -> None:
        for turn in range(20):
            x = np.full((3, 2), number * 100 + turn, np.float32)
            answer = session.run(None, {"X": x})[0]
            if not np.array_equal(answer, x * np.arange(1, 7, dtype=np.float32).reshape(3, 2)):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def oracle(model: Any, threads: int = 1) -> Any:
    """Onnxruntime's own session in this process."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _onnxruntimes_options() -> Any:
    import onnxruntime

    return onnxruntime.SessionOptions()


def mistake(make: Callable[[], Any]) -> Mistake:
    """What `make` raises, as (class's name, text); ("", "") if nothing."""
    try:
        make()
    except Exception as error:  # noqa: BLE001 - which class it is, is the question
        return type(error).__name__, str(error)
    return "", ""


_ONES = np.ones((3, 2), np.float32)
_MISTAKES: list[tuple[Any, Mapping[Any, Any]]] = [
    (None, {}),
    (None, {"Y": _ONES}),
    (None, {1: _ONES}),
    (None, {"X": _ONES, "Z": _ONES}),
    (["nope"], {"X": _ONES}),
    (None, {"X": _ONES.astype(np.float64)}),
    (None, {"X": _ONES.astype(np.int32)}),
    (None, {"X": _ONES.astype(np.complex64)}),
    (None, {"X": _ONES.astype("M8[s]")}),
    (None, {"X": np.array([["a", "b"]] * 3)}),
    (None, {"X": _ONES[:2]}),
    (None, {"X": _ONES.T}),
    (None, {"X": _ONES[None]}),
    (None, {"X": np.array(1.0, np.float32)}),
    (None, {"X": np.float32(1.0)}),
    (None, {"X": 1.0}),
    (None, {"X": "text"}),
    (None, {"X": (1.0, 2.0)}),
    (None, {"X": [[1, 2], [3]]}),
    (None, {"X": ["a"]}),
    (None, {"X": {}}),
    (None, {"X": memoryview(_ONES.data)}),
]


def _called_back(session: Any, x: Any) -> list[Any]:
    done, heard = threading.Event(), []

    def callback(results: Any, user_data: Any, error: str) -> None:
        heard.extend([results, user_data, error])
        done.set()

    session.run_async(None, {"X": x}, callback, "mine")
    assert done.wait(60)
    return heard


def _args(args: Any) -> list[tuple[Any, ...]]:
    return [(arg.name, arg.type, arg.shape, str(arg)) for arg in args]


def _random(arg: Any, rng: np.random.Generator) -> Any:
    shape = [size if isinstance(size, int) else 2 for size in arg.shape]
    kinds = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(int64)": np.int64}
    return rng.standard_normal(shape).astype(kinds[arg.type])


def _package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent
