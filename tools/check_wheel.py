"""Build the source distribution and from it the wheel, and check what each of them holds.

The wheel holds the four packages as they stand in the checkout, their `py.typed` and generated
code, and nothing else; the source distribution holds what it takes to build and check them again.
Nothing is fetched: the build backend is the one already installed.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("eais", "client/eais_client", "server/eais_server", "pool/eais_pool")
METADATA = {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"}
SOURCES = {"LICENSE", "Makefile", "README.md", "pyproject.toml", "requirements.lock"}


def build(out: Path) -> tuple[Path, Path]:
    """Build into `out`; return the paths of the source distribution and the wheel."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        sys.exit(f"check_wheel: the build failed\n{done.stdout}")
    return next(out.glob("*.tar.gz")), next(out.glob("*.whl"))


def checkout_files(folder: str) -> set[str]:
    """Return the files below `folder` of the checkout, relative to the folder's parent."""
    top = ROOT / folder
    files = (p for p in top.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    return {str(path.relative_to(top.parent)) for path in files}


def wheel_faults(names: set[str]) -> list[str]:
    """Return what is missing from, or has no business in, a wheel that holds `names`."""
    info = {name for name in names if name.split("/")[0].endswith(".dist-info")}
    wanted = set[str]().union(*(checkout_files(package) for package in PACKAGES))
    typed = {f"{Path(package).name}/py.typed" for package in PACKAGES}
    faults = [f"wheel lacks {name}" for name in (wanted | typed) - names]
    faults += [f"wheel should not hold {name}" for name in names - wanted - info]
    faults += [f"wheel holds a test: {name}" for name in names if "test_" in name]
    faults += [f"wheel lacks {name}" for name in METADATA - {n.split("/", 1)[1] for n in info}]
    if not any(name.endswith("_pb2.py") for name in names):
        faults.append("wheel lacks the generated code")
    return sorted(faults)


def sdist_faults(names: set[str]) -> list[str]:
    """Return what is missing from a source distribution that holds `names`."""
    wanted = SOURCES | {name for name in checkout_files("proto") if name.endswith(".proto")}
    return sorted(f"sdist lacks {name}" for name in wanted - names)


def main() -> int:
    """Build and check; return 0, or 1 when either of them is not as it should be."""
    with tempfile.TemporaryDirectory() as out:
        sdist, wheel = build(Path(out))
        with zipfile.ZipFile(wheel) as file:
            in_wheel = set(file.namelist())
        with tarfile.open(sdist) as file:
            in_sdist = {name.split("/", 1)[1] for name in file.getnames()}
    faults = wheel_faults(in_wheel) + sdist_faults(in_sdist)
    for fault in faults:
        print(f"check_wheel: {fault}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
