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


def slow(policy: Policy, size: int, now_s: float = 0.0) -> None:
    """Batches of the size turn out to take as long as their calls alone."""
    for _ in range(p.MEASURED):
        policy.took(KIND, size, size * 1e-3, now_s)


def test_sizes_that_took_too_long_are_tried_again_later() -> None:
    policy = learnt(Policy(), 2, 4)
    slow(policy, 2, now_s=1)
    slow(policy, 4, now_s=2)
    assert policy.to_try(KIND, 64, p.RETRY_S) == 0
    assert not policy.may(KIND, 64, p.RETRY_S)
    assert policy.may(KIND, 64, p.RETRY_S + 1)
    assert policy.to_try(KIND, 64, p.RETRY_S + 1) == 2


def test_a_size_that_took_too_long_is_tried_again_beside_others_that_are_used() -> None:
    policy = learnt(Policy(), 2, 4, 8)
    slow(policy, 2)
    slow(policy, 4)
    assert policy.may(KIND, 8, 0)
    assert not policy.may(KIND, 4, p.RETRY_S - 1)
    assert policy.to_try(KIND, 64, p.RETRY_S - 1) == 0
    assert policy.may(KIND, 4, p.RETRY_S)
    assert policy.to_try(KIND, 64, p.RETRY_S) == 2
    learnt(policy, 2)
    assert policy.to_try(KIND, 64, p.RETRY_S) == 4
    assert policy.size(KIND, 64, p.RETRY_S) == 8


def test_a_size_whose_answers_differed_is_not_tried_again() -> None:
    """Another trial might pass by the luck of its inputs."""
    policy = Policy()
    for size in (2, 4):
        policy.tried(KIND, size, same=False, alone_s=0, together_s=0, now_s=0)
    assert not policy.may(KIND, 64, p.RETRY_S * 100)
    assert policy.to_try(KIND, 64, p.RETRY_S * 100) == 0
    policy.forget("s")
    assert policy.to_try(KIND, 64, p.RETRY_S * 100) == 2


def test_a_trial_that_failed_says_nothing_and_is_made_again_later_each_time() -> None:
    policy, now_s = learnt(Policy(), 2), 0.0
    for rest_s in (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, p.RETRY_S, p.RETRY_S):
        assert policy.to_try(KIND, 4, now_s) == 4
        policy.trial_failed(KIND, 4, now_s, ended=False)
        assert policy.to_try(KIND, 4, now_s + rest_s - 0.1) == 0
        # What is in use stays so.
        assert policy.size(KIND, 4, now_s) == 2
        now_s += rest_s
    assert policy.to_try(KIND, 4, now_s) == 4
    learnt(policy, 4)
    assert policy.size(KIND, 4, now_s) == 4
    assert policy.to_try(KIND, 8, now_s) == 8
    policy.trial_failed(KIND, 8, now_s, ended=False)
    assert policy.to_try(KIND, 8, now_s + p.REST_S) == 8


def test_while_trials_are_put_off_calls_that_wait_are_not_looked_at() -> None:
    policy = Policy()
    assert policy.to_try(KIND, 2, 0) == 2
    policy.trial_failed(KIND, 2, 0, ended=False)
    assert not policy.may(KIND, 64, p.REST_S / 2)
    assert policy.may(KIND, 64, p.REST_S)


def test_a_trial_that_had_to_be_ended_is_not_made_again_soon() -> None:
    policy = Policy()
    assert policy.to_try(KIND, 2, 0) == 2
    policy.trial_failed(KIND, 2, 0, ended=True)
    assert policy.to_try(KIND, 2, p.RETRY_S - 1) == 0
    assert policy.to_try(KIND, 2, p.RETRY_S) == 2


def test_a_size_whose_check_failed_is_used_after_another_trial() -> None:
    policy = learnt(Policy(), 2)
    policy.trial_failed(KIND, 2, 0, ended=False)
    assert policy.size(KIND, 2, 0) == 1
    assert policy.to_try(KIND, 2, p.REST_S) == 2
    learnt(policy, 2)
    assert policy.size(KIND, 2, p.REST_S) == 2


def test_a_size_that_does_not_pay_is_given_up_once_it_was_measured() -> None:
    policy = learnt(Policy(), 2, together=0.99)
    for _ in range(p.MEASURED):
        assert policy.size(KIND, 8, 0) == 2
        policy.took(KIND, 2, 2e-3, 0)
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


@pytest.mark.parametrize(
    ("slo_s", "seconds", "may"),
    [(0, 0.125, True), (0, 0.126, False), (0.02, 0.01, True), (0.02, 0.011, False)],
)
def test_a_size_that_can_not_be_used_is_not_even_tried(
    slo_s: float, seconds: float, may: bool
) -> None:
    policy = Policy(slo_s=slo_s)
    assert policy.may_double(seconds) is may
    policy.tried(KIND, 2, same=True, alone_s=1.0, together_s=seconds, now_s=0)
    assert (policy.to_try(KIND, 64, 0) == 4) is may


def test_nor_if_half_as_many_took_long_and_differed() -> None:
    policy = Policy()
    policy.tried(KIND, 2, same=False, alone_s=0, together_s=p.MAX_BATCH_S, now_s=0)
    assert policy.to_try(KIND, 64, 0) == 0


def test_a_batch_holds_no_more_bytes_than_it_may() -> None:
    large = kind(elements=p.MAX_BATCH_BYTES // 4 // 3)
    policy = learnt(Policy(), 2, 4, of=large)
    assert policy.size(large, 8, 0) == 2
    assert policy.to_try(kind(elements=p.MAX_BATCH_BYTES // 4), 8, 0) == 0


def test_what_a_batch_gave_is_checked_again_ever_more_seldom() -> None:
    policy = learnt(Policy(), 2)
    checks = []
    for n in range(1, 4097):
        if policy.took(KIND, 2, 1e-3, 0):
            checks.append(n)
            policy.checked(KIND, 2, same=True, alone_s=1e-3, now_s=0)
    assert checks == [8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3072, 4096]
    assert policy.size(KIND, 2, 0) == 2
    policy.checked(KIND, 2, same=False, alone_s=0, now_s=0)
    assert policy.size(KIND, 2, 0) == 1


def test_a_check_that_could_not_be_made_or_showed_nothing_is_made_with_a_later_batch() -> None:
    policy = learnt(Policy(), 2)
    due = [policy.took(KIND, 2, 1e-3, 0) for _ in range(10)]
    assert due == [False] * 7 + [True] * 3
    policy.given_up(KIND, 0)
    assert not policy.took(KIND, 2, 1e-3, p.AGAIN_S / 2)
    assert policy.took(KIND, 2, 1e-3, p.AGAIN_S)
    policy.checked(KIND, 2, same=True, alone_s=1e-3, now_s=p.AGAIN_S)
    assert not policy.took(KIND, 2, 1e-3, p.AGAIN_S)


def test_after_a_failure_calls_run_alone_for_longer_each_time() -> None:
    policy, now_s = learnt(Policy(), 2), 0.0
    for rest_s in (1.0, 2.0, 4.0):
        policy.failed(KIND, now_s)
        assert policy.size(KIND, 2, now_s + rest_s - 0.1) == 1
        assert not policy.may(KIND, 64, now_s)
        now_s += rest_s
        assert policy.size(KIND, 2, now_s) == 2
    policy.took(KIND, 2, 1e-3, now_s)
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


def test_it_waits_no_longer_than_the_calls_own_deadline_allows() -> None:
    policy = came(learnt(Policy(slo_s=1.0), 2, 4, 8), gap_s=1e-3)
    # Seven more in 7 ms, and a batch of 4 ms.
    policy.tried(KIND, 2, same=False, alone_s=0, together_s=0, now_s=0)
    policy.tried(KIND, 4, same=False, alone_s=0, together_s=0, now_s=0)
    held_s = policy.hold_s(KIND, 1, 0)
    assert held_s == pytest.approx(7e-3)
    assert policy.hold_s(KIND, 1, 0, left_s=11e-3 / p.DEADLINE_SHARE + 1e-6) == held_s
    assert policy.hold_s(KIND, 1, 0, left_s=11e-3 / p.DEADLINE_SHARE - 1e-6) == 0
    assert policy.hold_s(KIND, 1, 0, left_s=-1.0) == 0


def test_nor_with_others_that_wait_for_longer() -> None:
    policy = came(learnt(Policy(slo_s=1.0), 2, 4), gap_s=1e-3)
    assert policy.hold_s(KIND, 3, 0, left_s=0.1, held_s=0.02) > 0
    assert policy.hold_s(KIND, 3, 0, left_s=0.1, held_s=0.06) == 0


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
