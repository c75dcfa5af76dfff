"""The environment of a program below `eais run`: what is put into it, and taken out again."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import eais_client

#: First on PYTHONPATH below `eais run`: every Python finds its `sitecustomize` here.
SITE: Final = str(Path(__file__).parent / "site")


@dataclass(frozen=True, slots=True)
class Settings:
    """What `eais run` was told; "" leaves what the environment says.

    Attributes:
        context, instance: which pool, and which instance of it.
        providers: "pool" or "as-requested".
        fallback: "local" to run in process while the pool can't be reached.
    """

    context: str = ""
    instance: str = ""
    providers: str = ""
    fallback: str = ""

    def variables(self) -> dict[str, str]:
        """The variables that say it."""
        said = {
            "EAIS_CONTEXT": self.context,
            "EAIS_INSTANCE": self.instance,
            "EAIS_PROVIDERS": self.providers,
            "EAIS_FALLBACK": self.fallback,
        }
        return {name: value for name, value in said.items() if value}


def environ_below(environ: Mapping[str, str], settings: Settings) -> dict[str, str]:
    """`environ` as the program is to have it: nothing else is changed."""
    made = {"EAIS_PROVIDERS": "pool"} | environ_above(environ) | settings.variables()
    path = made.get("PYTHONPATH")
    made["PYTHONPATH"] = f"{SITE}{os.pathsep}{path}" if path else SITE
    return made


def environ_above(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` without the hook: for our own programs, which want the real onnxruntime."""
    made = dict(environ)
    if eais_client.OWN_GRPC_VERBOSITY and made.get("GRPC_VERBOSITY") == "ERROR":
        del made["GRPC_VERBOSITY"]
    places = made.get("PYTHONPATH", "").split(os.pathsep)
    if SITE in places:
        left = [place for place in places if place != SITE]
        made["PYTHONPATH"] = os.pathsep.join(left)
        if not left:
            del made["PYTHONPATH"]
    return made


def leave_run() -> None:
    """Take the hook out of this process and its children: one of ours, below `eais run`."""
    left = environ_above(os.environ).get("PYTHONPATH")
    os.environ.pop("PYTHONPATH", None)
    if left is not None:
        os.environ["PYTHONPATH"] = left
    sys.meta_path[:] = [each for each in sys.meta_path if not getattr(each, "eais_run", False)]
