"""Attaches and starts that wait in line: order, reservation, ends, and what a restart leaves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from eais.instance import InstanceState
from eais_pool.brain.actions import Reply, Send
from eais_pool.brain.events import HostLost, ManagerStarted, Tick
from eais_pool.brain.line import positions
from eais_pool.brain.quotas import Quotas
from eais_pool.brain.records import Failure
from eais_pool.brain.settings import Settings
from eais_pool.testing import FakeHost, device
from tests.unit.pool.rig import SETTINGS, Pool

LINKED = frozenset({"h1"})


def gpus(count: int = 1, settings: Settings = SETTINGS) -> Pool:
    """A pool with so many GPUs and four cores, on one host."""
    devices = [device(), *(device(f"gpu{n}", "gpu", 1000) for n in range(count))]
    return Pool(FakeHost("h1", devices), settings=settings)


def place(pool: Pool, op: str, tenant: str = "acme") -> str:
    state = pool.shell.state
    instance = state.ops[tenant, op].instance
    return str(positions(state, SETTINGS)[instance])


def tick(pool: Pool, seconds: float = 0.0, gone: frozenset[tuple[str, str]] = frozenset()) -> None:
    pool.shell.now += seconds
    pool.shell.feed(Tick(LINKED, gone))


def ended(pool: Pool) -> dict[str, str]:
    """What operations came to: op_id → state, or the reason that it failed for."""
    pool.published()
    replies = pool.shell.said_of(Reply)
    return {
        reply.op_id: reply.answer.view.state.value
        if reply.answer.view
        else (reply.answer.failure or Failure("", "")).reason
        for reply in replies
    }


def test_what_has_no_room_waits_and_is_granted_when_there_is() -> None:
    pool = gpus()
    first = pool.attached("gpu.1")
    waits = pool.ask("attach", type="gpu.1", wait_s=30)
    assert ended(pool) == {}
    assert place(pool, waits) == "position 1 of 1 in line"
    detach = pool.ask("detach", first.id)
    pool.deliver()
    assert ended(pool) == {detach: "DELETED", waits: "IN_USE"}
    assert not pool.shell.state.line
    pool.end()


def test_without_wait_what_has_no_room_is_refused_as_ever() -> None:
    pool = gpus()
    pool.attached("gpu.1")
    pool.ask("attach", type="gpu.1")
    assert pool.failure().reason == "NO_DEVICE"
    pool.end()


def test_what_can_never_be_had_or_is_beyond_the_quota_does_not_wait() -> None:
    pool = gpus(settings=replace(SETTINGS, quotas=Quotas({"gpu": 500})))
    for type, reason in [("npu", "TYPE_UNKNOWN"), ("gpu.2", "QUOTA"), ("gpu.1", "QUOTA")]:
        pool.ask("attach", type=type, wait_s=30)
        assert pool.failure().reason == reason
    pool.end()


def test_the_time_is_over_and_it_is_said_what_position_it_had() -> None:
    pool = gpus()
    pool.attached("gpu.1")
    pool.ask("attach", type="gpu.1", tenant="other", wait_s=60)
    waits = pool.ask("attach", type="gpu.1", wait_s=30)
    tick(pool, 29.5)
    assert ended(pool) == {}
    tick(pool, 0.5)
    (reply,) = pool.shell.said_of(Reply)
    assert (reply.op_id, reply.answer.failure) == (
        waits,
        Failure(
            "NO_DEVICE",
            "nothing came free for gpu.1 in 30 s; it was position 2 of 2 in line",
            "wait longer, or take a smaller type",
            (("push_back_ms", "1000"),),
        ),
    )
    pool.published()
    assert [each.state for each in pool.shell.state.instances.values()].count(
        InstanceState.DELETED
    ) == 1
    pool.end()


def test_a_repetition_of_the_op_id_keeps_its_place() -> None:
    pool = gpus()
    pool.attached("gpu.1")
    first = pool.ask("attach", type="gpu.1", wait_s=30)
    second = pool.ask("attach", type="gpu.1", wait_s=30)
    pool.ask("attach", type="gpu.1", wait_s=30, op=first)
    assert place(pool, first) == "position 1 of 2 in line"
    assert place(pool, second) == "position 2 of 2 in line"
    pool.ask("attach", type="gpu.1", wait_s=31, op=first)
    assert pool.failure().reason == "IDEMPOTENCY_MISMATCH"
    pool.published()
    pool.end()


def test_the_tenant_that_holds_less_is_served_first() -> None:
    pool = gpus(2)
    mine = [pool.attached("gpu.1") for _ in range(2)]
    again = pool.ask("attach", type="gpu.1", wait_s=30)
    other = pool.ask("attach", type="gpu.1", wait_s=30, tenant="other")
    assert place(pool, other, "other") == "position 1 of 2 in line"
    pool.ask("detach", mine[0].id)
    pool.deliver()
    assert ended(pool)[other] == "IN_USE"
    assert place(pool, again) == "position 1 of 1 in line"
    pool.end()


def test_a_weight_says_how_much_more_a_tenant_gets() -> None:
    quotas = Quotas({}, {"acme": {"weight": 3}})
    pool = gpus(2, replace(SETTINGS, quotas=quotas))
    mine = pool.attached("gpu.1")
    pool.ask("attach", type="gpu.1-2", tenant="other")
    pool.deliver()
    ended(pool)
    heavy = pool.ask("attach", type="gpu.1", wait_s=30)
    pool.ask("attach", type="gpu.1", wait_s=30, tenant="other")
    # By weight 1/2 of a GPU stands against 1/3 of one.
    assert (
        positions(pool.shell.state, replace(SETTINGS, quotas=quotas))[
            pool.shell.state.ops["acme", heavy].instance
        ].place
        == 1
    )
    pool.ask("detach", mine.id)
    pool.deliver()
    assert ended(pool)[heavy] == "IN_USE"
    pool.end()


def test_a_large_one_lets_small_ones_pass_for_a_while_then_what_comes_free_is_its_own() -> None:
    pool = gpus(2)
    held = [pool.attached("gpu.1") for _ in range(2)]
    large = pool.ask("attach", type="gpu.2", wait_s=60, tenant="large")
    small = pool.ask("attach", type="gpu.1", wait_s=60, tenant="small")
    pool.ask("detach", held[0].id)
    pool.deliver()
    assert ended(pool)[small] == "IN_USE"
    instance = pool.shell.state.ops["small", small].instance
    later = pool.ask("attach", type="gpu.1", wait_s=60, tenant="small")
    tick(pool, SETTINGS.overtake_s)
    pool.ask("detach", instance, tenant="small")
    pool.deliver()
    assert later not in ended(pool)
    # A newcomer that won't wait takes nothing of it, either.
    pool.ask("attach", type="gpu.1", tenant="new")
    assert "2 that wait in line" in pool.failure().message
    pool.ask("detach", held[1].id)
    pool.deliver()
    assert ended(pool)[large] == "IN_USE"
    assert set(pool.shell.state.line) == {("small", later)}
    pool.end()


def test_other_kinds_are_not_kept_for_one_that_waits() -> None:
    pool = gpus()
    pool.attached("gpu.1")
    pool.ask("attach", type="gpu.1", wait_s=60)
    tick(pool, SETTINGS.overtake_s)
    pool.ask("attach", type="cpu.1", tenant="other")
    pool.deliver()
    assert pool.view().state is InstanceState.IN_USE
    pool.published()
    pool.ask("attach", type="auto", tenant="other", wait_s=5)
    pool.deliver()
    assert pool.view().workers[0].kind == "cpu"
    pool.published()
    pool.end()


def test_one_that_no_host_of_now_could_ever_serve_holds_up_nobody() -> None:
    big = FakeHost("h2", [device(f"gpu{n}", "gpu", 1000) for n in range(2)])
    small = FakeHost("h1", [device("gpu0", "gpu", 1000)])
    pool = Pool(small, big)
    pool.shell.feed(HostLost("h2"))
    large = pool.ask("attach", type="gpu.2", wait_s=60)
    tick(pool, SETTINGS.overtake_s)
    pool.ask("attach", type="gpu.1", tenant="other")
    pool.deliver()
    assert pool.view().state is InstanceState.IN_USE
    pool.shell.feed(big.join())
    pool.deliver()
    assert ended(pool)[large] == "IN_USE"
    pool.end()


def test_of_one_tenant_nobody_overtakes() -> None:
    pool = gpus(2)
    held = [pool.attached("gpu.1") for _ in range(2)]
    pool.ask("attach", type="gpu.2", wait_s=60)
    pool.ask("attach", type="gpu.1", wait_s=60)
    pool.ask("detach", held[0].id)
    pool.deliver()
    assert len(ended(pool)) == 1
    assert len(pool.shell.state.line) == 2
    pool.end()


@pytest.mark.parametrize("verb", ["detach", "stop"])
def test_who_ends_what_waits_leaves_the_line(verb: str) -> None:
    pool = gpus()
    pool.attached("gpu.1")
    waits = pool.ask("attach", type="gpu.1", wait_s=30)
    instance = pool.shell.state.ops["acme", waits].instance
    end = pool.ask(verb, instance, frontend="laptop")
    assert ended(pool) == {waits: "CANCELLED", end: "DELETED"}
    assert not pool.shell.state.line
    pool.end()


def test_a_start_that_leaves_the_line_leaves_its_instance_as_it_was() -> None:
    pool = gpus()
    mine = pool.attached("gpu.1")
    pool.ask("stop", mine.id)
    pool.deliver()
    pool.ask("attach", type="gpu.1", tenant="other")
    pool.deliver()
    ended(pool)
    start = pool.ask("start", mine.id, wait_s=30)
    stop = pool.ask("stop", mine.id)
    assert ended(pool) == {start: "CANCELLED", stop: "BOUND"}
    pool.end()


def test_nobody_waits_for_a_caller_that_has_gone() -> None:
    pool = gpus()
    pool.attached("gpu.1")
    gone = pool.ask("attach", type="gpu.1", wait_s=300)
    stays = pool.ask("attach", type="gpu.1", wait_s=300)
    tick(pool, 1, frozenset({("acme", gone), ("acme", "another")}))
    assert ended(pool) == {gone: "CANCELLED"}
    assert place(pool, stays) == "position 1 of 1 in line"
    pool.end()


def test_the_line_is_only_so_long() -> None:
    pool = gpus(settings=replace(SETTINGS, line_most=3, line_most_of=2))
    pool.attached("gpu.1")
    for tenant in ("acme", "acme", "other"):
        pool.ask("attach", type="gpu.1", tenant=tenant, wait_s=9)
    pool.ask("attach", type="gpu.1", tenant="third", wait_s=9)
    full = pool.failure()
    assert (full.reason, full.message) == (
        "QUEUE_FULL",
        "3 operations wait in line, and no more may",
    )
    assert dict(full.metadata)["push_back_ms"] == "1000"
    tick(pool, 1, frozenset({key for key in pool.shell.state.line if key[0] == "other"}))
    ended(pool)
    pool.ask("attach", type="gpu.1", wait_s=9)
    assert pool.failure().message == "2 operations of this tenant wait in line, and no more may"
    pool.end()


@pytest.mark.parametrize("wait_s", [-1.0, 86_401.0, float("nan")])
def test_nobody_waits_for_ever(wait_s: float) -> None:
    pool = gpus()
    pool.ask("attach", type="gpu.1", wait_s=wait_s)
    assert pool.failure().reason == "ARGUMENT"
    pool.end()


@pytest.mark.parametrize("boot", ["boot-1", "boot-2"])
def test_the_line_survives_the_managers_death(boot: str) -> None:
    pool = gpus()
    held = pool.attached("gpu.1")
    waits = pool.ask("attach", type="gpu.1", wait_s=30)
    pool.shell.state = pool.shell.replayed()
    pool.shell.now = 1020.0 if boot == "boot-1" else 5.0
    pool.shell.feed(ManagerStarted(boot))
    pool.shell.feed(pool.hosts["h1"].join())
    tick(pool, 9)
    assert ended(pool) == {}
    detach = pool.ask("detach", held.id)
    pool.deliver()
    assert ended(pool) == {detach: "DELETED", waits: "IN_USE"}
    pool.end()


def test_in_line_a_start_has_the_whole_time_of_a_grant_once_it_is_its_turn() -> None:
    pool = gpus()
    held = pool.attached("gpu.1")
    waits = pool.ask("attach", type="gpu.1", wait_s=300)
    tick(pool, 100)
    pool.ask("detach", held.id)
    (revoke,) = pool.shell.said_of(Send)
    pool.shell.feed(pool.hosts["h1"].obey(revoke.command))
    tick(pool, SETTINGS.grant_timeout_s - 1)
    assert waits not in ended(pool)
    tick(pool, 1)
    assert ended(pool) == {waits: "HOST_UNREACHABLE"}


def test_what_an_operator_takes_away_leaves_the_line() -> None:
    pool = gpus()
    pool.attached("gpu.1")
    waits = pool.ask("attach", type="gpu.1", wait_s=300)
    instance = pool.shell.state.ops["acme", waits].instance
    pool.ask("force_detach", instance, tenant="", frontend="ops")
    assert ended(pool)[waits] == "FORCE_DETACHED"
    assert not pool.shell.state.line


def test_a_quota_that_was_reached_meanwhile_holds_up_nobody() -> None:
    settings = replace(SETTINGS, quotas=Quotas({"gpu": 1000}))
    pool = gpus(2, settings)
    pool.ask("attach", type="gpu.1", tenant="a")
    pool.ask("attach", type="gpu.1", tenant="b")
    pool.deliver()
    ended(pool)
    ops = [pool.ask("attach", type="gpu.1", tenant="c", wait_s=90) for _ in range(2)]
    tick(pool, SETTINGS.overtake_s)
    last = pool.ask("attach", type="gpu.1", tenant="d", wait_s=90)
    state = pool.shell.state
    for tenant in ("a", "b"):
        name = next(each.id for each in state.instances.values() if each.tenant == tenant)
        pool.ask("detach", name, tenant=tenant)
    pool.deliver()
    done = ended(pool)
    assert (done[ops[0]], done[last]) == ("IN_USE", "IN_USE")
    assert set(pool.shell.state.line) == {("c", ops[1])}
    pool.end()
