from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eais.device_type import DeviceKind
from eais.tolerance import Precision
from eais_pool.policy.curves import Curve
from eais_pool.policy.profiles import Profile, ProfileKey


def profile(
    samples: Mapping[int, Sequence[float]],
    share: int = 1000,
    failed: Mapping[int, str] | None = None,
) -> Profile:
    key = ProfileKey("0" * 64, "some device", share, "onnxruntime", Precision.FP32)
    return Profile.of(key, DeviceKind.GPU, samples, failed=failed)


def truth(batch: int) -> float:
    return 0.002 + 0.0005 * batch


FIVE = profile({batch: [truth(batch)] * 5 for batch in (1, 4, 16, 64)})


@pytest.mark.parametrize("batch", [1, 4, 16, 64])
def test_what_was_measured_is_what_is_expected(batch: int) -> None:
    assert math.isclose(Curve([FIVE]).seconds(batch, 1000), truth(batch), rel_tol=0.05)


@pytest.mark.parametrize("batch", [2, 3, 8, 24, 48])
def test_between_what_was_measured_it_is_near(batch: int) -> None:
    assert math.isclose(Curve([FIVE]).seconds(batch, 1000), truth(batch), rel_tol=0.15)


def test_the_further_from_what_was_measured_the_less_sure() -> None:
    curve = Curve([FIVE])
    batches = [curve.estimate(batch, 1000).sd for batch in (64, 128, 256, 1024)]
    smaller = [curve.estimate(16, share).sd for share in (1000, 500, 250, 125)]
    larger = [curve.estimate(16, share).sd for share in (1000, 2000, 4000, 8000)]
    for sds in (batches, smaller, larger):
        assert sds == sorted(sds)
        assert sds[-1] > 2 * sds[0]


def test_an_unmeasured_share_takes_about_as_much_longer_as_it_is_smaller() -> None:
    curve = Curve([FIVE])
    assert 1.7 < curve.seconds(16, 500) / curve.seconds(16, 1000) < 2.1
    assert 6.0 < curve.seconds(16, 125) / curve.seconds(16, 1000) < 8.5


def test_a_share_that_was_measured_beats_the_assumption() -> None:
    """A host's overhead doesn't shrink with a larger share."""
    curve = Curve([FIVE, profile({1: [0.0021] * 5}, share=125)])
    assert math.isclose(curve.seconds(1, 125), 0.0021, rel_tol=0.1)


def test_more_samples_make_surer() -> None:
    one, many = Curve([profile({8: [0.01]})]), Curve([profile({8: [0.01] * 20})])
    assert 0.09 < one.estimate(8, 1000).sd < 0.11
    assert many.estimate(8, 1000).sd < 0.03


def test_nothing_measured_is_hardly_known() -> None:
    curve = Curve()
    assert not curve.measured
    assert curve.estimate(1, 1000).sd > 3


def test_what_failed_is_not_tried_larger_nor_on_a_smaller_share() -> None:
    curve = Curve([profile({1: [0.1]}, share=500, failed={32: "RUN_MEMORY"})])
    assert not curve.may_run(32, 500)
    assert not curve.may_run(64, 500)
    assert not curve.may_run(32, 125)
    assert curve.may_run(16, 500)
    assert curve.may_run(32, 1000)


@given(
    st.dictionaries(st.integers(1, 5000), st.floats(1e-6, 100.0), min_size=1, max_size=12),
    st.integers(1, 70_000),
    st.sampled_from([1, 125, 333, 1000, 64_000]),
)
def test_whatever_was_measured_an_estimate_is_a_time(
    points: dict[int, float], batch: int, share: int
) -> None:
    found = Curve([profile({size: [took] for size, took in points.items()})]).estimate(batch, share)
    assert found.seconds > 0
    assert math.isfinite(found.seconds)
    assert 0 <= found.sd < 100
