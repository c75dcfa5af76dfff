"""Make `eais/rpc/**/*_pb2.py` and `.pyi` from `proto/eais/**/*.proto`.

The compiler is the old grpcio-tools of `requirements-proto.lock`, in `.venv-proto`: its code runs
on protobuf 4.25 to 7. There are no `*_pb2_grpc` files: stubs and handlers are bound from the
descriptors by `eais.rpc`. With `--check` nothing is written: what is stale is named, exit 1.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"
LOCK = ROOT / "requirements-proto.lock"
VENV = ROOT / ".venv-proto"
COMPILER_PYTHONS = ("3.12", "3.11")  # grpcio-tools 1.62 has wheels for no newer one
GENERATED = ("*_pb2.py", "*_pb2.pyi")


class CannotGenerateError(Exception):
    """There is nothing to run the old compiler with, or it refused; the text says which."""


def compiler_python(
    running: str = "{}.{}".format(*sys.version_info), path: str | None = None
) -> str:
    """Return a Python that grpcio-tools 1.62 has wheels for; raise when there is none.

    The one that runs this, of version `running`, will do; else one is looked for on `path`.
    """
    if running in COMPILER_PYTHONS:
        return sys.executable
    for version in COMPILER_PYTHONS:
        found = shutil.which(f"python{version}", path=path)
        if found and _runs(found):
            return found
    raise CannotGenerateError(
        f"what is generated from proto/ is made by Python {' or '.join(COMPILER_PYTHONS)} "
        f"(grpcio-tools 1.62 has no wheels for {running}); put one of them on PATH, with its "
        "venv module, and run this again"
    )


def _runs(python: str) -> bool:
    """Whether it starts at all: a version manager's shim may stand for a Python not there."""
    return subprocess.run([python, "-c", "import venv"], capture_output=True).returncode == 0


def compiler() -> Path:
    """Return the Python of `.venv-proto`, made anew when its lock has changed."""
    python, made_from = VENV / "bin" / "python", VENV / "made-from.lock"
    if made_from.exists() and made_from.read_bytes() == LOCK.read_bytes():
        return python
    make = [compiler_python(), "-m", "venv", "--clear", str(VENV)]
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "--no-input", "-q", "install"]
    locked = ["--require-hashes", "--only-binary", ":all:", "-r", str(LOCK)]
    for command in (make, pip + locked):
        if subprocess.run(command).returncode != 0:
            raise CannotGenerateError("could not make .venv-proto from requirements-proto.lock")
    shutil.copyfile(LOCK, made_from)
    return python


def generate(python: Path, out: Path) -> None:
    """Compile every file below `proto/eais` into the folder `out`."""
    sources = sorted(str(p.relative_to(PROTO)) for p in (PROTO / "eais").rglob("*.proto"))
    wellknown = next(VENV.glob("lib/python3*/site-packages/grpc_tools/_proto"))
    run = "import sys; from grpc_tools import protoc; sys.exit(protoc.main(sys.argv))"
    outs = [f"--python_out={out}", f"--pyi_out={out}"]
    command = [str(python), "-c", run, f"-I{PROTO}", f"-I{wellknown}", *outs, *sources]
    if subprocess.run(command, cwd=PROTO).returncode != 0:
        raise CannotGenerateError("the compiler refused the files above")


def generated(root: Path) -> dict[str, bytes]:
    """Return what is generated below `root/eais`, by its path relative to `root`."""
    found = (path for name in GENERATED for path in (root / "eais").rglob(name))
    return {str(path.relative_to(root)): path.read_bytes() for path in found}


def stale(fresh: dict[str, bytes], present: dict[str, bytes]) -> list[str]:
    """Return the paths that are missing, changed, or made from a source that is gone."""
    return sorted(path for path in fresh | present if fresh.get(path) != present.get(path))


def write(fresh: dict[str, bytes], paths: list[str]) -> None:
    """Bring `paths` in the checkout to what `fresh` says, taking away what it lacks."""
    for path in paths:
        target = ROOT / path
        if path not in fresh:
            target.unlink()
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(fresh[path])
        package = target.parent / "__init__.py"
        if not package.exists():
            package.write_text(f'"""Generated from proto/{target.parent.relative_to(ROOT)}."""\n')


def main(argv: list[str] | None = None) -> int:
    """Run; return 0, or 1 when something is stale or nothing could be generated."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="write nothing, name what is stale")
    check = parser.parse_args(argv).check
    with tempfile.TemporaryDirectory() as out:
        try:
            generate(compiler(), Path(out))
        except CannotGenerateError as error:
            print(f"gen_proto: {error}", file=sys.stderr)
            return 1
        fresh = generated(Path(out))
    changed = stale(fresh, generated(ROOT))
    if not check:
        write(fresh, changed)
    for path in changed:
        print(f"{'stale' if check else 'wrote'}: {path}", file=sys.stderr)
    return 1 if check and changed else 0


if __name__ == "__main__":
    sys.exit(main())
