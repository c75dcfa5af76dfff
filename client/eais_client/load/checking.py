"""Inputs and right answers as files, and whether an answer is one of them.

What a generator's process calls with is made once, and handed over in a folder: `feeds-0.npz`,
`feeds-1.npz`, ... and `answers-0.npz`, ..., an array each by its name, without pickle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from eais_client.load.target import Feeds

BOUNDS: Final = {"exact": (0.0, 0.0), "fp32": (1e-3, 1e-5)}
"""Tolerance -> (relative, absolute) difference that is allowed."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a model is called with.

    Attributes:
        feeds: a request's inputs, of each variant.
        answers: the right outputs of each, in the model's order; None if nobody knows.
        tolerance: how far an answer may differ, a name of `BOUNDS`.
    """

    feeds: tuple[Feeds, ...]
    answers: tuple[tuple[Any, ...], ...] | None = None
    tolerance: str = "fp32"


def write_prepared(folder: Path, prepared: Prepared) -> None:
    """Put it into `folder`, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tolerance").write_text(prepared.tolerance)
    for number, feeds in enumerate(prepared.feeds):
        _write(folder / f"feeds-{number}.npz", list(feeds.items()))
    for number, answer in enumerate(prepared.answers or ()):
        _write(folder / f"answers-{number}.npz", [(str(n), y) for n, y in enumerate(answer)])


def read_prepared(folder: Path) -> Prepared:
    """What was written there."""
    count = len(list(folder.glob("feeds-*.npz")))
    feeds = tuple(_read(folder / f"feeds-{number}.npz") for number in range(count))
    answers = tuple(
        tuple(_read(folder / f"answers-{number}.npz").values())
        for number in range(len(list(folder.glob("answers-*.npz"))))
    )
    return Prepared(feeds, answers or None, (folder / "tolerance").read_text())


def difference(got: Sequence[Any], want: Sequence[Any], tolerance: str) -> str:
    """What is wrong with an answer; "" if it is right."""
    if len(got) != len(want):
        return f"{len(got)} outputs, not {len(want)}"
    for number, (mine, right) in enumerate(zip(got, want, strict=True)):
        if said := _array_difference(np.asarray(mine), np.asarray(right), tolerance):
            return f"output {number}: {said}"
    return ""


def _array_difference(got: Any, want: Any, tolerance: str) -> str:
    if got.shape != want.shape or got.dtype != want.dtype:
        return f"{got.dtype}{list(got.shape)}, not {want.dtype}{list(want.shape)}"
    if np.array_equal(got, want):
        return ""
    relative, absolute = BOUNDS[tolerance]
    if got.dtype.kind in "fc":
        near = np.isclose(got, want, rtol=relative, atol=absolute, equal_nan=True)
    else:
        near = got == want
    if near.all():
        return ""
    at = tuple(int(axis) for axis in np.argwhere(~near)[0])
    return f"{got[at]} at {list(at)}, not {want[at]} (within {tolerance})"


def _write(file: Path, arrays: Sequence[tuple[str, Any]]) -> None:
    # By number: an input's name may hold what a file's can't.
    names = np.array([name for name, _ in arrays])
    plain = {f"a{n}": _plain(array) for n, (_, array) in enumerate(arrays)}
    with file.open("wb") as out:
        np.savez(out, allow_pickle=False, names=names, **plain)


def _plain(value: Any) -> Any:
    """Strings are objects to onnxruntime, which a file could hold by pickle alone."""
    array = np.asarray(value)
    return array.astype(str) if array.dtype.kind == "O" else array


def _read(file: Path) -> dict[str, Any]:
    with np.load(file, allow_pickle=False) as found:
        return {str(name): _own(found[f"a{number}"]) for number, name in enumerate(found["names"])}


def _own(array: Any) -> Any:
    return array.astype(object) if array.dtype.kind == "U" else array
