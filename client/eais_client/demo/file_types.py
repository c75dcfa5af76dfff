"""A real program, magika, on the project's own files: once with each kind of session.

magika's own code reads the files, makes the features and words the answers; only the line
that makes its session differs. The demo pins magika's version, as `_init_onnx_session` is its own.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from magika import Magika

_PACKAGES = ("eais", "eais_client", "eais_server", "eais_pool")
_BESIDE = ("README.md", "Makefile", "*.toml", "*.lock", "docs/**/*.md", "proto/**/*.proto")
INPUT, OUTPUT = "bytes", "target_label"
Feeds = dict[str, Any]


class Session(Protocol):
    """What magika asks of a session: onnxruntime's and ours are both one."""

    def run(self, output_names: Any, input_feed: Any) -> Sequence[Any]:
        """The model's outputs."""
        ...


@dataclass(frozen=True, slots=True)
class FileTypes:
    """What magika said of each file, and all that its model answered, in order."""

    labels: dict[str, str]
    feeds: list[Feeds]
    outputs: list[Sequence[Any]]


class _Watched:
    """A session whose calls are kept."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.feeds: list[Feeds] = []
        self.outputs: list[Sequence[Any]] = []

    def run(self, output_names: Any, input_feed: Feeds) -> Sequence[Any]:
        outputs = self._session.run(output_names, input_feed)
        self.feeds.append(input_feed)
        self.outputs.append(outputs)
        return outputs


class _MagikaWith(Magika):
    """magika with a session of ours in the place of the one that it makes."""

    def __init__(self, session: _Watched) -> None:
        self._given = session
        super().__init__()

    def _init_onnx_session(self) -> Any:
        return self._given


def model_file() -> Path:
    """The file of magika's model, inside its wheel."""
    spec = importlib.util.find_spec("magika")
    assert spec is not None  # this module has imported it
    assert spec.submodule_search_locations
    found = Path(spec.submodule_search_locations[0]) / "models"
    return found / Magika._get_default_model_name() / "model.onnx"


def identify(session: Session, files: Sequence[Path]) -> FileTypes:
    """Let magika name the types of `files`: all in one batch, then the first ones one by one."""
    watched = _Watched(session)
    program = _MagikaWith(watched)
    labels = {str(one.path): str(one.output.label) for one in program.identify_paths(files)}
    for file in files[:8]:
        program.identify_path(file)
    return FileTypes(labels, watched.feeds, watched.outputs)


def own_files(limit: int = 96) -> list[Path]:
    """Files of this project as it is installed; with those around it in a checkout."""
    found = [path for folder in _folders() for path in sorted(folder.rglob("*.py"))]
    kernel = _folders()[0].parent
    if (kernel / "pyproject.toml").exists():
        beside = (path for pattern in _BESIDE for path in sorted(kernel.glob(pattern)))
        found = [*beside, *found]
    return found[:limit]


def _folders() -> list[Path]:
    specs = map(importlib.util.find_spec, _PACKAGES)
    return [
        Path(spec.submodule_search_locations[0])
        for spec in specs
        if spec and spec.submodule_search_locations
    ]
