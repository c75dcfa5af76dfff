"""What `auto` takes, by profiles and prices, and what is kept of why."""

from __future__ import annotations

from dataclasses import replace

from eais.device_type import DeviceKind
from eais.instance_policy import InstancePolicy
from eais.tolerance import Precision, Tolerance
from eais_pool.brain.events import ModelMeasured, SessionsChanged
from eais_pool.brain.host_records import ModelLoad
from eais_pool.brain.loads import LoadsReported
from eais_pool.brain.quotas import Quotas
from eais_pool.brain.records import Failure, LeaseKey
from eais_pool.brain.view_records import InstanceView
from eais_pool.policy.profiles import Profile, ProfileKey
from eais_pool.testing import FakeHost, device
from tests.unit.pool.rig import SETTINGS, Pool

DIGEST = "ab" * 32
CPU = replace(
    device("cpu0", "cpu", 8000), granularity_milli=1000, model="some CPU", simulated=False
)
GPU = replace(device("gpu0", "gpu", 1000), model="some GPU", simulated=False)
FIFTY_MS = InstancePolicy(slo_p99_us=50_000, rate_per_s=5)


def measured(device_model: str, kind: DeviceKind, share: int, seconds: float) -> Profile:
    """A batch of n takes n × `seconds`."""
    key = ProfileKey(DIGEST, device_model, share, "onnxruntime", Precision.FP32)
    return Profile.of(key, kind, {n: [n * seconds] * 50 for n in (1, 8)})


SLOW_CPU = [measured("some CPU", DeviceKind.CPU, n * 1000, 0.04 / n) for n in (1, 2, 4, 8)]
FAST_GPU = [measured("some GPU", DeviceKind.GPU, n, 0.001 * 1000 / n) for n in (125, 1000)]


def pool_of(*devices: object, **settings: object) -> Pool:
    host = FakeHost("h1", devices or (CPU, GPU))  # type: ignore[arg-type]
    return Pool(host, settings=replace(SETTINGS, **settings))  # type: ignore[arg-type]


def known(pool: Pool, *profiles: Profile) -> None:
    """The tenant had a session of the model, and the pool has these profiles of it."""
    made = pool.attached("cpu.1")
    pool.shell.feed(SessionsChanged(*LeaseKey("h1", made.id, 1), ("spec",), (DIGEST,)))
    pool.ask("detach", made.id)
    pool.deliver()
    pool.answer()
    pool.published()
    pool.shell.feed(ModelMeasured(profiles))


def attached(pool: Pool, policy: InstancePolicy) -> tuple[InstanceView, tuple[str, int]]:
    pool.ask("attach", type="auto", policy=policy)
    pool.deliver()
    view = pool.view()
    (worker,) = view.workers
    return view, (worker.kind, worker.share_milli)


def why(pool: Pool, view: InstanceView) -> str:
    lease = pool.shell.state.live_lease(view.id)
    assert lease is not None
    return lease.why


def test_without_a_profile_a_core_is_taken_until_something_is_measured() -> None:
    pool = pool_of()
    view, taken = attached(pool, InstancePolicy())
    assert taken == ("cpu", 1000)
    assert why(pool, view) == "cpu.1 at 0.02/h, the cheapest, until something is measured"
    pool.published()
    pool.end()


def test_the_cheapest_that_meets_the_slo_is_taken_and_says_why() -> None:
    pool = pool_of()
    known(pool, *SLOW_CPU, *FAST_GPU)
    view, taken = attached(pool, FIFTY_MS)
    assert taken == ("cpu", 2000)
    said = why(pool, view)
    assert said.startswith("cpu.2 meets 50 ms at 5/s at 0.04/h; gpu.1-8 would cost 0.312/h")
    assert said.endswith(f"for model {DIGEST[:12]}")
    lease = pool.shell.state.live_lease(view.id)
    assert lease is not None
    (slow,) = [each for each in lease.weighed if each.startswith("cpu.1 ")]
    assert "too-slow" in slow
    pool.published()
    pool.end()


def test_a_tight_slo_takes_an_accelerator() -> None:
    pool = pool_of()
    known(pool, *SLOW_CPU, *FAST_GPU)
    _, taken = attached(pool, InstancePolicy(slo_p99_us=5_000))
    assert taken[0] == "gpu"


def test_the_board_is_taken_that_has_the_models_image_loaded() -> None:
    board = replace(GPU, kind="fpga", model="a board", granularity_milli=1000)
    board = replace(board, runtimes=("role/fp32",))
    empty = replace(board, id="fpga0", loads=(ModelLoad(DIGEST, 3000),))
    loaded = replace(board, id="fpga1", loads=(ModelLoad(DIGEST, 3000, 1000),))
    pool = pool_of(CPU, empty, loaded)
    key = ProfileKey(DIGEST, "a board", 1000, "role", Precision.FP32)
    known(pool, *SLOW_CPU, Profile.of(key, DeviceKind.FPGA, {1: [0.001] * 50}))
    view, taken = attached(pool, InstancePolicy(slo_p99_us=3_000))
    assert taken[0] == "fpga"
    assert view.workers[0].device == "fpga1"
    assert "/h, the model's image is loaded there" in why(pool, view)
    pool.published()
    last, _ = attached(pool, InstancePolicy(slo_p99_us=3_000))
    assert last.workers[0].device == "fpga0"
    assert "/h, ready in 3 s" in why(pool, last)
    lease = pool.shell.state.live_lease(last.id)
    assert lease is not None
    assert any(each.endswith("; ready in 3 s") for each in lease.weighed)
    pool.published()
    pool.shell.feed(LoadsReported("h1", "fpga0", ()))
    assert pool.shell.state.hosts["h1"].devices[1].loads == ()
    pool.shell.feed(LoadsReported("h1", "fpga7", ()))
    pool.end()


def test_a_price_cap_holds_even_where_nothing_within_it_does() -> None:
    pool = pool_of()
    known(pool, *SLOW_CPU, *FAST_GPU)
    capped = InstancePolicy(slo_p99_us=5_000, price_cap_per_h=0.1)
    view, taken = attached(pool, capped)
    assert taken == ("cpu", 4000)
    assert why(pool, view).startswith("best effort: nothing meets 5 ms within 0.1/h")
    pool.ask("attach", type="auto", policy=InstancePolicy(price_cap_per_h=0.001))
    assert pool.failure().reason == "ARGUMENT"
    pool.ask("attach", type="gpu.1", policy=InstancePolicy(price_cap_per_h=0.1))
    assert "gpu.1 costs 2.5/h, the cap is 0.1/h" in pool.failure().message


def test_another_front_ends_model_says_nothing_of_mine() -> None:
    pool = pool_of()
    known(pool, *SLOW_CPU, *FAST_GPU)
    pool.ask("attach", type="auto", policy=FIFTY_MS, frontend="other")
    pool.deliver()
    assert "until something is measured" in why(pool, pool.view())


def test_real_devices_go_before_simulated_ones_of_equal_cost() -> None:
    simulated = replace(GPU, id="a-sim", model="a simulated one", simulated=True)
    pool = pool_of(simulated, GPU)
    view, _ = attached(pool, InstancePolicy())
    assert view.workers[0].device == "gpu0"
    pool = pool_of(simulated)
    view, _ = attached(pool, InstancePolicy())
    assert why(pool, view).endswith("(simulated)")


def test_a_full_cpu_leaves_the_next_cheapest() -> None:
    pool = pool_of()
    pool.attached("cpu.8")
    assert attached(pool, InstancePolicy())[1] == ("gpu", 125)
    pool = pool_of(CPU, GPU, quotas=Quotas({"cpu": 500}))
    assert attached(pool, InstancePolicy())[1] == ("gpu", 125)


def test_without_room_it_is_said_when_to_ask_again() -> None:
    pool = pool_of(GPU)
    pool.attached("gpu.1")
    for policy in (InstancePolicy(), InstancePolicy(price_cap_per_h=9)):
        pool.ask("attach", type="auto", policy=policy)
        failure = pool.failure()
        assert (failure.reason, failure.metadata) == ("NO_DEVICE", (("push_back_ms", "1000"),))


def test_exact_leaves_the_reference_alone() -> None:
    odd = replace(CPU, runtimes=("openvino/fp32",))
    pool = pool_of(odd, GPU)
    exact = InstancePolicy(tolerance=Tolerance.EXACT)
    assert attached(pool, exact)[1][0] == "gpu"


def test_what_was_weighed_is_that_of_the_shares_it_has_now() -> None:
    pool = pool_of()
    known(pool, *SLOW_CPU, *FAST_GPU)
    view, _ = attached(pool, FIFTY_MS)
    for wanted, is_weighed in (("gpu.1-2", False), ("auto", True)):
        pool.ask("resize", view.id, type=wanted)
        pool.deliver()
        pool.view()
        pool.published()
        lease = pool.shell.state.live_lease(view.id)
        assert lease is not None
        assert bool(lease.weighed) is is_weighed
    pool.end()


# A choice that was provisional


def provisional(pool: Pool, policy: InstancePolicy) -> InstanceView:
    """An instance that got a core before anything was known, with a session of the model."""
    view, taken = attached(pool, policy)
    assert taken == ("cpu", 1000)
    key = LeaseKey("h1", view.id, 1)
    pool.shell.feed(SessionsChanged(*key, ("spec",), (DIGEST,)))
    pool.published()
    return view


def shares(pool: Pool, instance: str) -> list[tuple[str, int]]:
    lease = pool.shell.state.live_lease(instance)
    assert lease is not None
    return [(share.device, share.milli) for share in lease.shares]


def test_the_first_profile_moves_an_instance_that_needs_more_once() -> None:
    pool = pool_of()
    view = provisional(pool, FIFTY_MS)
    pool.shell.feed(ModelMeasured((*SLOW_CPU, *FAST_GPU)))
    pool.deliver()
    assert shares(pool, view.id) == [("cpu0", 2000)]
    assert pool.instance(view.id).type == "auto"
    assert why(pool, view).startswith("cpu.2 meets 50 ms at 5/s at 0.04/h")
    # What is measured later doesn't move it again.
    quick = [measured("some CPU", DeviceKind.CPU, n * 1000, 0.001) for n in (1, 2, 4, 8)]
    pool.shell.feed(ModelMeasured(tuple(quick * 20)))
    pool.deliver()
    assert shares(pool, view.id) == [("cpu0", 2000)]
    pool.ask("detach", view.id)
    pool.deliver()
    pool.shell.said.clear()
    pool.end()


def test_an_instance_that_does_already_or_has_no_slo_stays() -> None:
    for policy, profiles in (
        (InstancePolicy(slo_p99_us=500_000), SLOW_CPU),
        (InstancePolicy(), SLOW_CPU),
        (FIFTY_MS, [measured("some CPU", DeviceKind.CPU, 1000, 5.0)]),
    ):
        pool = pool_of(CPU)
        view = provisional(pool, policy)
        pool.shell.feed(ModelMeasured(tuple(profiles)))
        assert shares(pool, view.id) == [("cpu0", 1000)]
        assert why(pool, view).startswith("it stays")
        # It was the first measuring that counted.
        pool.shell.feed(ModelMeasured((*SLOW_CPU, *FAST_GPU)))
        assert shares(pool, view.id) == [("cpu0", 1000)]
        pool.end()


def test_what_others_have_is_no_room_but_its_own_is() -> None:
    """Its core, and another's, are all that the device has."""
    pool = pool_of(replace(CPU, capacity_milli=2000, share_limit_milli=2000), GPU)
    view = provisional(pool, replace(FIFTY_MS, slo_p99_us=500_000))
    other = pool.attached("cpu.1")
    pool.shell.feed(ModelMeasured((*SLOW_CPU, *FAST_GPU)))
    assert shares(pool, view.id) == [("cpu0", 1000)]
    assert why(pool, view).startswith("it stays: cpu.1 meets 500 ms")
    pool.ask("detach", other.id)
    pool.deliver()


def test_nothing_known_of_what_it_has_is_no_reason_to_leave() -> None:
    pool = pool_of()
    view = provisional(pool, FIFTY_MS)
    pool.shell.feed(ModelMeasured(tuple(FAST_GPU)))
    pool.deliver()
    assert shares(pool, view.id) == [("cpu0", 1000)]
    assert why(pool, view) == "cpu.1 at 0.02/h, the cheapest, until something is measured"
    # When it is known, the choice is made.
    pool.shell.feed(ModelMeasured(tuple(SLOW_CPU)))
    pool.deliver()
    assert shares(pool, view.id) == [("cpu0", 2000)]


def test_an_instance_that_cannot_be_moved_stays_as_it_is() -> None:
    pool = pool_of(CPU)
    view = provisional(pool, FIFTY_MS)
    pool.hosts["h1"].failure = Failure("MODEL_MEMORY", "no")
    pool.shell.feed(ModelMeasured(tuple(SLOW_CPU)))
    pool.deliver()
    assert shares(pool, view.id) == [("cpu0", 1000)]
    pool.hosts["h1"].failure = None
    pool.shell.feed(ModelMeasured(tuple(SLOW_CPU)))
    pool.deliver()
    assert shares(pool, view.id) == [("cpu0", 1000)]


def test_a_move_waits_for_nobody_who_wants_the_instance_gone() -> None:
    pool = pool_of()
    view = provisional(pool, FIFTY_MS)
    pool.shell.feed(ModelMeasured((*SLOW_CPU, *FAST_GPU)))
    pool.ask("detach", view.id)
    pool.deliver()
    assert pool.instance(view.id).state.value == "DELETED"
