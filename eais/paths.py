"""Where EAIS keeps things, by the XDG rules; every place can be given instead."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from pathlib import Path


def config_dir(environ: Mapping[str, str]) -> Path:
    """`EAIS_CONFIG_DIR`, else `$XDG_CONFIG_HOME/eais`: contexts and identities."""
    return _place(environ, "EAIS_CONFIG_DIR", "XDG_CONFIG_HOME", ".config")


def state_dir(environ: Mapping[str, str]) -> Path:
    """`EAIS_STATE_DIR`, else `$XDG_STATE_HOME/eais`: pools, journals, stores, logs."""
    return _place(environ, "EAIS_STATE_DIR", "XDG_STATE_HOME", ".local/state")


def _place(environ: Mapping[str, str], own: str, xdg: str, fallback: str) -> Path:
    if environ.get(own):
        return Path(environ[own]).absolute()
    base = environ.get(xdg, "")
    # The XDG specification: a relative path is invalid and ignored.
    root = Path(base) if base.startswith("/") else _home(environ) / fallback
    return root / "eais"


def _home(environ: Mapping[str, str]) -> Path:
    """`$HOME`, else what the system's list of users says: a service may have no `HOME`."""
    if environ.get("HOME"):
        return Path(environ["HOME"])
    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        return Path("/")
