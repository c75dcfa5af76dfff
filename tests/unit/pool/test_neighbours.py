"""Instances are placed apart from others of their tenant's, or near one, as their owner said."""

from __future__ import annotations

from eais.instance_policy import InstancePolicy
from eais.neighbours import Neighbours
from eais_pool.brain.codec import from_json, to_json
from eais_pool.brain.events import OpRequested
from eais_pool.brain.records import InstanceRecord, OpVerb
from eais_pool.brain.view_records import InstanceView
from eais_pool.testing import FakeHost, device
from tests.unit.pool.rig import Pool, op_id

WEB = Neighbours("web")
STRICT = Neighbours("web", strict=True)


def pool_of(*milli: int) -> Pool:
    """Hosts h1, h2 and so on, each of one device of so many milli-cores."""
    return Pool(*(FakeHost(f"h{n}", [device(milli=each)]) for n, each in enumerate(milli, 1)))


def attach(pool: Pool, said: Neighbours, type: str = "cpu.1", tenant: str = "acme") -> InstanceView:
    pool.ask("attach", type=type, policy=InstancePolicy(neighbours=said), tenant=tenant)
    pool.deliver()
    view = pool.view()
    pool.published()
    return view


def why(pool: Pool, instance: str) -> str:
    lease = pool.shell.state.live_lease(instance)
    assert lease is not None
    return lease.why


def test_a_group_is_spread_over_hosts_and_then_evenly() -> None:
    pool = pool_of(8000, 8000, 8000)
    made = [attach(pool, WEB) for _ in range(6)]
    assert sorted(view.host for view in made[:3]) == ["h1", "h2", "h3"]
    assert sorted(view.host for view in made[3:]) == ["h1", "h2", "h3"]
    assert why(pool, made[0].id).endswith("; apart from others of web")
    assert why(pool, made[5].id).endswith("; beside 1 of web, as no other host has room")
    pool.end()


def test_others_groups_and_other_tenants_are_no_neighbours() -> None:
    pool = pool_of(8000, 8000)
    first = attach(pool, WEB)
    alike = attach(pool, Neighbours("batch"))
    theirs = attach(pool, WEB, tenant="other")
    assert {alike.host, theirs.host} == {first.host}
    assert attach(pool, WEB).host != first.host
    pool.end()


def test_a_strict_group_is_refused_where_only_its_own_have_room() -> None:
    pool = pool_of(8000, 1000)
    attach(pool, STRICT)
    attach(pool, STRICT)
    pool.ask("attach", type="cpu.1", policy=InstancePolicy(neighbours=STRICT))
    refused = pool.failure()
    assert refused.reason == "NO_DEVICE"
    assert refused.message == ("no back-end has room for cpu.1 apart from others of web now")
    assert refused.hint == "without --strict it is placed elsewhere"
    assert attach(pool, WEB).host == "h1"
    pool.end()


def test_what_no_host_has_is_refused_for_that_whatever_was_said_of_neighbours() -> None:
    pool = pool_of(2000)
    for said in (WEB, STRICT, Neighbours(near=attach(pool, WEB).id, strict=True)):
        pool.ask("attach", type="cpu.4", policy=InstancePolicy(neighbours=said))
        assert pool.failure().message == "cpu.4: no back-end has more than 2 to lend"
    pool.end()


def test_near_is_on_the_same_host_as_long_as_there_is_room() -> None:
    pool = pool_of(8000, 2000)
    attach(pool, WEB, "cpu.2")
    anchor = attach(pool, WEB)
    assert anchor.host == "h1"
    other = attach(pool, Neighbours(near=anchor.id), "cpu.4")
    assert (other.host, why(pool, other.id).split("; ")[-1]) == ("h1", f"near {anchor.id}")
    pool.end()


def test_near_goes_elsewhere_without_room_unless_it_is_strict() -> None:
    pool = pool_of(1000, 4000)
    anchor = attach(pool, Neighbours())
    assert anchor.host == "h1"
    far = attach(pool, Neighbours(near=anchor.id))
    assert far.host == "h2"
    assert why(pool, far.id).endswith(f"; not near {anchor.id}, where there is no room")
    strict = InstancePolicy(neighbours=Neighbours(near=anchor.id, strict=True))
    pool.ask("attach", type="cpu.1", policy=strict)
    assert pool.failure().message == f"no back-end has room for cpu.1 near {anchor.id} now"
    pool.ask("stop", anchor.id)
    pool.deliver()
    pool.view()
    pool.published()
    pool.ask("attach", type="cpu.1", policy=strict)
    assert pool.failure().message.endswith(f"near {anchor.id}, which is on no host now")
    pool.end()


def test_what_isnt_there_or_isnt_theirs_has_nobody_near_it() -> None:
    pool = pool_of(8000)
    theirs = attach(pool, WEB, tenant="other").id
    for near in (theirs, "ei-gone"):
        policy = InstancePolicy(neighbours=Neighbours(near=near))
        pool.ask("create", type="cpu.1", policy=policy)
        refused = pool.failure()
        assert (refused.reason, refused.message) == ("NOT_FOUND", f"there is no instance '{near}'")
    pool.end()


def test_a_group_stays_apart_as_its_hosts_drain() -> None:
    pool = pool_of(2000, 2000, 2000)
    made = [attach(pool, STRICT) for _ in range(2)]
    (free,) = {"h1", "h2", "h3"} - {view.host for view in made}
    left = made[0].host
    pool.shell.feed(OpRequested(OpVerb.DRAIN, "", "ops", op_id(900), host=left))
    pool.deliver()
    lease = pool.shell.state.live_lease(made[0].id)
    assert lease is not None
    assert lease.host == free
    pool.shell.feed(OpRequested(OpVerb.DRAIN, "", "ops", op_id(901), host=free))
    pool.deliver()
    stuck = pool.shell.state.live_lease(made[0].id)
    assert stuck is not None
    assert stuck.stuck is not None
    assert (stuck.host, stuck.stuck.why) == (
        free,
        "NO_DEVICE: no back-end has room for cpu.1 apart from others of web now",
    )


def test_the_same_op_id_with_other_neighbours_is_another_request() -> None:
    pool = pool_of(8000)
    pool.ask("create", type="cpu.1", policy=InstancePolicy(neighbours=WEB), op=op_id(5))
    pool.view()
    pool.ask("create", type="cpu.1", policy=InstancePolicy(neighbours=STRICT), op=op_id(5))
    assert pool.failure().reason == "IDEMPOTENCY_MISMATCH"
    pool.end()


def test_records_of_before_neighbours_are_read() -> None:
    pool = pool_of(8000)
    record = pool.instance(attach(pool, WEB).id)
    assert from_json(InstanceRecord, to_json(record)) == record
    said = ',"neighbours":{"spread":"web","near":"","strict":false}'
    old = from_json(InstanceRecord, to_json(record).replace(said, ""))
    assert old.policy.neighbours == Neighbours()
    pool.end()
