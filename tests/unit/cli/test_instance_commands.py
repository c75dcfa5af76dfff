from __future__ import annotations

import threading
from typing import Any, cast

import pytest

from eais.errors import IdentityError, RemoteError, Unavailable
from eais.rpc.v1 import pool_pb2
from eais_client.cli.states import shown_states
from eais_client.cli.testing import NO_PATIENCE_S, FakeOutside
from eais_client.pool_client import PoolClient
from eais_client.session_states import SessionAt, SessionState, UnusedRuntime

LINE = (
    "ei-0001  IN_USE  cpu.1   tolerance exact   isolation L2   share cooperative"
    "   127.64.16.18:40117\n"
)


def test_attach_prints_one_line(eais: FakeOutside) -> None:
    said = eais.run("attach", "--type", "cpu.1")
    assert (said.code, said.out, said.err) == (0, LINE, "")


def test_attach_says_what_auto_became_and_why(eais: FakeOutside) -> None:
    why_it_is = "cpu.1 at 0.02/h, the cheapest, until something is measured"
    eais.run("create", "auto")
    eais.pool.instances["ei-0001"].placement.why = why_it_is
    said = eais.run("attach", "ei-0001")
    line, why = said.out.splitlines()
    assert line.startswith("ei-0001  IN_USE  auto → cpu.1 on local   tolerance ")
    assert why == f"  {why_it_is}"
    assert "auto → cpu.1" in eais.run("list").out
    data = eais.run("describe", "ei-0001", "-o", "json").data
    assert (data["type"], data["why"]) == ("auto", why_it_is)


def test_attach_that_is_given_a_type_as_an_instance_says_how_it_is_said(eais: FakeOutside) -> None:
    said = eais.run("attach", "gpu.1-8")
    text = "error: ARGUMENT: 'gpu.1-8' is a type, not an instance (eais attach --type gpu.1-8)\n"
    assert (said.code, said.err) == (2, text)


def test_attach_says_that_a_device_is_simulated(eais: FakeOutside) -> None:
    eais.run("attach", "--type", "gpu.1")
    eais.pool.instances["ei-0001"].workers[0].simulated = True
    eais.pool.instances["ei-0001"].workers[0].share_milli = 375
    found = eais.run("describe", "ei-0001").out
    assert "cpu0 (cpu, simulated)" in found
    assert "3/8, cooperative" in found
    assert "ei-0001   gpu.1 (simulated)   IN_USE" in eais.run("list").out
    attached = eais.run("attach", "ei-0001")
    assert "   simulated   " in attached.out


def test_attach_json_ends_with_one_object_on_one_line(eais: FakeOutside) -> None:
    data = eais.run("attach", "--type", "cpu.1", "-o", "json").data
    assert (data["id"], data["state"], data["tolerance"]) == ("ei-0001", "IN_USE", "exact")
    assert data["workers"] == [
        {
            "n": 1,
            "address": "127.64.16.18:40117",
            "kind": "cpu",
            "device": "cpu0",
            "share_milli": 1000,
            "simulated": False,
            "isolation": "L2",
            "enforcement": "cooperative",
            "memory_bytes": 4 << 30,
            "memory_enforcement": "forced",
            "serving": True,
            "incarnation": 1,
        }
    ]


def test_attach_without_a_type_takes_the_first_bindable_one(eais: FakeOutside) -> None:
    eais.run("create", "cpu.1")
    assert eais.run("attach").out == LINE


@pytest.mark.parametrize("verb", [["create", "cpu.1"], ["attach", "--type", "cpu.1"]])
def test_a_policy_is_said_when_an_instance_is_made(eais: FakeOutside, verb: list[str]) -> None:
    data = eais.run(*verb, "--ring", "on", "--slo-p99", "50ms", "-o", "json").data
    assert (data["ring"], data["slo_p99_us"]) == ("on", 50_000)
    said = eais.run("describe", "ei-0001").out
    assert "SLO:" in said
    assert "p99 50ms" in said
    assert "on (memory is shared with any user" in said


@pytest.mark.parametrize("verb", [["create", "cpu.1"], ["attach", "--type", "cpu.1"]])
def test_a_tolerance_is_said_when_an_instance_is_made(eais: FakeOutside, verb: list[str]) -> None:
    assert eais.run(*verb, "--tolerance", "bf16", "-o", "json").data["tolerance"] == "bf16"
    assert "bf16" in eais.run("describe", "ei-0001").out


def test_attach_says_the_tolerance(eais: FakeOutside) -> None:
    assert "  tolerance int8  " in eais.run("attach", "--type", "cpu", "--tolerance", "int8").out


def test_nothing_said_is_auto_and_no_slo(eais: FakeOutside) -> None:
    data = eais.run("create", "cpu.1", "-o", "json").data
    assert (data["ring"], data["slo_p99_us"]) == ("auto", None)


@pytest.mark.parametrize(
    "flag", [["--ring", "sometimes"], ["--slo-p99", "soon"], ["--tolerance", "roughly"]]
)
def test_a_policy_that_is_none_is_refused(eais: FakeOutside, flag: list[str]) -> None:
    said = eais.run("create", "cpu.1", *flag)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("error: ARGUMENT:")
    assert eais.pool.instances == {}


WHY = "output 'probabilities': off by 0.11 of its scale, at most 0.062: [0, 3]: 0.52, not 0.58"
SESSIONS = (
    SessionState(
        "0123456789abcdef" * 2,
        "ab" * 32,
        (
            SessionAt(1, "openvino/fp32", (UnusedRuntime("openvino/bf16", WHY),)),
            SessionAt(2, ""),
            SessionAt(3, "", (), "IMAGE_MISSING", "no role computes it"),
        ),
    ),
)


def test_describe_says_what_runs_each_session(eais: FakeOutside) -> None:
    eais.run("attach", "--type", "cpu.1")
    eais.sessions = SESSIONS
    said = eais.run("describe", "ei-0001").out.splitlines()
    assert said[said.index("Sessions:") :] == [
        "Sessions:",
        "  Session 0123456789ab   model abababababab",
        "    Worker 1:  openvino/fp32 on cpu0 (cpu, real)",
        "      not openvino/bf16: output 'probabilities': off by 0.11 of its scale, at",
        "        most 0.062: [0, 3]: 0.52, not 0.58",
        "    Worker 2:  not loaded",
        "    Worker 3:  refused",
        "      IMAGE_MISSING: no role computes it",
    ]
    wide = eais.run("describe", "ei-0001", "-o", "wide").out
    assert f"Session {SESSIONS[0].id}   model {'ab' * 32}" in wide


def test_describe_has_the_sessions_for_programs(eais: FakeOutside) -> None:
    eais.run("attach", "--type", "cpu.1")
    eais.sessions = SESSIONS
    data = eais.run("describe", "ei-0001", "-o", "json").data
    assert data["sessions_unknown"] is None
    (session,) = cast("list[dict[str, Any]]", data["sessions"])
    assert (session["id"], session["model_sha256"]) == (SESSIONS[0].id, "ab" * 32)
    assert session["workers"][0] == {
        "n": 1,
        "device": "cpu0",
        "kind": "cpu",
        "simulated": False,
        "runtime": "openvino",
        "precision": "fp32",
        "reason": None,
        "refused": None,
        "unused": [{"runtime": "openvino/bf16", "why": WHY}],
    }
    assert session["workers"][1]["runtime"] is None
    refused = session["workers"][2]
    assert (refused["reason"], refused["refused"]) == ("IMAGE_MISSING", "no role computes it")


def test_describe_says_why_the_sessions_arent_known(eais: FakeOutside) -> None:
    eais.run("attach", "--type", "cpu.1")
    eais.sessions = Unavailable("HOST_UNREACHABLE", "nobody at 127.64.16.2:40118")
    said = eais.run("describe", "ei-0001")
    assert said.code == 0
    assert "Sessions:   unknown: HOST_UNREACHABLE: nobody at 127.64.16.2:40118\n" in said.out
    data = eais.run("describe", "ei-0001", "-o", "json").data
    assert data["sessions"] is None
    assert data["sessions_unknown"] == "HOST_UNREACHABLE: nobody at 127.64.16.2:40118"


def test_describe_asks_nobody_for_the_sessions_of_what_doesnt_run(eais: FakeOutside) -> None:
    eais.run("create", "cpu.1")
    eais.sessions = Unavailable("HOST_UNREACHABLE", "never asked")
    assert "Sessions" not in eais.run("describe", "ei-0001").out
    data = eais.run("describe", "ei-0001", "-o", "json").data
    assert (data["sessions"], data["sessions_unknown"]) == (None, None)


def test_no_start_stops_at_bound(eais: FakeOutside) -> None:
    assert eais.run("attach", "--type", "cpu.1", "--no-start").out == "ei-0001  BOUND  cpu.1\n"


def test_every_verb_step_by_step(eais: FakeOutside) -> None:
    said = [
        eais.run("create", "cpu.1").out,
        eais.run("attach", "ei-0001", "--no-start").out,
        eais.run("start", "ei-0001").out,
        eais.run("stop", "ei-0001").out,
        eais.run("detach", "ei-0001").out,
        eais.run("delete", "ei-0001").out,
    ]
    states = [line.split()[1] for line in said]
    assert states == ["BINDABLE", "BOUND", "IN_USE", "BOUND", "BINDABLE", "DELETED"]


def test_list(eais: FakeOutside) -> None:
    eais.run("attach", "--type", "cpu.1")
    eais.run("create", "gpu.1-8")
    assert eais.run("list").out.splitlines() == [
        "ID        TYPE      STATE      FRONT-END   ADDRESS",
        "ei-0001   cpu.1     IN_USE     owner       127.64.16.18:40117",
        "ei-0002   gpu.1-8   BINDABLE   -           -",
    ]


def test_list_wide_has_more_columns(eais: FakeOutside) -> None:
    eais.run("attach", "--type", "cpu.1")
    heading, row = eais.run("list", "-o", "wide").out.splitlines()
    assert heading.split()[5:] == [
        *("HOST", "EPOCH", "TOLERANCE", "DEVICE", "ISOLATION", "SHARE", "LISTENER", "VNIC")
    ]
    assert row.split()[5:10] == ["local", "1", "exact", "cpu0", "L2"]
    assert row.split()[10:] == ["cooperative", "127.64.16.2:40118", "loopback"]


def test_list_of_nothing(eais: FakeOutside) -> None:
    assert eais.run("list").out == "No instances.\n"
    assert eais.run("list", "-o", "json").out == '{"instances": []}\n'
    assert eais.run("list", "-o", "yaml").out == "instances: []\n"


def test_describe_says_what_isolates_the_vnic(eais: FakeOutside) -> None:
    eais.run("attach", "--type", "cpu.1")
    text = eais.run("describe", "ei-0001").out
    assert "vNIC:       127.64.16.18 (loopback; others are kept off by mTLS only)" in text
    assert "  Share:        1, cooperative" in text
    assert "  Isolation:    L2" in text
    assert "  Certificate:  1.ei-0001.local-5f3a9c1e.internal" in text


def test_describe_a_failed_one_says_why(eais: FakeOutside) -> None:
    eais.run("create", "cpu.1")
    broken = eais.pool.instances["ei-0001"]
    broken.state, broken.reason, broken.detail = pool_pb2.FAILED, "DEVICE_LOST", "gone"
    assert "Reason:     DEVICE_LOST: gone" in eais.run("describe", "ei-0001").out


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (IdentityError("CERT_EXPIRED", "ended"), 3, "error: CERT_EXPIRED: ended\n"),
        (Unavailable("NO_DEVICE", "none", hint="wait"), 4, "error: NO_DEVICE: none (wait)\n"),
        (RemoteError("QUOTA", "too\nmany"), 5, "error: QUOTA: too many\n"),
    ],
)
def test_an_error_is_one_line_and_a_code(
    eais: FakeOutside, error: RemoteError, code: int, line: str
) -> None:
    eais.pool.fail_next(error)
    said = eais.run("attach", "--type", "cpu.1", "-o", "json")
    assert (said.code, said.out, said.err) == (code, "", line)


def test_not_there_is_a_usage_error(eais: FakeOutside) -> None:
    said = eais.run("describe", "ei-9999")
    assert (said.code, said.err) == (2, "error: NOT_FOUND: there is no instance ei-9999\n")


def test_without_a_context_it_says_what_to_do(nowhere: FakeOutside) -> None:
    said = nowhere.run("list")
    assert said.code == 2
    assert said.err.startswith("error: NOT_ATTACHED: no pool is known here (")
    assert "eais pool up" in said.err


class Heard:
    """Keeps what is said of the progress."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.told = threading.Event()

    def step(self, text: str, done: float = 0.0, total: float | None = None) -> None:
        self.texts.append(text)
        self.told.set()


def test_states_are_shown_while_the_pool_is_waited_for(eais: FakeOutside) -> None:
    heard = Heard()
    pool = PoolClient(eais.pool, patience_s=NO_PATIENCE_S)
    pool.create("cpu.1")
    with shown_states(pool, heard, "attaching cpu.2"):
        pool.attach(type="cpu.2", start=False)
        assert heard.told.wait(10)
    assert set(heard.texts) == {"attaching cpu.2: ei-0002 BOUND"}
    assert "eais-states" not in {thread.name for thread in threading.enumerate()}
