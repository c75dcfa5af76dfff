from __future__ import annotations

import pytest

from eais.errors import UsageError
from eais.instance_policy import (
    DEFAULT_POLICY,
    MOST_SLO_US,
    InstancePolicy,
    RingPolicy,
    slo_text,
    slo_us,
)
from eais.tolerance import Tolerance


@pytest.mark.parametrize(
    ("text", "us"),
    [("50ms", 50_000), ("0.5s", 500_000), ("800us", 800), (" 1.5 ms ", 1500), ("3600s", 3.6e9)],
)
def test_times(text: str, us: int) -> None:
    assert slo_us(text) == us


@pytest.mark.parametrize(
    "text",
    ["", "50", "ms", "-1ms", "0ms", "1e3ms", "nan s", "3601s", "1m", "99999999999s", "5 0ms"],
)
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(UsageError, match="such as 50ms") as error:
        slo_us(text)
    assert error.value.reason == "ARGUMENT"


def test_times_in_words() -> None:
    assert [slo_text(us) for us in (50_000, 1500, 800)] == ["50ms", "1.5ms", "0.8ms"]


def test_nothing_said_is_the_default() -> None:
    assert InstancePolicy.checked("", 0) == InstancePolicy.checked("auto", 0) == DEFAULT_POLICY
    assert DEFAULT_POLICY.is_default
    assert not InstancePolicy.checked("off", 0).is_default
    assert InstancePolicy.checked("on", 7) == InstancePolicy(RingPolicy.ON, 7)


def test_a_tolerance_may_be_said() -> None:
    assert InstancePolicy.checked("", 0, "bf16").tolerance is Tolerance.BF16
    assert not InstancePolicy.checked("", 0, "exact").is_default
    with pytest.raises(UsageError, match="exact, fp32, bf16, int8"):
        InstancePolicy.checked("", 0, "roughly")


@pytest.mark.parametrize(("ring", "us"), [("ON", 0), ("maybe", 0), ("a" * 900, 0), ("", 1 << 40)])
def test_what_is_no_policy(ring: str, us: int) -> None:
    with pytest.raises(UsageError) as error:
        InstancePolicy.checked(ring, us)
    assert error.value.reason == "ARGUMENT"
    assert len(error.value.message) < 100
    assert MOST_SLO_US < 1 << 40
