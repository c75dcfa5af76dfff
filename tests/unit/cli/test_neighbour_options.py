"""`--spread`, `--near` and `--strict`, and how an instance shows them."""

from __future__ import annotations

from eais.rpc.v1 import pool_pb2
from eais_client.cli.testing import FakeOutside


def test_neighbours_are_said_and_shown(eais: FakeOutside) -> None:
    eais.run("create", "cpu.1")
    eais.run("attach", "--type", "cpu.1", "--spread", "web", "--near", "ei-0001", "--strict")
    made = eais.pool.instances["ei-0002"]
    wanted = pool_pb2.Neighbours(spread="web", near="ei-0001", strict=True)
    assert made.policy.neighbours == wanted
    words = "apart from others of web, near ei-0001, strictly"
    assert f"Placed:     {words}" in eais.run("describe", "ei-0002").out.splitlines()
    data = eais.run("describe", "ei-0002", "-o", "json").data
    assert data["neighbours"] == {"spread": "web", "near": "ei-0001", "strict": True}
    assert eais.run("describe", "ei-0001", "-o", "json").data["neighbours"] is None


def test_strict_alone_says_nothing(eais: FakeOutside) -> None:
    said = eais.run("create", "cpu.1", "--strict")
    assert (said.code, said.err.split(": ")[1]) == (2, "ARGUMENT")
    assert eais.pool.instances == {}
