"""Which peers the folder `PEERS_DIR` holds.

Each of `triton/` (nvidia-pytriton), `kserve/`, `mosec/` and `client/` (tritonclient) is a virtual
environment, the first three with onnxruntime; `tb/` is Triton's Python backend as a backend
directory.
"""

from __future__ import annotations

from importlib.metadata import Distribution
from pathlib import Path
from typing import Final

NEEDED: Final = {
    "triton": ("triton", "tb"),
    "kserve": ("kserve",),
    "mosec": ("mosec",),
    "tritonclient": ("client",),
}
"""Peer -> the folders that it needs."""
_PACKAGES: Final = {
    "triton": ("nvidia-pytriton", "onnxruntime"),
    "kserve": ("kserve", "onnxruntime"),
    "mosec": ("mosec", "onnxruntime"),
    "client": ("tritonclient",),
}
"""Environment -> what is called of it."""


def why_not(peers: str | None, *names: str) -> str:
    """Why there is no such peer to compare with; "" if there are all."""
    if not peers:
        return "PEERS_DIR is not set"
    folders = [folder for name in names for folder in NEEDED[name]]
    missing = [folder for folder in folders if not (Path(peers) / folder).is_dir()]
    if missing:
        return f"PEERS_DIR has no {', '.join(missing)}"
    lacking = [
        f"{package} in {folder}"
        for folder in folders
        for package, version in _found(Path(peers), folder).items()
        if not version
    ]
    return f"PEERS_DIR has no {', '.join(lacking)}" if lacking else ""


def python(peers: Path, environment: str) -> str:
    """What runs programs in an environment."""
    return str(peers / environment / "bin/python")


def packages(peers: Path, environment: str) -> Path:
    """Where its packages lie."""
    (found,) = (peers / environment / "lib").glob("python3*/site-packages")
    return found


def versions(peers: Path, name: str) -> str:
    """Of a peer's packages, such as "kserve 0.21.0, onnxruntime 1.32.0"."""
    return ", ".join(f"{each} {version}" for each, version in _found(peers, name).items())


def _found(peers: Path, environment: str) -> dict[str, str]:
    """Package -> its version; "" if it isn't there."""
    at = [str(each) for each in (peers / environment / "lib").glob("python3*/site-packages")]
    return {
        package: next((one.version for one in Distribution.discover(name=package, path=at)), "")
        for package in _PACKAGES.get(environment, ())
    }
