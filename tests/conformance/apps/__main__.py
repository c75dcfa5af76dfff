"""Real programs, unchanged: what they print with onnxruntime in process and below `eais run`.

`EAIS_APPS_DIR` names the folder with the programs (see `programs`); unset, nothing is run and
the reason is said. Each program runs in a virtual environment of its own, once in process and
once on an embedded pool, and both standard outputs must be the same, byte for byte.

`--json` ends standard output with one object on one line: programs (how many ran), differences
(how many printed something else, or failed), names, different (which), run_to_local (by program:
its wall time below `eais run`, start and model upload included, divided by that in process),
skipped (why nothing ran, or ""). The exit status is 1 if there are differences.

`--venvs FOLDER` keeps the environments for the next time; else they are made in a temporary
folder, from the package index.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eais.rpc import verbs
from eais.rpc.v1 import pool_pb2
from tests.conformance.apps.environments import Environments
from tests.conformance.apps.programs import Program, Ran, plain_environ, programs_in, run
from tests.system.stack import embedded_pool, op

VARIABLE = "EAIS_APPS_DIR"
UNSET = f"{VARIABLE} isn't set: it names the folder with the programs"
_SHOWN_LINES = 20


@dataclass(frozen=True, slots=True)
class Compared:
    """One program, run in both ways."""

    name: str
    local: Ran
    remote: Ran

    @property
    def same(self) -> bool:
        """Whether both did well and printed the same bytes."""
        return self.local.code == self.remote.code == 0 and self.local.stdout == self.remote.stdout

    def lines(self) -> list[str]:
        """For people."""
        local_s, remote_s = self.local.seconds, self.remote.seconds
        words = "the same" if self.same else "DIFFERENT"
        shown = [f"{self.name}: {words}, {local_s:.1f} s in process, {remote_s:.1f} s on the pool"]
        if not self.same:
            shown += _told("in process", self.local) + _told("on the pool", self.remote)
        return shown


def main(argv: Sequence[str] | None = None) -> int:
    """Run all; the exit status."""
    parser = argparse.ArgumentParser(prog="tests.conformance.apps", description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--venvs", type=Path, default=None)
    parser.add_argument("--only", action="append", default=[], help="a program's name")
    given = parser.parse_args(argv)
    folder = os.environ.get(VARIABLE)
    if not folder:
        _report([], given.json, UNSET)
        return 0
    with tempfile.TemporaryDirectory(prefix="eais-apps-") as temporary:
        venvs = given.venvs or Path(temporary) / "venvs"
        found = compare_all(Path(folder).resolve(), Path(temporary), venvs, given.only)
    _report(found, given.json, "")
    return int(not all(one.same for one in found))


def compare_all(folder: Path, temporary: Path, venvs: Path, only: Sequence[str]) -> list[Compared]:
    """Run each program of `folder` (those of `only` if it names any) in both ways."""
    programs = [one for one in programs_in(folder) if not only or one.name in only]
    environments = Environments.make(venvs.resolve())
    pythons = {one.name: environments.python(one) for one in programs}
    with embedded_pool(temporary) as stack:
        stack.ask(verbs.POOL_ATTACH, pool_pb2.AttachRequest(op_id=op(), type="cpu.1"))
        environ = {**plain_environ(), "EAIS_CONFIG_DIR": str(stack.config)}
        return [_compare(one, pythons[one.name], folder, environ) for one in programs]


def _compare(program: Program, python: str, folder: Path, environ: dict[str, str]) -> Compared:
    command = [python, str(program.script)]
    eais = [str(Path(python).parent / "eais"), "run", "--"]
    made = Compared(
        program.name, run(command, folder, environ), run([*eais, *command], folder, environ)
    )
    print(*made.lines(), sep="\n", flush=True)
    return made


def _told(where: str, ran: Ran) -> list[str]:
    """The ends of what a program said."""
    said = {"printed": ran.stdout, "said": ran.stderr}
    shown = [f"  {where}, exit code {ran.code}"]
    for word, text in said.items():
        lines = text.decode(errors="replace").splitlines()[-_SHOWN_LINES:]
        shown += [f"  {where}, {word}: {line}" for line in lines]
    return shown


def _report(found: Sequence[Compared], as_json: bool, skipped: str) -> None:
    different = [one.name for one in found if not one.same]
    data: dict[str, Any] = {
        "programs": len(found),
        "differences": len(different),
        "names": [one.name for one in found],
        "different": different,
        "run_to_local": {
            one.name: round(one.remote.seconds / one.local.seconds, 2) for one in found
        },
        "skipped": skipped,
    }
    if as_json:
        print(json.dumps(data))
    elif skipped:
        print(f"skipped: {skipped}")
    else:
        print(f"{len(found)} programs, {len(different)} differences")


if __name__ == "__main__":
    sys.exit(main())
