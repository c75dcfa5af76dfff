"""Devices that are accused, checked, and found to be bad or not."""

from __future__ import annotations

from dataclasses import replace

from eais_server.supervision import actions as do
from eais_server.supervision import events as on
from eais_server.supervision.device import (
    DEVICE_TABLE,
    Device,
    DeviceEvent,
    DeviceHealth,
)
from tests.unit.server.supervision_bench import (
    EI,
    KILL,
    SEGV,
    TENANT,
    Bench,
    deaths,
    dies,
    models,
)

GPU = "gpu0"


def bench_with(*sessions: str, hosted: bool = False) -> tuple[Bench, int]:
    """A lease of one share of a watched device, whose worker serves."""
    bench = Bench()
    bench.state.devices[GPU] = Device(GPU, hosted=hosted)
    bench.tell(on.Tick())
    bench.spare()
    slots = (on.SlotAsked(1, device=GPU),)
    bench.tell(on.LeaseTaken(EI, TENANT, 7, slots, models(*sessions)))
    return bench, bench.bring_up()


def health(bench: Bench) -> DeviceHealth:
    return bench.state.devices[GPU].health


def checker(bench: Bench) -> int:
    """The worker that makes a check now."""
    bench.after(0.01)
    bench.spare()
    bench.after(0.01)
    found = bench.state.devices[GPU].checker
    assert found
    return found


def passes(bench: Bench) -> list[do.Action]:
    worker = checker(bench)
    found = bench.tell(on.Checked(worker))
    dies(bench, worker, KILL)
    return found


def fails(bench: Bench, why: str = "wrong") -> list[do.Action]:
    worker = checker(bench)
    found = bench.tell(on.Checked(worker, why))
    dies(bench, worker, KILL)
    return found


def hangs(bench: Bench, worker: int, running: str) -> list[do.Action]:
    """The worker says that a run of it doesn't end, and is killed."""
    bench.tell(on.WorkerStuck(worker))
    return dies(bench, worker, KILL, running=(running,))


def loses(bench: Bench, worker: int) -> None:
    bench.tell(on.WorkerLostDevice(worker, "it vanished"))
    dies(bench, worker, KILL)


def comes_back(bench: Bench) -> int:
    """The instance's worker serves again."""
    while not bench.state.leases[EI].slots[1].worker:
        bench.spare()
        bench.after(1.0)
    return bench.bring_up()


def test_every_state_takes_every_event() -> None:
    after = {(s, e): DEVICE_TABLE.after(s, e) for s in DeviceHealth for e in DeviceEvent}
    assert {after[s, DeviceEvent.PASSED] for s in DeviceHealth} == {DeviceHealth.HEALTHY}
    assert {after[s, DeviceEvent.FAILED] for s in DeviceHealth} == {DeviceHealth.BAD}


def test_a_worker_whose_device_failed_ends_and_is_not_replaced_before_a_check() -> None:
    bench, worker = bench_with("a")
    found = bench.tell(on.WorkerLostDevice(worker, "it vanished"))
    assert found[0] == do.KeepHealth(GPU)
    assert do.Kill(worker, "its device failed") in found
    assert health(bench) is DeviceHealth.SUSPECT
    dies(bench, worker, KILL)
    made = checker(bench)
    assert do.Check(made, GPU) in bench.said
    bench.after(2.0)
    assert not bench.state.leases[EI].slots[1].worker


def test_a_device_that_passes_serves_again() -> None:
    bench, worker = bench_with("a")
    loses(bench, worker)
    assert do.KeepHealth(GPU) in passes(bench)
    assert health(bench) is DeviceHealth.HEALTHY
    assert comes_back(bench)
    assert not bench.state.quarantine.records()


def test_a_device_whose_check_fails_is_bad_and_nobody_is_adopted_for_it() -> None:
    bench, worker = bench_with("a")
    loses(bench, worker)
    fails(bench, "41, not 42")
    assert (health(bench), bench.state.devices[GPU].why) == (DeviceHealth.BAD, "41, not 42")
    for _ in range(10):
        bench.after(10.0)
        bench.spare()
    assert not bench.state.leases[EI].slots[1].worker
    assert bench.state.devices[GPU].checker == 0
    assert bench.state.leases[EI].sessions.keys() == {"a"}


def test_all_workers_of_a_bad_device_end_at_once() -> None:
    bench, worker = bench_with("a")
    bench.tell(on.CheckAsked(GPU))
    found = fails(bench)
    assert do.Kill(worker, f"{GPU} is bad") in found


def test_a_hang_is_the_models_doing_if_the_device_passes() -> None:
    bench, worker = bench_with("a")
    hangs(bench, worker, "a")
    assert (health(bench), deaths(bench)) == (DeviceHealth.SUSPECT, 0)
    passes(bench)
    assert (health(bench), deaths(bench)) == (DeviceHealth.HEALTHY, 1)
    hangs(bench, comes_back(bench), "a")
    found = passes(bench)
    assert any(isinstance(action, do.ForgetSession) for action in found)
    assert deaths(bench) == 2


def test_a_hang_is_nobodys_doing_if_the_device_is_bad() -> None:
    bench, worker = bench_with("a")
    hangs(bench, worker, "a")
    fails(bench)
    assert not bench.state.quarantine.records()
    assert bench.state.leases[EI].sessions.keys() == {"a"}


def test_a_crash_is_the_models_doing_and_no_reason_for_a_check() -> None:
    bench, worker = bench_with("a")
    dies(bench, worker, SEGV, running=("a",))
    assert (health(bench), deaths(bench)) == (DeviceHealth.HEALTHY, 1)


def test_a_hang_on_a_device_that_is_not_watched_counts_at_once() -> None:
    bench, worker = bench_with("a")
    del bench.state.devices[GPU]
    hangs(bench, worker, "a")
    assert deaths(bench) == 1


def test_a_check_without_an_answer_is_a_failed_one() -> None:
    bench, worker = bench_with("a")
    loses(bench, worker)
    made = checker(bench)
    for _ in range(11):
        found = bench.after(1.0)
        if any(isinstance(action, do.Kill) for action in found):
            break
    assert health(bench) is DeviceHealth.BAD
    assert "within 10 s" in bench.state.devices[GPU].why
    assert "it vanished" in bench.state.devices[GPU].why
    dies(bench, made, KILL)


def test_a_check_that_crashes_is_a_failed_one() -> None:
    bench, worker = bench_with("a")
    loses(bench, worker)
    dies(bench, checker(bench), SEGV)
    assert health(bench) is DeviceHealth.BAD
    assert "SIGSEGV" in bench.state.devices[GPU].why


def test_a_check_that_somebody_ended_is_made_again_but_not_for_ever() -> None:
    bench, worker = bench_with("a")
    loses(bench, worker)
    for _ in range(3):
        dies(bench, checker(bench), KILL)
        assert health(bench) is DeviceHealth.SUSPECT
    dies(bench, checker(bench), KILL)
    assert health(bench) is DeviceHealth.BAD


def test_errors_that_come_again_and_again_make_a_device_bad_whatever_its_checks_say() -> None:
    bench, worker = bench_with("a")
    for _ in range(2):
        loses(bench, worker)
        passes(bench)
        worker = comes_back(bench)
    loses(bench, worker)
    assert health(bench) is DeviceHealth.BAD
    assert "3 times" in bench.state.devices[GPU].why


def test_errors_long_ago_do_not_count() -> None:
    bench, worker = bench_with("a")
    for _ in range(5):
        loses(bench, worker)
        passes(bench)
        worker = comes_back(bench)
        bench.after(400.0)
    assert health(bench) is DeviceHealth.HEALTHY


def test_an_operators_check_brings_a_bad_device_back() -> None:
    bench, worker = bench_with("a")
    loses(bench, worker)
    fails(bench)
    bench.tell(on.CheckAsked(GPU))
    assert do.KeepHealth(GPU) in fails(bench)
    assert health(bench) is DeviceHealth.BAD
    bench.tell(on.CheckAsked(GPU))
    passes(bench)
    assert health(bench) is DeviceHealth.HEALTHY
    # What was before is over.
    for _ in range(2):
        loses(bench, comes_back(bench))
        passes(bench)
    assert health(bench) is DeviceHealth.HEALTHY


def test_a_check_of_a_device_that_is_not_here_says_nothing() -> None:
    bench, _ = bench_with("a")
    assert not bench.tell(on.CheckAsked("gpu9"), on.DeviceFailed("gpu9", "gone"))


def test_a_load_that_the_device_fails_costs_no_session() -> None:
    bench, worker = bench_with("a")
    bench.tell(on.LoadAsked(EI, "b", "model-b"))
    lost = on.Failure("DEVICE_LOST", "it vanished")
    found = bench.tell(on.LoadRefused(worker, "b", lost))
    assert do.Kill(worker, "its device failed") in found
    assert health(bench) is DeviceHealth.SUSPECT
    assert bench.state.leases[EI].sessions.keys() == {"a", "b"}


def test_a_grant_on_a_device_that_turns_out_bad_fails() -> None:
    bench = Bench()
    bench.state.devices[GPU] = Device(GPU)
    bench.tell(on.Tick())
    bench.spare()
    bench.tell(on.LeaseTaken(EI, TENANT, 7, (on.SlotAsked(1, device=GPU),)))
    bench.tell(on.DeviceFailed(GPU, "gone"))
    fails(bench)
    (worker,) = (w.id for w in bench.state.workers.values() if w.seat)
    released = [a for a in dies(bench, worker, KILL) if isinstance(a, do.Release)]
    assert released[0].failure is not None
    assert released[0].failure.reason == "DEVICE_LOST"


def test_a_share_that_was_added_of_a_bad_device_fails() -> None:
    bench, _ = bench_with("a")
    bench.state.devices["gpu1"] = replace(Device("gpu1"), health=DeviceHealth.BAD, why="old")
    asked = on.SlotAsked(2, proven=False, device="gpu1")
    found = bench.tell(on.SlotsAdded(EI, (asked,)))
    assert isinstance(found[0], do.SlotFailed)
    assert found[0].failure.reason == "DEVICE_LOST"
    assert do.SlotGone(EI, 2) in found


def test_the_process_that_serves_a_device_is_what_is_checked() -> None:
    bench, worker = bench_with("a", hosted=True)
    loses(bench, worker)
    assert do.CheckHosted(GPU) in bench.said
    found = bench.tell(on.HostedChecked(GPU))
    assert do.KeepHealth(GPU) in found
    assert health(bench) is DeviceHealth.HEALTHY
    assert comes_back(bench)


def test_no_check_is_begun_by_a_listener_that_ends() -> None:
    bench, _ = bench_with("a")
    bench.tell(on.ShutdownAsked(1.0))
    assert not [a for a in bench.tell(on.CheckAsked(GPU)) if isinstance(a, do.Check)]
