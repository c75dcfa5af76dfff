"""`eais top` without a terminal: rows from what the pool says, room for them, and asking."""

from __future__ import annotations

import io
import json
import threading
from dataclasses import replace

import pytest
from rich.console import Console
from rich.text import Text

from eais.errors import EaisError, IdentityError, make_error
from eais.instance import InstanceState
from eais.rpc.v1 import pool_pb2
from eais_client.cli.testing import DEVICE, HOST, STATUS, FakeOutside
from eais_client.cli.top_frame import frame
from eais_client.cli.top_live import Answer, Poller
from eais_client.cli.top_model import Ratio, TopView, host_state, top_view
from eais_client.cli.top_view import fitted, headline, sections
from eais_client.instances import Activity, Address, Instance, Worker

AT = Address("127.0.0.1", 40117, "1.ei-1.local.internal")


def busy(name: str, kind: str, activity: Activity | None, **more: str) -> Instance:
    """An instance in use on half a device."""
    worker = Worker(1, AT, kind=kind, device=f"{kind}0", share_milli=500)
    return Instance(
        id=name,
        state=InstanceState.IN_USE,
        type=f"{kind}.1-2",
        tenant=more.get("tenant", "default"),
        frontend=more.get("frontend", "owner"),
        workers=(worker,),
        host="local",
        activity=activity,
    )


ON_GPU = Activity(100.0, 1.5, 4.0, 0.3, 2, 0.5, 1.0)
ON_CPU = Activity(20.0, 8.0, 31.5, 0.5, 0, 0.5, 1.0)
IDLE = Instance("ei-0", InstanceState.BINDABLE, type="cpu.1", tenant="default")


@pytest.fixture
def view() -> TopView:
    instances = [IDLE, busy("ei-2", "cpu", ON_CPU), busy("ei-1", "gpu", ON_GPU)]
    return top_view("local-5f3a9c1e", STATUS, instances)


def test_the_busiest_instance_is_first_and_those_not_in_use_last(view: TopView) -> None:
    assert [row.instance.id for row in view.instances] == ["ei-1", "ei-2", "ei-0"]


def test_what_is_simulated_says_so() -> None:
    real = busy("ei-1", "gpu", ON_GPU)
    simulated = replace(real, workers=(replace(real.workers[0], simulated=True),))
    status = replace(STATUS, devices=(replace(DEVICE, id="sim-gpu0", simulated=True), DEVICE))
    _, devices, instances = sections(top_view("p", status, [simulated]))
    assert "gpu.1-2 (simulated)" in [cell.text for cell in instances.rows[0]]
    assert [row[0].text for row in devices.rows] == ["sim-gpu0 (simulated)", "cpu0"]


def test_the_ratio_is_cpu_cores_at_work_to_accelerators(view: TopView) -> None:
    on_gpu, on_cpu, idle = (row.ratio for row in view.instances)
    assert on_gpu == Ratio(1.0, 0.5)  # the front-end's cores; a GPU's threads aren't cores
    assert on_cpu == Ratio(1.5, 0.0)
    assert idle == Ratio(0.0, 0.0)


def test_a_front_ends_cores_count_once(view: TopView) -> None:
    assert view.totals.ratio == Ratio(1.5, 0.5)
    others = [busy("ei-1", "gpu", ON_GPU), busy("ei-2", "gpu", ON_GPU, tenant="acme")]
    assert top_view("p", None, others).totals.ratio == Ratio(2.0, 1.0)


def test_totals(view: TopView) -> None:
    totals = view.totals
    assert (totals.instances, totals.in_use) == (3, 2)
    assert (totals.calls_per_s, totals.waiting_calls, totals.slowest_p99_ms) == (120.0, 2, 31.5)
    assert headline(view) == (
        "local-5f3a9c1e   2 of 3 in use   120.0 calls/s   p99 31.5 ms   2 waiting   ratio 1.5 : 0.5"
    )


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, "ready"),
        ({"cordoned": True}, "cordoned"),
        ({"cordoned": True, "draining": True, "instances": 2}, "draining"),
        ({"cordoned": True, "draining": True}, "drained"),
        ({"reachable": False, "cordoned": True, "draining": True}, "unreachable"),
    ],
)
def test_a_hosts_state_is_what_matters_most(changes: dict[str, int], state: str) -> None:
    assert host_state(replace(HOST, **changes)) == state  # type: ignore[arg-type]


def test_what_there_is_no_room_for_is_left_out_by_rank(view: TopView) -> None:
    *_, whole = sections(view)
    assert len(whole.headings) == 12
    *_, narrow = sections(view, 64)
    assert narrow.headings == ("INSTANCE", "STATE", "CALLS/S", "P99", "WAITING", "RATIO")
    *_, least = sections(view, 1)
    assert len(least.headings) == 1


def test_rows_that_there_is_no_room_for_are_counted() -> None:
    many = [busy(f"ei-{number:02}", "gpu", None) for number in range(30)]
    hosts, devices, instances = fitted(sections(top_view("p", STATUS, many)), 16)
    assert (len(hosts.rows), len(devices.rows)) == (1, 1)
    assert (len(instances.rows), instances.left_out) == (7, 23)
    tiny = fitted(sections(top_view("p", STATUS, many)), 3)
    assert [len(section.rows) for section in tiny] == [0, 0, 0]


@pytest.mark.parametrize(("width", "height"), [(160, 40), (80, 24), (40, 12), (10, 5), (1, 1)])
def test_no_line_is_longer_than_the_terminal(view: TopView, width: int, height: int) -> None:
    out = io.StringIO()
    console = Console(file=out, width=width, height=height, color_system=None)
    console.print(frame(view, Text("every 1 s; q ends"), width, height))
    assert all(len(line) <= width for line in out.getvalue().splitlines())


def test_devices_say_who_has_them(view: TopView) -> None:
    _, devices, _ = sections(view)
    assert [cell.text for cell in devices.rows[0]] == [
        *("cpu0", "cpu", "local", "1", "1", "█████░░░░░", "ei-7f3a 1"),
    ]
    lost = replace(STATUS, devices=(replace(DEVICE, reachable=False),))
    _, devices = sections(top_view("p", lost, ()))
    assert devices.rows[0][5].text == "unreachable"


def test_an_operator_sees_the_whole_pool(eais: FakeOutside) -> None:
    instance = eais.manager.add("acme", "host-2")
    instance.activity.CopyFrom(pool_pb2.Activity(calls_per_s=5, p99_ms=2.5, waiting_calls=1))
    said = eais.run("top")
    assert (said.code, said.err) == (0, "")
    assert "host-2   ready   1" in said.out
    assert " acme " in said.out
    assert "5.0" in said.out
    data = json.loads(eais.run("top", "--once", "-o", "json").out)
    assert [host["state"] for host in data["hosts"]] == ["ready", "ready"]
    assert data["instances"][0]["activity"]["p99_ms"] == 2.5
    assert data["totals"]["waiting_calls"] == 1


def test_a_front_end_sees_its_own_instances(eais: FakeOutside) -> None:
    eais.manager.add("acme", "host-2")
    eais.run("attach", "--type", "cpu.1")
    eais.manager.fail_next(IdentityError("CERT_MISSING", "no operator"))
    data = json.loads(eais.run("top", "-o", "json").out)
    assert (data["hosts"], data["devices"]) == ([], [])
    assert [one["tenant"] for one in data["instances"]] == ["default"]


def test_a_pool_that_does_nothing(eais: FakeOutside) -> None:
    assert eais.run("top").out.endswith("\n\nNo instances.\n")


def test_what_hinders_is_one_line(eais: FakeOutside) -> None:
    eais.manager.fail_next(IdentityError("CERT_EXPIRED", "it ended"))
    said = eais.run("top")
    assert (said.code, said.out) == (3, "")
    assert said.err == "error: CERT_EXPIRED: it ended\n"


def test_a_pool_that_goes_away_is_shown_as_it_was_until_it_is_back(view: TopView) -> None:
    fault: EaisError = make_error("POOL_UNREACHABLE", "nobody answers")
    answers: list[TopView | EaisError] = [fault, view]
    woken: list[Answer] = []
    done = threading.Event()

    def ask() -> TopView:
        answer = answers.pop(0)
        if isinstance(answer, EaisError):
            raise answer
        return answer

    def wake() -> None:
        woken.append(poller.latest)
        if len(woken) == 2:
            poller.end()
            done.set()

    first = Answer(replace(view, pool="before"), 1.0)
    poller = Poller(ask, first, 0.001, lambda: 2.0, wake)
    with poller:
        assert done.wait(10)
    assert woken == [Answer(first.view, 1.0, fault), Answer(view, 2.0)]
