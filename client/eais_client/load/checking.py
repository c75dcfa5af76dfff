"""Inputs and right answers as files, and whether an answer is one of them.

What a generator's process calls with is made once, and handed over in a folder: `feeds-0.npz`,
`feeds-1.npz`, ... and `answers-0.npz`, ..., without pickle: arrays by number, and `tree`, JSON
that says what they are parts of.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from eais.parity import verdict
from eais.tolerance import Tolerance
from eais.value import RawTensor
from eais_client.load.target import Feeds

_TREE: Final = "tree"


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a model is called with.

    Attributes:
        feeds: a request's inputs, of each variant.
        answers: the right outputs of each, in the model's order; None if nobody knows.
        tolerance: how far an answer may differ, a name of `eais.tolerance.Tolerance`; what each
            allows is in `eais.parity.bounds`.
    """

    feeds: tuple[Feeds, ...]
    answers: tuple[tuple[Any, ...], ...] | None = None
    tolerance: str = "fp32"


def write_prepared(folder: Path, prepared: Prepared) -> None:
    """Put it into `folder`, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tolerance").write_text(prepared.tolerance)
    for number, feeds in enumerate(prepared.feeds):
        _write(folder / f"feeds-{number}.npz", dict(feeds))
    for number, answer in enumerate(prepared.answers or ()):
        _write(folder / f"answers-{number}.npz", list(answer))


def read_prepared(folder: Path) -> Prepared:
    """What was written there."""
    feeds, answers = _all(folder, "feeds"), _all(folder, "answers")
    right = tuple(map(tuple, answers)) or None
    return Prepared(tuple(feeds), right, (folder / "tolerance").read_text())


def difference(got: Sequence[Any], want: Sequence[Any], tolerance: str) -> str:
    """What is wrong with an answer; "" if it is right.

    Cheap where both are equal, as it is asked while load is on.
    """
    if tolerance != Tolerance.EXACT and _all_equal(got, want):
        return ""
    names = [str(number) for number in range(len(want))]
    return verdict.difference(want, got, names, Tolerance(tolerance))


def _all_equal(got: Sequence[Any], want: Sequence[Any]) -> bool:
    """Whether they are arrays that are equal; if not they may still be within a tolerance."""
    return len(got) == len(want) and all(
        isinstance(one, np.ndarray)
        and isinstance(other, np.ndarray)
        and one.dtype == other.dtype
        and np.array_equal(one, other)
        for one, other in zip(got, want, strict=True)
    )


def _all(folder: Path, kind: str) -> list[Any]:
    count = len(list(folder.glob(f"{kind}-*.npz")))
    return [_read(folder / f"{kind}-{number}.npz") for number in range(count)]


def _write(file: Path, value: Any) -> None:
    arrays: list[NDArray[Any]] = []
    tree = json.dumps(_tree(value, arrays))
    named: dict[str, Any] = {f"a{number}": array for number, array in enumerate(arrays)}
    with file.open("wb") as out:
        np.savez(out, allow_pickle=False, tree=np.frombuffer(tree.encode(), np.uint8), **named)


def _read(file: Path) -> Any:
    with np.load(file, allow_pickle=False) as found:
        return _value(json.loads(found[_TREE].tobytes()), found)


def _tree(value: Any, arrays: list[NDArray[Any]]) -> Any:
    """`value` as JSON, but for what it adds to `arrays`; strings are no numpy type that lasts."""
    if value is None:
        return None
    if isinstance(value, Mapping):
        parts = [_tree(part, arrays) for part in value.values()]
        return {"keys": list(value), "values": parts}
    if isinstance(value, list | tuple):
        return {"list": [_tree(part, arrays) for part in value]}
    if isinstance(value, str | int | float):
        return {"value": value}
    if isinstance(value, RawTensor):
        return {"raw": value.element_type, "bits": _tree(value.bits, arrays)}
    array = np.asarray(value)
    if array.dtype.kind in "OU":
        return {"strings": [str(each) for each in array.ravel()], "shape": array.shape}
    arrays.append(array)
    return {"array": len(arrays) - 1}


def _value(tree: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    match tree:
        case None:
            return None
        case {"keys": keys, "values": parts}:
            return dict(zip(keys, (_value(part, arrays) for part in parts), strict=True))
        case {"list": parts}:
            return [_value(part, arrays) for part in parts]
        case {"value": value}:
            return value
        case {"raw": kind, "bits": bits}:
            return RawTensor(kind, _value(bits, arrays))
        case {"strings": words, "shape": shape}:
            return np.array([*words, None], object)[:-1].reshape(shape)
        case _:
            return arrays[f"a{tree['array']}"]
