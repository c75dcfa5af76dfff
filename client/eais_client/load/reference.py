"""Right answers, as onnxruntime on this machine gives them.

In a process of its own: a model may kill the one that loads it.

    python -m eais_client.load.reference MODEL FOLDER

reads the inputs in FOLDER, and writes beside them what the model answers.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from eais.errors import ConfigError, RemoteError, make_error

WITHIN_S: Final = 600.0
"""For all variants of a model."""


def check_installed() -> None:
    """Raise NOT_INSTALLED if there is no onnxruntime to ask."""
    if importlib.util.find_spec("onnxruntime") is None:
        raise ConfigError(
            "NOT_INSTALLED",
            "answers are checked by onnxruntime, which isn't in this environment",
            hint="pip install onnxruntime, or check none: --check 0",
        )


def add_answers(model: str, folder: Path) -> None:
    """Write the right answers of each variant into a folder that `write_prepared` made.

    Raises what onnxruntime says of the model or its inputs; PROCESS_FAILED if the model ended the
    process, or took too long.
    """
    argv = [sys.executable, "-m", "eais_client.load.reference", model, str(folder)]
    try:
        done = subprocess.run(argv, stdout=subprocess.PIPE, text=True, timeout=WITHIN_S)
    except subprocess.TimeoutExpired:
        text = f"{model}: onnxruntime had no reference answers within {WITHIN_S:g} s"
        raise RemoteError("PROCESS_FAILED", text) from None
    if done.returncode:
        text = f"{model}: the process that ran it for reference answers ended: {done.returncode}"
        raise RemoteError("PROCESS_FAILED", text, hint="check none: --check 0")
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if said:
        raise make_error(said["reason"], said["text"])


def main() -> None:
    """Write the answers; what went wrong is said on standard output."""
    from eais.errors import EaisError
    from eais_client.load.brain.plan import ModelLoad
    from eais_client.load.checking import Prepared, read_prepared, write_prepared
    from eais_client.load.target import TargetKind, TargetSpec
    from eais_client.load.targets.onnxruntime import OnnxruntimeTarget

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
