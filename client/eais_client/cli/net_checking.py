"""Looking at what this machine can do for a network agent: by the server's own program."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from eais.errors import make_error

_PROGRAM: Final = "eais_server.net.checking"
_WITHIN_S: Final = 60.0


def check_net(agent: Path) -> Mapping[str, Any]:
    """What it found: lists of "drivers", "needs" and "notes".

    Args:
        agent: the socket of the one that this machine has, or is to have.

    Raises:
        ConfigError: NETDEV, it couldn't look.
    """
    command = [sys.executable, "-m", _PROGRAM, "--socket", str(agent)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_WITHIN_S, check=False
        )
        found: Mapping[str, Any] = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        text = "this machine's network can't be looked at"
        hint = f"`{sys.executable} -m {_PROGRAM}` says why"
        raise make_error("NETDEV", text, hint=hint) from None
    return found
