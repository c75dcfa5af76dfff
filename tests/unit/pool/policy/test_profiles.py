from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eais.device_type import DeviceKind
from eais.tolerance import Precision
from eais_pool.brain.codec import from_json, to_json
from eais_pool.policy.profiles import (
    EXPECTED_NOISE,
    Failure,
    Point,
    Profile,
    ProfileKey,
    noise_of,
)

KEY = ProfileKey("0" * 64, "NVIDIA H200", 125, "onnxruntime", Precision.FP32)
seconds = st.floats(1e-6, 10.0)


@st.composite
def profiles(draw: st.DrawFn) -> Profile:
    samples = st.dictionaries(st.integers(1, 512), st.lists(seconds, min_size=1, max_size=5))
    failed = st.dictionaries(st.integers(1, 512), st.sampled_from(["RUN_MEMORY", "RUN_FAILED"]))
    return Profile.of(
        KEY,
        DeviceKind.GPU,
        draw(samples),
        failed=draw(failed),
        measured_unix_s=draw(st.floats(0, 1e10)),
        simulated=draw(st.booleans()),
    )


@given(profiles())
def test_profiles_come_back_from_the_journal(profile: Profile) -> None:
    assert from_json(Profile, to_json(profile)) == profile


def test_a_point_of_samples() -> None:
    point = Point.of(4, [0.010, 0.012, 0.011])
    assert (point.batch, point.samples) == (4, 3)
    assert (round(point.mean_s, 9), point.p50_s, point.p99_s) == (0.011, 0.011, 0.012)
    assert math.isclose(point.noise, 0.001 / 0.011)
    assert math.isclose(point.throughput_per_s, 4 / 0.011)
    assert Point.of(1, [0.5]).noise == 0


GOOD = Point(1, 1, 0.1, 0.1, 0.1)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 0.0, -1.0, 1e9])
@pytest.mark.parametrize("name", ["mean_s", "p50_s", "p99_s"])
def test_a_time_that_cannot_be_is_not_believed(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=name):
        replace(GOOD, **{name: value})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a sample"):
        Point.of(1, [0.1, value])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("batch", 0),
        ("batch", -1),
        ("batch", 1 << 40),
        ("samples", 0),
        ("noise", math.nan),
        ("noise", -0.1),
        ("p99_s", 0.05),
    ],
)
def test_what_makes_no_sense_in_a_point_is_named(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field):
        replace(GOOD, **{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("digest", "0" * 63),
        ("digest", "/etc/passwd"),
        ("digest", "0" * 64 + "\n"),
        ("device_model", ""),
        ("device_model", "x" * 201),
        ("runtime", ""),
        ("share_milli", 0),
        ("share_milli", 1 << 60),
    ],
)
def test_what_makes_no_sense_in_a_key_is_named(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field):
        replace(KEY, **{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "points", [(GOOD, GOOD), (replace(GOOD, batch=2), GOOD), (GOOD,) * 65], ids=str
)
def test_points_ascend_and_are_few(points: tuple[Point, ...]) -> None:
    with pytest.raises(ValueError, match="points"):
        Profile(KEY, DeviceKind.CPU, points)


@pytest.mark.parametrize("value", [math.nan, -1.0, 1e12])
def test_a_time_of_measuring_that_is_none_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="measured_unix_s"):
        Profile(KEY, DeviceKind.CPU, (GOOD,), measured_unix_s=value)


def test_failures_are_of_a_size_and_a_reason() -> None:
    assert Profile.of(KEY, DeviceKind.GPU, {}, failed={64: "RUN_MEMORY"}).failed == (
        Failure(64, "RUN_MEMORY"),
    )
    with pytest.raises(ValueError, match="batch"):
        Failure(0, "RUN_MEMORY")
    with pytest.raises(ValueError, match="reason"):
        Failure(1, "")


def test_what_a_host_says_is_checked_when_it_is_read() -> None:
    text = to_json(Profile(KEY, DeviceKind.GPU, (GOOD,))).replace('"mean_s":0.1', '"mean_s":NaN')
    with pytest.raises(ValueError, match="mean_s"):
        from_json(Profile, text)


def test_few_samples_say_little_of_the_noise_and_many_say_all() -> None:
    def noisy(samples: int) -> Profile:
        return Profile(KEY, DeviceKind.GPU, (replace(GOOD, samples=samples, noise=0.3),))

    assert noise_of([]) == EXPECTED_NOISE
    assert EXPECTED_NOISE < noise_of([noisy(3)]) < 0.12
    assert 0.29 < noise_of([noisy(10_000)]) < 0.3
