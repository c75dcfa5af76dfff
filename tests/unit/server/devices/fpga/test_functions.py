"""The two functions of a board, without a process: what each verb does, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from eais.errors import make_error
from eais.rpc.v1 import fpga_pb2
from eais_server.devices.fpga import user
from eais_server.devices.fpga.dma import MAX_BUFFERS, PAGE_BYTES, TURNOVER
from eais_server.devices.fpga.state import Attach, Detach
from tests.unit.server.devices.fpga.rig import AN_FD, Bench, Doubler, floats, image

X = {"x": floats(1, 2, 3)}


def test_a_run_from_buffers_to_buffers() -> None:
    bench = Bench()
    digest = bench.ready()
    run = bench.start(0, digest, X).number
    assert bench.state(0).state == "RUNNING"
    bench.compute()
    done = bench.use(0, "wait", run=run, timeout_ms=0).done
    np.testing.assert_array_equal(bench.output(0, done)["y"], floats(2, 4, 6))
    assert bench.state(0).state == "READY"
    assert (bench.state(0).registers.runs, bench.state(0).registers.failed) == (1, 0)


def test_who_waits_is_answered_when_the_run_is_over_or_the_time_is() -> None:
    bench = Bench()
    bench.next_image = image(service=(2_000_000, 0)), Doubler()
    run = bench.start(0, bench.ready(), X).number
    wait = fpga_pb2.UserRequest(wait=fpga_pb2.Wait(run=run, timeout_ms=500)).SerializeToString()
    assert bench.raw_use(0, wait) is None
    bench.at(0.4)
    assert bench.answer(0) is None
    bench.at(0.5)
    early = bench.answer(0)
    assert early is not None
    assert early.done.running
    # It was computed at once, but its stated time isn't over.
    bench.compute()
    assert bench.raw_use(0, wait) is None
    assert user.next_change(bench.board.slots[0]) == 1.0
    bench.at(1.0)
    assert bench.answer(0) is not None
    bench.use(0, "status")
    assert bench.raw_use(0, wait) is None
    assert user.next_change(bench.board.slots[0]) == 1.5
    bench.at(2.0)
    late = bench.answer(0)
    assert late is not None
    assert late.done.output_bytes
    assert bench.state(0).registers.busy_us == 2_000_000


def test_a_run_is_waited_for_by_its_number_until_the_next_begins() -> None:
    bench = Bench()
    digest = bench.ready()
    for number in (1, 2):
        assert bench.start(0, digest, X).number == number
        bench.compute()
        for _ in range(2):
            assert bench.use(0, "wait", run=number, timeout_ms=0).done.output_bytes
    for other in (0, 1, 3):
        assert bench.use(0, "wait", run=other, timeout_ms=0).error.reason == "NOT_FOUND"


def test_a_wait_is_bounded() -> None:
    bench = Bench()
    run = bench.start(0, bench.ready(), X).number
    wait = fpga_pb2.Wait(run=run, timeout_ms=2**32 - 1)
    asked = fpga_pb2.UserRequest(wait=wait).SerializeToString()
    assert bench.raw_use(0, asked) is None
    bench.at(user.MAX_WAIT_MS / 1000)
    assert bench.answer(0) is not None


def test_rows_of_the_first_input_count() -> None:
    bench = Bench()
    bench.next_image = image(service=(0, 1_000_000)), Doubler()
    bench.start(0, bench.ready(), {"other": floats(1), "x": np.zeros((3, 2), np.float32)})
    bench.compute()
    assert user.next_change(bench.board.slots[0]) == 3.0


def test_what_the_role_refuses_is_the_waits_answer_and_the_region_goes_on() -> None:
    bench = Bench()
    digest = bench.ready()
    run = bench.start(0, digest, {"z": floats(1)}).number
    bench.compute()
    assert bench.use(0, "wait", run=run, timeout_ms=0).error.reason == "INPUT_MISSING"
    assert (bench.state(0).state, bench.state(0).registers.failed) == ("READY", 1)
    assert bench.start(0, digest, X).number == run + 1


def test_an_output_that_is_too_large_says_what_it_needs() -> None:
    bench = Bench()
    digest = bench.ready()
    big = {"x": np.ones(1024, np.float32)}
    run = bench.start(0, digest, big, room=64)
    bench.compute()
    error = bench.use(0, "wait", run=run.number, timeout_ms=0).error
    assert error.reason == "OUTPUT_TOO_LARGE"
    assert int(error.metadata["need"]) > 4096


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"image": b"other"}, "IMAGE_MISSING"),
        ({"input": 9}, "NOT_FOUND"),
        ({"output": 9}, "NOT_FOUND"),
        ({"input_bytes": 8193}, "ARGUMENT"),
        ({"input_bytes": 2**63}, "ARGUMENT"),
        ({"values_bytes": 5}, "MALFORMED_MESSAGE"),
        ({"values_bytes": 2**40}, "INPUT_SIZE"),
        ({"input_bytes": 64}, "INPUT_SIZE"),
    ],
)
def test_a_doorbell_with_something_wrong(changes: dict[str, Any], reason: str) -> None:
    bench = Bench()
    digest = bench.ready()
    reply = bench.start(0, digest, {"x": np.ones(64, np.float32)}, **changes)
    assert reply.error.reason == reason
    assert bench.state(0).state == "READY"
    assert bench.computing == []


@pytest.mark.parametrize("verb", ["free", "write", "read", "start"])
def test_while_it_runs_nothing_that_a_run_looks_at_can_change(verb: str) -> None:
    bench = Bench()
    digest = bench.ready()
    bench.start(0, digest, X)
    fields: dict[str, Any] = {"buffer": 1}
    if verb == "start":
        fields = {"image": digest, "input": 1, "values_bytes": 18, "output": 2}
    assert bench.use(0, verb, **fields).error.reason == "WRONG_STATE"


@pytest.mark.parametrize("offset", [0, 1, 8192, 2**64 - 1])
@pytest.mark.parametrize("size", [1, 8192, 8193, 2**63])
def test_transfers_stay_inside_their_buffer(offset: int, size: int) -> None:
    bench = Bench()
    bench.ready()
    number = bench.allocate(0)
    fits = offset + size <= 8192
    for verb in ("write", "read"):
        reply = bench.use(0, verb, buffer=number, offset=offset, bytes=size)
        assert reply.error.reason == ("" if fits else "ARGUMENT")


def test_a_share_has_so_many_buffers_and_bytes_and_no_more() -> None:
    bench = Bench()
    bench.ready()
    half = len(bench.memory) // 2
    assert bench.use(0, "allocate", bytes=half + 1).error.reason == "QUOTA"
    assert bench.use(0, "allocate", bytes=2**63).error.reason == "QUOTA"
    assert bench.use(0, "allocate", bytes=0).error.reason == "ARGUMENT"
    first = bench.allocate(0, half)
    assert bench.use(0, "allocate", bytes=1).error.reason == "QUOTA"
    bench.use(0, "free", buffer=first)
    for _ in range(MAX_BUFFERS):
        bench.allocate(0, 1)
    assert bench.use(0, "allocate", bytes=1).error.reason == "QUOTA"


def test_memory_that_a_worker_keeps_after_it_freed_it_is_bounded_too() -> None:
    bench = Bench()
    bench.ready()
    half = len(bench.memory) // 2
    for _ in range(TURNOVER):
        bench.use(0, "free", buffer=bench.allocate(0, half))
    assert bench.use(0, "allocate", bytes=1).error.reason == "QUOTA"
    bench.manage("close_user", region=0)
    bench.manage("open_user", region=0, share="next")
    assert bench.allocate(0, half) == 1


def test_one_share_can_not_take_what_is_anothers_part() -> None:
    bench = Bench()
    bench.ready(0, "a")
    bench.ready(1, "b")
    half = len(bench.memory) // 2
    bench.allocate(0, half)
    assert bench.allocate(1, half)


def test_a_host_without_memory_is_a_quota_and_nothing_is_kept() -> None:
    bench = Bench()
    bench.ready()

    def none_left(size: int) -> Any:
        raise OSError(12, "Cannot allocate memory")

    bench.board.host_memory = none_left
    assert bench.use(0, "allocate", bytes=1).error.reason == "QUOTA"
    assert bench.board.arena.used == 0


def test_buffers_are_zeroed_before_another_share_has_them() -> None:
    bench = Bench()
    bench.ready(0, "first")
    secret = bench.allocate(0, 3 * PAGE_BYTES)
    bench.hosts[-1].view[:] = b"secret" * (3 * PAGE_BYTES // 6)
    bench.use(0, "write", buffer=secret, offset=0, bytes=3 * PAGE_BYTES)
    assert b"secret" in bench.memory
    first = bench.hosts[-1]
    bench.manage("close_user", region=0)
    assert not any(bench.memory)
    assert not first.open
    bench.ready(1, "second")
    number = bench.allocate(1, 3 * PAGE_BYTES)
    bench.use(1, "read", buffer=number, offset=0, bytes=3 * PAGE_BYTES)
    assert bench.hosts[-1] is not first
    assert not any(bench.hosts[-1].view)


@pytest.mark.parametrize("how", ["free", "reset", "close_user"])
def test_whatever_takes_a_buffer_away_zeroes_it(how: str) -> None:
    bench = Bench()
    bench.ready()
    number = bench.allocate(0)
    bench.hosts[-1].view[:] = b"s" * 8192
    bench.use(0, "write", buffer=number, offset=0, bytes=8192)
    assert any(bench.memory)
    if how == "free":
        bench.use(0, how, buffer=number)
    else:
        bench.manage(how, region=0)
    assert not any(bench.memory)
    assert bench.board.arena.used == 0


@pytest.mark.parametrize("how", ["reset", "close_user"])
def test_what_a_run_still_looks_at_is_nobodys_until_it_is_over(how: str) -> None:
    bench = Bench()
    digest = bench.ready()
    bench.start(0, digest, X)
    used = bench.board.arena.used
    bench.manage(how, region=0)
    assert bench.board.arena.used == used
    bench.compute()
    assert bench.board.arena.used == 0
    assert not any(bench.memory)
    assert bench.state(0).state == ("EMPTY" if how == "reset" else "READY")


def test_a_run_whose_share_ended_writes_nothing_anywhere() -> None:
    """Its stated time ends after its buffers were given to another share."""
    bench = Bench()
    bench.next_image = image(service=(1_000_000, 0)), Doubler()
    bench.start(0, bench.ready(), X)
    bench.manage("close_user", region=0)
    bench.compute()
    assert bench.manage("open_user", region=0, share="b").error.reason == "BUSY"
    bench.next_image = image(), Doubler()
    bench.ready(1, "other")
    bench.allocate(1, 8192)
    bench.at(1.0)
    assert not any(bench.memory)
    assert not bench.manage("open_user", region=0, share="b").HasField("error")
    assert bench.use(0, "status").status.registers == fpga_pb2.Registers()
    assert bench.use(0, "wait", run=1, timeout_ms=0).error.reason == "NOT_FOUND"


def test_a_share_sees_no_counters_of_the_one_before() -> None:
    bench = Bench()
    bench.start(0, bench.ready(), X)
    bench.compute()
    bench.manage("close_user", region=0)
    bench.manage("open_user", region=0, share="next")
    state = bench.use(0, "status").status
    assert state.registers == fpga_pb2.Registers()
    assert state.share == "next"
    assert bench.manage("read_state").board.memory_used_bytes == 0


def test_a_region_has_one_share_at_a_time() -> None:
    bench = Bench()
    bench.ready(0, "a")
    assert bench.manage("open_user", region=0, share="b").error.reason == "WRONG_STATE"
    assert bench.manage("close_user", region=0).region.share == ""
    assert bench.manage("open_user", region=0, share="b").region.share == "b"
    assert bench.others == [Attach(0, AN_FD), Detach(0), Attach(0, AN_FD)]


@pytest.mark.parametrize("share", ["", "a b", "x" * 129, "\n", "../x"])
def test_a_share_has_a_name(share: str) -> None:
    assert Bench().manage("open_user", region=0, share=share).error.reason == "NAME"


@pytest.mark.parametrize("verb", ["load", "reset", "open_user", "close_user", "inject"])
def test_management_of_a_region_that_is_not_there(verb: str) -> None:
    bench = Bench()
    fields = {"share": "a"} if verb == "open_user" else {}
    assert bench.manage(verb, region=2, **fields).error.reason == "NOT_FOUND"


def test_a_descriptor_comes_where_one_is_taken_and_nowhere_else() -> None:
    bench = Bench()
    for kind in ("load", "open_user", "read_state", "reset", "close_user", "inject"):
        asked = fpga_pb2.ManagementRequest()
        getattr(asked, kind).SetInParent()
        odd = None if kind in ("load", "open_user") else AN_FD
        reply = bench.raw_manage(asked.SerializeToString(), odd)
        assert reply.error.reason == "MALFORMED_MESSAGE"
        assert kind in reply.error.message


def test_an_image_that_is_refused_changes_nothing() -> None:
    bench = Bench()
    digest = bench.ready()
    bench.next_image = make_error("IMAGE_UNTRUSTED", "no")
    assert bench.manage("load", region=0).error.reason == "IMAGE_UNTRUSTED"
    run = bench.start(0, digest, X).number
    bench.compute()
    assert bench.use(0, "wait", run=run, timeout_ms=0).done.output_bytes


def test_the_scheduler_knows_when_a_region_is_ready() -> None:
    bench = Bench()
    bench.next_image = image(load_ms=800), Doubler()
    reply = bench.manage("load", region=1).region
    assert (reply.state, reply.ready_in_ms) == ("LOADING", 800)
    bench.at(0.3)
    assert bench.state(1).ready_in_ms == 500
    bench.manage("open_user", region=1, share="a")
    assert bench.use(1, "describe").error.reason == "WRONG_STATE"
    bench.at(0.8)
    assert (bench.state(1).state, bench.state(1).ready_in_ms) == ("READY", 0)
    assert [i.name for i in bench.use(1, "describe").signature.inputs] == ["x"]


def test_one_region_answers_while_the_other_is_reconfigured() -> None:
    bench = Bench()
    digest = bench.ready(1, "other")
    bench.ready(0)
    bench.next_image = image("next", load_ms=10_000), Doubler()
    bench.manage("load", region=0)
    for step in range(1, 6):
        run = bench.start(1, digest, {"x": floats(step)}).number
        bench.at(float(step))
        bench.compute()
        done = bench.use(1, "wait", run=run, timeout_ms=0).done
        assert bench.output(1, done)["y"] == [2 * step]
        assert bench.state(0).state == "LOADING"
    bench.at(10.0)
    assert bench.state(0).state == "READY"
    assert bench.state(1).registers.runs == 5
