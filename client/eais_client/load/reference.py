"""Right answers: as onnxruntime on this machine gives them, or as files hold them.

onnxruntime is in a process of its own: a model may kill the one that loads it.

    python -m eais_client.load.reference MODEL FOLDER

reads the inputs in FOLDER, and writes beside them what the model answers.
"""

from __future__ import annotations

import importlib.util
import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from eais.errors import ConfigError, RemoteError, UsageError, make_error
from eais_client.load.inputs import files_in, read_arrays
from eais_client.signature import Signature

WITHIN_S: Final = 600.0
"""For all variants of a model."""
_SHOWN: Final = 300


def check_installed() -> None:
    """Raise NOT_INSTALLED if there is no onnxruntime to ask."""
    if importlib.util.find_spec("onnxruntime") is None:
        raise ConfigError(
            "NOT_INSTALLED",
            "answers are checked by onnxruntime, which isn't in this environment",
            hint="pip install onnxruntime, or check none: --check 0",
        )


def add_answers(model: str, folder: Path, environ: Mapping[str, str] | None = None) -> None:
    """Write the right answers of each variant into a folder that `write_prepared` made.

    Args:
        model: its file.
        folder: of `write_prepared`.
        environ: of the process that runs it; this one's without.

    Raises what onnxruntime says of the model or its inputs; PROCESS_FAILED if the model ended the
    process, or took too long; NOT_INSTALLED.
    """
    check_installed()
    argv = [sys.executable, "-m", "eais_client.load.reference", model, str(folder)]
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, errors="replace", timeout=WITHIN_S, env=environ
        )
    except subprocess.TimeoutExpired:
        text = f"{model}: onnxruntime had no reference answers within {WITHIN_S:g} s"
        raise RemoteError("PROCESS_FAILED", text, hint="check none: --check 0") from None
    if done.returncode:
        text = f"{model}: the process that ran it for reference answers {_end(done)}"
        raise RemoteError("PROCESS_FAILED", text, hint="check none: --check 0")
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if said:
        raise make_error(said["reason"], f"{model}: {said['text']}")


def given_answers(
    folder: Path, inputs: Path | None, model: str, signature: Signature
) -> tuple[tuple[Any, ...], ...]:
    """The right answers that someone has: to each .npz of inputs one of its name in `folder`.

    It holds an array of each output, by its name. Raises `UsageError` ARGUMENT if inputs are made
    up, or a file doesn't fit the model; NOT_FOUND if there is none.
    """
    if inputs is None:
        text = f"--reference {folder}: has answers to inputs in files, and there are none"
        raise UsageError("ARGUMENT", text, hint="--inputs FILE.npz, or a folder of them")
    found = list[tuple[Any, ...]]()
    for asked in files_in(inputs):
        file = folder / asked.name
        if not file.is_file():
            raise UsageError("NOT_FOUND", f"--reference {folder}: no {asked.name} is there")
        found.append(tuple(read_arrays(file, model, signature.outputs).values()))
    return tuple(found)


def _end(done: subprocess.CompletedProcess[str]) -> str:
    """How a process ended, and what it said last."""
    try:
        how = f"was killed by {signal.Signals(-done.returncode).name}"
    except ValueError:
        how = f"ended with {done.returncode}"
    lines = done.stderr.split("\n")
    last = next((line for line in reversed(lines) if line.strip()), "")
    return f"{how}: {last[:_SHOWN]}" if last else how


def main() -> None:
    """Write the answers; what went wrong is said on standard output."""
    from eais.errors import EaisError
    from eais_client.load.brain.plan import ModelLoad
    from eais_client.load.checking import Prepared, read_prepared, write_prepared
    from eais_client.load.target import TargetKind, TargetSpec
    from eais_client.load.targets.onnxruntime import OnnxruntimeTarget

    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it without a traceback
    model, folder = sys.argv[1], Path(sys.argv[2])
    try:
        prepared = read_prepared(folder)
        spec = TargetSpec(TargetKind.ONNXRUNTIME, "reference", settings={"threads": "1"})
        caller = OnnxruntimeTarget(spec).open(ModelLoad(model, model), WITHIN_S)
        answers = tuple(tuple(caller.call(feeds, WITHIN_S)) for feeds in prepared.feeds)
        write_prepared(folder, Prepared(prepared.feeds, answers, prepared.tolerance))
        said = {}
    except EaisError as error:
        said = {"reason": error.reason, "text": error.message}
    sys.stdout.write(json.dumps(said) + "\n")


if __name__ == "__main__":
    main()
