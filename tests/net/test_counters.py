"""What vNICs carry is told by `eais describe` and the ledger as the interfaces count it."""

from __future__ import annotations

import json
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from eais_server.net.links.entering import in_namespace
from tests.net.machines import Site, site
from tests.net.program import job
from tests.net.test_main_job import DRIVERS, attached
from tests.system.stack import eventually

LARGE_MIB = 8
KINDS = ("bytes", "packets")
CLOSING = 64
"""Packets that may pass between the last look and the end."""


def interface(made: Site) -> dict[str, int]:
    """What the one vNIC end of the back-end has counted."""
    words = ["ip", "-s", "-j", "link"]
    run = partial(subprocess.run, words, check=True, capture_output=True, text=True)
    listed = json.loads(in_namespace(made.back.namespace, run).stdout)
    (found,) = (each for each in listed if each["ifname"].startswith("eais"))
    counted = found["stats64"]
    return {
        f"{kind}_{to}": counted[way][kind]
        for kind in KINDS
        for way, to in (("rx", "in"), ("tx", "out"))
    }


def told(made: Site, instance: str) -> dict[str, int]:
    """As `eais describe` says it."""
    counters = made.described(instance)["vnic"]["counters"]
    return {name: number for name, number in counters.items() if not name.startswith("dropped")}


def used(made: Site) -> dict[str, Any]:
    """What the ledger says, from the front-end's side."""
    (line,) = made.front.data("usage", "--by", "tenant")["usage"]
    return dict(line)


@pytest.mark.parametrize("driver", DRIVERS)
def test_the_ledger_has_what_the_interface_has_counted(tmp_path: Path, driver: str) -> None:
    with site(tmp_path, driver) as made:
        instance = attached(made, driver)
        with job(made) as program:
            assert program.tell(f"large {LARGE_MIB}")["wrong"] == 0
            eventually(lambda: told(made, instance) == interface(made), "the same counters")
            program.tell("resnet 1")
        last = interface(made)
        assert last["bytes_in"] > LARGE_MIB << 20
        assert made.front.run("detach", instance).returncode == 0
        line = used(made)
        for name, seen in last.items():
            slack = CLOSING * (1500 if name.startswith("bytes") else 1)
            assert seen <= line[f"vnic_{name}"] <= seen + slack, name
