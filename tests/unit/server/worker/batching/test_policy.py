"""How many calls run together: sizes tried, used, checked again, given up; and waiting for more."""

from __future__ import annotations

import pytest

from eais.rpc.v1 import value_pb2
from eais_server.worker.batching import policy as p
from eais_server.worker.batching.kinds import CallKind, Input
from eais_server.worker.batching.policy import SIZES, Policy

FLOAT = int(value_pb2.ElementType.FLOAT)


def kind(session: str = "s", elements: int = 4) -> CallKind:
    return CallKind(session, (), (Input("x", FLOAT, (1, elements)),))


KIND = kind()


def learnt(
    policy: Policy, *sizes: int, of: CallKind = KIND, alone_s: float = 1e-3, together: float = 0.5
) -> Policy:
    """These sizes give the same answers, in `together` of the time."""
    for size in sizes:
        together_s = together * size * alone_s
        policy.tried(of, size, same=True, alone_s=alone_s, together_s=together_s, now_s=0)
    return policy


def test_what_was_not_tried_runs_alone() -> None:
    policy = Policy()
    assert policy.may(KIND, 2, 0)
    assert policy.size(KIND, 64, 0) == 1
    assert policy.size(KIND, 64, 0) == 1


def test_sizes_are_tried_from_the_smallest_one_at_a_time_if_so_many_wait() -> None:
    policy = Policy()
    assert policy.to_try(KIND, 1, 0) == 0
    assert policy.to_try(KIND, 9, 0) == 2
    assert policy.to_try(KIND, 9, 0) == 0
    learnt(policy, 2)
    assert policy.to_try(KIND, 9, 0) == 4
    learnt(policy, 4)
    assert policy.to_try(KIND, 7, 0) == 0
    assert policy.to_try(KIND, 9, 0) == 8


def test_the_largest_size_that_as_many_wait_for_is_used() -> None:
    policy = learnt(Policy(), 2, 4, 16)
    assert [policy.size(KIND, waiting, 0) for waiting in (1, 2, 3, 4, 15, 16, 99)] == [
        1,
        2,
        2,
        4,
        4,
        16,
        16,
    ]


def test_a_size_whose_answers_differ_is_not_used_and_two_such_end_the_trials() -> None:
    policy = Policy()
    for size in (2, 4):
        assert policy.to_try(KIND, 64, 0) == size
        policy.tried(KIND, size, same=False, alone_s=0, together_s=0, now_s=0)
    assert policy.to_try(KIND, 64, 0) == 0
    assert policy.size(KIND, 64, 0) == 1
    assert not policy.may(KIND, 64, 0)


def test_what_was_found_useless_is_tried_again_later() -> None:
    policy = Policy()
    for size in (2, 4):
        policy.tried(KIND, size, same=False, alone_s=0, together_s=0, now_s=0)
    assert policy.to_try(KIND, 64, p.RETRY_S - 1) == 0
    assert policy.may(KIND, 64, p.RETRY_S + 1)
    assert policy.to_try(KIND, 64, p.RETRY_S + 1) == 2


def test_a_size_that_does_not_pay_is_given_up_once_it_was_measured() -> None:
    policy = learnt(Policy(), 2, together=0.99)
    for _ in range(p.MEASURED - 1):
        assert policy.size(KIND, 8, 0) == 2
        policy.took(KIND, 2, 2e-3)
    assert policy.size(KIND, 8, 0) == 1
    assert policy.to_try(KIND, 64, 0) == 4
    policy.tried(KIND, 4, same=False, alone_s=0, together_s=0, now_s=0)
    assert policy.to_try(KIND, 64, 0) == 0


def test_a_batch_takes_no_longer_than_others_can_wait() -> None:
    slow = learnt(Policy(), 2, 4, alone_s=p.MAX_BATCH_S / 2, together=0.75)
    assert slow.size(KIND, 4, 0) == 2
    assert slow.to_try(KIND, 64, 0) == 0
    aimed = learnt(Policy(slo_s=4e-3), 2, 4, 8)
    assert aimed.size(KIND, 8, 0) == 4


def test_a_batch_holds_no_more_bytes_than_it_may() -> None:
    large = kind(elements=p.MAX_BATCH_BYTES // 4 // 3)
    policy = learnt(Policy(), 2, 4, of=large)
    assert policy.size(large, 8, 0) == 2
    assert policy.to_try(kind(elements=p.MAX_BATCH_BYTES // 4), 8, 0) == 0


def test_what_a_batch_gave_is_checked_again_ever_more_seldom() -> None:
    policy = learnt(Policy(), 2)
    checks = [n for n in range(2, 4097) if policy.took(KIND, 2, 1e-3)]
    assert checks == [8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3072, 4096]
    policy.checked(KIND, 2, same=True, alone_s=1e-3)
    assert policy.size(KIND, 2, 0) == 2
    policy.checked(KIND, 2, same=False, alone_s=0)
    assert policy.size(KIND, 2, 0) == 1


def test_after_a_failure_calls_run_alone_for_longer_each_time() -> None:
    policy, now_s = learnt(Policy(), 2), 0.0
    for rest_s in (1.0, 2.0, 4.0):
        policy.failed(KIND, now_s)
        assert policy.size(KIND, 2, now_s + rest_s - 0.1) == 1
        assert not policy.may(KIND, 64, now_s)
        now_s += rest_s
        assert policy.size(KIND, 2, now_s) == 2
    policy.took(KIND, 2, 1e-3)
    policy.failed(KIND, now_s)
    assert policy.size(KIND, 2, now_s + 1.0) == 2


def test_a_trial_that_showed_nothing_is_made_again_a_little_later() -> None:
    policy = Policy()
    assert policy.to_try(KIND, 2, 0) == 2
    policy.given_up(KIND, 0)
    assert policy.to_try(KIND, 2, p.AGAIN_S / 2) == 0
    assert policy.to_try(KIND, 2, p.AGAIN_S) == 2


def test_kinds_are_forgotten_with_their_session_or_for_others() -> None:
    policy = learnt(Policy(), 2)
    learnt(policy, 2, of=kind("other"))
    policy.forget("s")
    assert policy.size(KIND, 2, 0) == 1
    assert policy.size(kind("other"), 2, 0) == 2
    for number in range(p.MAX_KINDS):
        policy.to_try(kind(f"s{number}"), 1, 0)
    assert policy.size(kind("other"), 2, 0) == 1


def came(policy: Policy, gap_s: float) -> Policy:
    for number in range(50):
        policy.came(KIND, number * gap_s)
    return policy


def test_nobody_is_kept_waiting_without_a_target() -> None:
    policy = came(learnt(Policy(), 2, 4), gap_s=1e-3)
    assert policy.hold_s(KIND, 1, 0) == 0


@pytest.mark.parametrize(("gap_s", "waits"), [(1e-3, True), (1.9e-3, True), (3e-3, False)])
def test_a_call_waits_for_others_if_they_come_so_fast_that_they_would_queue(
    gap_s: float, waits: bool
) -> None:
    policy = came(learnt(Policy(slo_s=0.1), 2, 4), gap_s)
    assert (policy.hold_s(KIND, 1, 0) > 0) is waits


def test_it_waits_as_long_as_the_next_size_takes_to_come_together() -> None:
    policy = came(learnt(Policy(slo_s=0.1), 2, 4), gap_s=1e-3)
    assert policy.hold_s(KIND, 1, 0) == pytest.approx(1e-3)
    assert policy.hold_s(KIND, 2, 0) == pytest.approx(2e-3)
    assert policy.hold_s(KIND, 3, 0) == pytest.approx(1e-3)
    assert policy.hold_s(KIND, 4, 0) == 0


def test_it_waits_no_longer_than_the_target_allows() -> None:
    tight = came(learnt(Policy(slo_s=7e-3), 2, 4), gap_s=1e-3)
    assert tight.hold_s(KIND, 1, 0) == 0
    assert came(learnt(Policy(slo_s=9e-3), 2, 4), gap_s=1e-3).hold_s(KIND, 1, 0) > 0


def test_more_threads_are_busy_later() -> None:
    assert came(learnt(Policy(1, 0.1), 2), gap_s=1.5e-3).hold_s(KIND, 1, 0) > 0
    assert came(learnt(Policy(2, 0.1), 2), gap_s=1.5e-3).hold_s(KIND, 1, 0) == 0


def test_after_a_failure_nobody_waits() -> None:
    policy = came(learnt(Policy(slo_s=0.1), 2), gap_s=1e-3)
    policy.failed(KIND, 0)
    assert policy.hold_s(KIND, 1, 0.5) == 0


def test_sizes_are_powers_of_two() -> None:
    assert all(size & (size - 1) == 0 for size in SIZES)


def test_it_is_not_worth_looking_where_too_few_wait_for_any_size() -> None:
    policy = Policy()
    policy.tried(KIND, 2, same=False, alone_s=0, together_s=0, now_s=0)
    assert [policy.may(KIND, most, 0) for most in (1, 3, 4)] == [False, False, True]
    learnt(policy, 4)
    policy.tried(KIND, 8, same=False, alone_s=0, together_s=0, now_s=0)
    assert [policy.may(KIND, most, 0) for most in (2, 3, 4)] == [False, False, True]
