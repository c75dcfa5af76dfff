"""What an operator types: tokens, tenants, hosts, drains, all tenants' instances."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest

from eais.errors import IdentityError, make_error
from eais.rpc.v1 import hosts_pb2
from eais_client.cli.main import main
from eais_client.cli.testing import FakeOutside
from eais_client.context import Context
from eais_client.testing.fake_manager import TOKEN

OPERATORS = [
    ("token", "create", "--for", "frontend"),
    ("tenant", "create", "acme"),
    ("tenant", "list"),
    ("tenant", "quota", "default", "gpu=1"),
    ("host", "list"),
    ("host", "cordon", "local"),
    ("host", "uncordon", "local"),
    ("drain", "local"),
    ("defrag",),
    ("force-detach", "ei-0001", "--yes"),
    ("list", "--all-tenants"),
]


def asked(eais: FakeOutside) -> list[str]:
    return [type(request).__name__ for request in eais.manager.asked]


@pytest.mark.parametrize("argv", OPERATORS, ids=" ".join)
def test_who_is_no_operator_is_told_so(eais: FakeOutside, argv: tuple[str, ...]) -> None:
    eais.store.set(Context("local", "local-5f3a9c1e", "127.64.16.1:40117"))
    said = eais.run(*argv)
    assert (said.code, said.out) == (3, "")
    assert said.err.startswith("error: CERT_MISSING: context local has no operator's identity (")
    assert "eais token create --for operator" in said.err
    assert eais.manager.asked == []


@pytest.mark.parametrize("argv", OPERATORS, ids=" ".join)
def test_a_refusal_is_one_line(eais: FakeOutside, argv: tuple[str, ...]) -> None:
    eais.manager.fail_next(IdentityError("PERMISSION_DENIED", "a frontend may not call this"))
    said = eais.run(*argv)
    assert (said.code, said.out) == (3, "")
    assert said.err.splitlines()[-1] == "error: PERMISSION_DENIED: a frontend may not call this"


def test_a_token_is_all_there_is_on_standard_output(eais: FakeOutside) -> None:
    said = eais.run("token", "create", "--for", "frontend")
    assert (said.code, said.out) == (0, f"{TOKEN}\n")
    assert said.err.splitlines() == [
        "for one frontend of tenant default, once, within 10 minutes; there:",
        "  eais join 10.0.0.5:7443 < token",
    ]
    (request,) = eais.manager.asked
    assert isinstance(request, hosts_pb2.CreateTokenRequest)
    assert (request.purpose, request.tenant, request.name) == ("frontend", "default", "")
    assert len(request.op_id) == 36


@pytest.mark.parametrize(("mode", "told"), [(0o644, True), (0o600, False)])
def test_a_token_in_a_file_that_others_can_read(
    eais: FakeOutside, tmp_path: Path, mode: int, told: bool
) -> None:
    path, said = tmp_path / "token", io.StringIO()
    with path.open("w") as out:
        path.chmod(mode)
        outside = replace(eais.outside(err=said), stdout=out)
        assert main(["token", "create", "--for", "frontend"], outside) == 0
    assert path.read_text() == f"{TOKEN}\n"
    assert ("chmod 600 it" in said.getvalue()) is told


@pytest.mark.parametrize(
    ("purpose", "command"),
    [
        ("listener", "eais listener up --pool 10.0.0.5:7443 --address ITS_OWN_ADDRESS < token"),
        ("operator", "eais join 10.0.0.5:7443 --as operator < token"),
    ],
)
def test_what_to_do_with_a_token(eais: FakeOutside, purpose: str, command: str) -> None:
    said = eais.run("token", "create", "--for", purpose, "--name", "host-2")
    assert said.err.splitlines()[1].strip() == command
    (request,) = eais.manager.asked
    assert isinstance(request, hosts_pb2.CreateTokenRequest)
    assert (request.purpose, request.tenant, request.name) == (purpose, "", "host-2")


def test_a_token_as_json(eais: FakeOutside) -> None:
    eais.run("tenant", "create", "acme")
    said = eais.run("token", "create", "--for", "frontend", "--tenant", "acme", "-o", "json")
    assert said.data == {
        "token": TOKEN,
        "purpose": "frontend",
        "tenant": "acme",
        "name": None,
        "life_s": 600,
        "enrolment": "10.0.0.5:7443",
    }


def test_a_token_needs_a_tenant_that_is_there(eais: FakeOutside) -> None:
    said = eais.run("token", "create", "--for", "frontend", "--tenant", "nobody")
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("error: NOT_FOUND: ")


def test_only_a_front_end_has_a_tenant(eais: FakeOutside) -> None:
    said = eais.run("token", "create", "--for", "listener", "--tenant", "acme")
    assert said.code == 2
    assert "a listener has no tenant" in said.err
    assert eais.manager.asked == []


def test_tenants_are_made_changed_and_listed(eais: FakeOutside) -> None:
    made = eais.run("tenant", "create", "acme", "--quota", "gpu=1.5", "--quota", "instances=20")
    assert made.out.splitlines() == [
        "NAME   INSTANCES   CPU   GPU        FPGA   NPU",
        "acme   0 of 20     0     0 of 1.5   0      0",
    ]
    eais.manager.tenants["acme"].used.add(what="gpu", limit=500)
    changed = eais.run("tenant", "quota", "acme", "gpu=unlimited", "cpu=4", "-o", "json")
    assert changed.data == {
        "name": "acme",
        "weight": 1,
        "quotas": {"instances": 20, "gpu_milli": None, "cpu_milli": 4000},
        "used": {"gpu_milli": 500},
        "vnic": {"network": None, "cap_bytes_per_s": None},
    }
    acme = eais.manager.tenants["acme"]
    acme.vnic_network, acme.vnic_cap_bytes_per_s = "10.9.0.0/16", 12_500_000
    listed = eais.run("tenant", "list", "-o", "wide").out.splitlines()
    heads = ["NAME", "INSTANCES", "CPU", "GPU", "FPGA", "NPU", "OPERATIONS", "WEIGHT"]
    assert listed[0].split() == [*heads, "VNIC", "NETWORK", "VNIC", "CAP"]
    assert [line.split()[0] for line in listed[1:]] == ["default", "acme"]
    numbers = ["0", "of", "20", "0", "of", "4", "0.5", "0", "0", "0", "1"]
    assert listed[2].split() == ["acme", *numbers, "10.9.0.0/16", "100", "Mbit/s"]


def test_a_tenants_weight_is_said_when_it_is_made_and_later(eais: FakeOutside) -> None:
    made = eais.run("tenant", "create", "acme", "--weight", "3", "-o", "json")
    assert (made.data["name"], made.data["weight"]) == ("acme", 3)
    changed = eais.run("tenant", "quota", "acme", "--weight", "2", "-o", "wide")
    assert changed.out.splitlines()[1].split()[-3:] == ["2", "-", "-"]
    bad = eais.run("tenant", "quota", "acme", "weight=many")
    assert "weight is a number" in bad.err


def test_a_quota_goes_back_to_what_is_configured(eais: FakeOutside) -> None:
    eais.run("tenant", "quota", "default", "cpu=default", "gpu=2")
    (request,) = eais.manager.asked
    assert isinstance(request, hosts_pb2.SetTenantRequest)
    assert list(request.defaults) == ["cpu"]
    assert [(quota.what, quota.limit) for quota in request.quotas] == [("gpu", 2000)]


@pytest.mark.parametrize(
    "word",
    ["gpu", "gpu=", "gpu=1.1", "gpu=-1", "gpu=nan", "gpu=1e3", "toaster=1", "instances=1.5", "=1"],
)
def test_what_is_no_quota(eais: FakeOutside, word: str) -> None:
    said = eais.run("tenant", "quota", "default", word)
    assert said.code == 2
    assert said.err.startswith(f"error: ARGUMENT: quota '{word}': ")
    assert eais.manager.asked == []


def test_a_quota_that_is_said_twice(eais: FakeOutside) -> None:
    said = eais.run("tenant", "quota", "default", "gpu=1", "gpu=default")
    assert "it was named before" in said.err


def test_hosts_are_cordoned_and_listed(eais: FakeOutside) -> None:
    assert eais.run("host", "cordon", "host-2").out.splitlines() == [
        "HOST     REACHABLE   GRANTS     INSTANCES   ISOLATION",
        "host-2   yes         cordoned   0           L2",
    ]
    listed = eais.run("host", "list").out.splitlines()
    assert listed[1].split() == ["local", "yes", "yes", "0", "L2"]
    assert eais.run("host", "uncordon", "host-2", "-o", "json").data["cordoned"] is False
    assert eais.run("host", "cordon", "host-9").code == 2


def test_a_device_is_granted_again_once_its_check_has_passed(eais: FakeOutside) -> None:
    eais.manager.checks["cuda0"] = ("ok", "")
    said = eais.run("host", "uncordon", "local", "cuda0", "-o", "json")
    assert (said.code, said.data["health"], said.data["health_reason"]) == (0, "ok", None)
    assert asked(eais) == ["CordonRequest", "PoolStatusRequest", "PoolStatusRequest"]


def test_a_device_that_fails_its_check_says_why(eais: FakeOutside) -> None:
    eais.manager.checks["cuda0"] = ("bad", "41, not 42")
    said = eais.run("host", "uncordon", "local", "cuda0")
    assert (said.code, said.out) == (5, "")
    assert said.err.splitlines()[-1] == "error: DEVICE_LOST: cuda0 is bad: 41, not 42"


def test_a_device_that_is_checked_for_ever_is_not_waited_for_so_long(eais: FakeOutside) -> None:
    eais.manager.checks["cuda0"] = ("checking", "")
    said = eais.run("host", "uncordon", "local", "cuda0")
    assert said.err.splitlines()[-1].startswith("error: DEADLINE_EXCEEDED: local hasn't said")


def test_a_drain_is_waited_for(eais: FakeOutside) -> None:
    for _ in range(3):
        eais.manager.add("acme", "host-2")
    said = eais.run("drain", "host-2")
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines()[1].split() == ["host-2", "yes", "drained", "0", "L2"]
    assert asked(eais) == ["DrainRequest"] + ["PoolStatusRequest"] * 3
    assert eais.clock.now == pytest.approx(1.5)


def test_a_drain_that_nobody_waits_for(eais: FakeOutside) -> None:
    eais.manager.add("acme", "host-2")
    said = eais.run("drain", "host-2", "--no-wait", "-o", "json")
    assert (said.data["draining"], said.data["instances"]) == (True, 1)
    assert asked(eais) == ["DrainRequest"]


def test_what_cannot_move_is_said_once_and_the_drain_goes_on(eais: FakeOutside) -> None:
    stuck = eais.manager.add("acme", "host-2").id
    eais.manager.stuck[stuck] = "no other host has a free gpu"
    said = eais.run("drain", "host-2", "--timeout", "3")
    assert (said.code, said.out) == (5, "")
    line, error = said.err.splitlines()
    assert line == f"stuck: {stuck}: no other host has a free gpu"
    assert error.startswith(
        f"error: DEADLINE_EXCEEDED: host-2 still has 1 instance after 3 s: {stuck}: "
    )
    assert eais.manager.hosts["host-2"].draining


def test_what_was_stuck_may_move_later(eais: FakeOutside) -> None:
    stuck = eais.manager.add("acme", "host-2").id
    eais.manager.stuck[stuck] = "no other host has a free gpu"
    eais.clock.on_tick = lambda now: eais.manager.stuck.clear() if now > 2 else None
    said = eais.run("drain", "host-2")
    assert (said.code, said.err) == (0, f"stuck: {stuck}: no other host has a free gpu\n")


def test_a_drain_that_somebody_else_ends(eais: FakeOutside) -> None:
    stuck = eais.manager.add("acme", "host-2").id
    eais.manager.stuck[stuck] = "no other host has a free gpu"

    def end(now: float) -> None:
        eais.manager.hosts["host-2"].draining = False

    eais.clock.on_tick = end
    said = eais.run("drain", "host-2")
    assert said.code == 2
    assert "error: WRONG_STATE: the drain of host-2 was ended by an operator" in said.err


def test_a_manager_that_is_away_while_a_drain_is_waited_for(eais: FakeOutside) -> None:
    eais.manager.add("acme", "host-2")
    away = make_error("POOL_UNREACHABLE", "away")

    def goes_away(now: float) -> None:
        for _ in range(1000):  # it is asked again, how often depends on chance
            eais.manager.fail_next(away)

    eais.clock.on_tick = goes_away
    assert eais.run("drain", "host-2").code == 4


def test_force_detach_asks_first(eais: FakeOutside) -> None:
    name = eais.manager.add("acme", "host-2").id
    refused = eais.run("force-detach", name)
    assert (refused.code, eais.manager.asked) == (2, [])
    assert "there is nobody to ask here (--yes doesn't ask)" in refused.err
    eais.at_terminal, eais.typed = True, "n\n"
    assert eais.run("force-detach", name).code == 2
    assert eais.manager.asked == []
    eais.typed = "y\n"
    done = eais.run("force-detach", name)
    assert done.out == f"{name}  BINDABLE  cpu.1\n"
    assert done.err.startswith(f"end the lease and binding of {name}, under its tenant's calls?")


def test_force_detach_without_a_question(eais: FakeOutside) -> None:
    name = eais.manager.add("acme", "host-2").id
    assert eais.run("force-detach", name, "--yes", "-o", "json").data["epoch"] == 2
    assert eais.run("force-detach", "ei-ffff", "--yes").code == 2


def test_all_tenants_instances(eais: FakeOutside) -> None:
    eais.manager.add("acme", "host-2")
    eais.manager.add("globex", "local")
    listed = eais.run("list", "--all-tenants", "-o", "wide").out.splitlines()
    assert listed[0].split()[:3] == ["TENANT", "ID", "TYPE"]
    assert listed[0].split()[6] == "HOST"
    assert [line.split()[0] for line in listed[1:]] == ["acme", "globex"]
    data = eais.run("list", "-A", "-o", "json").data["instances"]
    assert isinstance(data, list)
    assert [(one["tenant"], one["host"]) for one in data] == [
        ("acme", "host-2"),
        ("globex", "local"),
    ]
    assert eais.run("list").out == "No instances.\n"


def test_hosts_and_tenants_are_completed(eais: FakeOutside) -> None:
    from eais_client.cli.completion import complete_hosts, complete_tenants

    eais.processes.supervisor = None
    outside = eais.outside()
    assert complete_hosts(outside, "", "h") == ["host-2"]
    assert complete_tenants(outside, "", "d") == ["default"]
    eais.manager.fail_next(make_error("POOL_UNREACHABLE", "away"))
    assert complete_hosts(outside, "", "") == []
