from __future__ import annotations

from dataclasses import replace

from eais_pool.brain.codec import from_json, to_json
from eais_pool.policy.profile_book import MOST, ProfileBook, joined
from eais_pool.policy.profiles import Failure, Point, Profile, ProfileKey
from tests.unit.pool.policy.known import CPU, DIGEST, GPU, cpu_times, gpu_times, profile

ONE = profile(CPU, 1000, cpu_times)
OTHER_DIGEST = "1" * 64


def point(batch: int, samples: int, took: float = 0.1) -> Point:
    return Point(batch, samples, took, took, took)


def of_points(*points: Point, failed: tuple[Failure, ...] = ()) -> Profile:
    return replace(ONE, points=points, failed=failed)


def test_what_is_kept_is_found_by_its_model() -> None:
    other = replace(ONE, key=replace(ONE.key, digest=OTHER_DIGEST))
    book = ProfileBook([ONE, other])
    assert book.of(DIGEST) == [ONE]
    assert book.of("2" * 64) == []


def test_a_models_curves_are_by_runner_over_all_its_shares() -> None:
    shares = [profile(CPU, share, cpu_times) for share in (1000, 4000)]
    curves = ProfileBook([*shares, profile(GPU, 125, gpu_times)]).curves(DIGEST)
    assert set(curves) == {CPU, GPU}
    for share in (1000, 4000):
        assert abs(curves[CPU].seconds(1, share) / cpu_times(1, share) - 1) < 0.05


def test_it_comes_back_as_it_was() -> None:
    book = ProfileBook([ONE, profile(GPU, 125, gpu_times)])
    book.add(ONE)
    again = ProfileBook(from_json(Profile, to_json(each)) for each in book.profiles)
    assert again.profiles == book.profiles


def test_a_copy_is_of_its_own() -> None:
    book = ProfileBook([ONE])
    made = book.copy()
    made.add(profile(GPU, 125, gpu_times))
    assert book.profiles == (ONE,)
    assert len(made.profiles) == 2


def test_what_says_more_of_a_size_is_kept_and_the_later_of_equals() -> None:
    before = of_points(point(1, 5), point(2, 1), point(4, 1))
    after = of_points(point(1, 2, 0.2), point(2, 1, 0.2), point(8, 1, 0.2))
    found = joined(before, after)
    assert found.points == (point(1, 5), point(2, 1, 0.2), point(4, 1), point(8, 1, 0.2))


def test_a_failure_lasts_until_as_large_a_batch_ran() -> None:
    before = of_points(failed=(Failure(16, "RUN_MEMORY"), Failure(64, "RUN_MEMORY")))
    after = of_points(point(32, 1), failed=(Failure(128, "RUN_MEMORY"),))
    assert [each.batch for each in joined(before, after).failed] == [64, 128]


def test_more_than_are_kept_forgets_those_measured_longest_ago() -> None:
    def named(n: int) -> ProfileKey:
        return replace(ONE.key, device_model=f"device {n}")

    book = ProfileBook(replace(ONE, key=named(n)) for n in range(MOST))
    book.add(replace(ONE, key=named(0)))
    book.add(ONE)
    kept = {each.key for each in book.profiles}
    assert len(kept) == MOST
    assert named(0) in kept
    assert named(1) not in kept
