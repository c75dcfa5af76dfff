"""`eais doctor` as it is read: a line a check, one cause told once, the exit code."""

from __future__ import annotations

from eais_client.cli.testing import FakeOutside, FakeProcess
from eais_client.context import Context


def test_who_knows_no_pool(nowhere: FakeOutside) -> None:
    said = nowhere.run("doctor")
    assert (said.code, said.err) == (2, "")
    config, context, remedy, hidden = said.out.splitlines()
    assert config.startswith("ok            config: ")
    assert context == "problem       context: NOT_ATTACHED: no pool is known here"
    assert remedy.strip().startswith("`eais pool up` starts one on this machine")
    assert hidden.startswith("can't tell    pool, certificate, address, ")
    assert hidden.endswith(": not before context is mended")
    names = hidden.removeprefix("can't tell").partition(":")[0].split(", ")
    assert len(names) == len(set(names)), "each is named once"


def test_as_json(nowhere: FakeOutside) -> None:
    said = nowhere.run("doctor", "-o", "json")
    assert said.code == 2
    assert said.data["ok"] is False
    checks = said.data["checks"]
    assert isinstance(checks, list)
    assert checks[1]["reason"] == "NOT_ATTACHED"
    assert [(one["check"], one["because"]) for one in checks[2:4]] == [
        ("pool", "context"),
        ("certificate", "context"),
    ]


def test_this_machines_pool_isnt_running(eais: FakeOutside) -> None:
    state = str(eais.home / "state")
    eais.store.set(Context("local", "local-5f3a9c1e", "127.0.0.1:1", "127.0.0.1:1", state))
    said = eais.run("doctor")
    assert said.code == 4
    assert "problem       pool: POOL_NOT_RUNNING: " in said.out
    eais.processes.supervisor = FakeProcess()
    said = eais.run("doctor")
    assert said.code == 3
    assert "ok            pool: " in said.out
    assert "problem       certificate: CERT_MISSING: " in said.out
    assert "problem       address: POOL_UNREACHABLE: nobody listens at 127.0.0.1:1" in said.out


def test_another_context_by_name(eais: FakeOutside) -> None:
    said = eais.run("doctor", "--context", "nowhere")
    assert said.code == 2
    assert "context: NOT_FOUND: there is no context 'nowhere'; known: local" in said.out
