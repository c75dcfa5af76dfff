"""The number of verbs is a reviewed number: a small wire is one that lasts."""

from __future__ import annotations

import importlib
import pkgutil

import eais.rpc.v1

MOST_VERBS = 12


def test_no_service_grows_past_what_was_reviewed() -> None:
    names = [f"eais.rpc.v1.{module.name}" for module in pkgutil.iter_modules(eais.rpc.v1.__path__)]
    files = [importlib.import_module(name).DESCRIPTOR for name in names]
    verbs = {s.full_name: len(s.methods) for f in files for s in f.services_by_name.values()}
    assert verbs
    assert {name: count for name, count in verbs.items() if count > MOST_VERBS} == {}
