from __future__ import annotations

import pytest

from eais.device_type import DeviceKind
from eais.errors import UsageError
from eais.ratio import UNSAID, Ratio, RatioPolicy, late_part


@pytest.mark.parametrize(
    ("text", "cpu_workers", "milli", "kept"),
    [
        ("4:0.25", 4, 250, "4:0.25"),
        ("4:0", 4, 0, "4:0"),
        ("0:1", 0, 1000, "0:1"),
        ("01:2.000", 1, 2000, "1:2"),
        ("1:0.125", 1, 125, "1:0.125"),
    ],
)
def test_ratios_that_stay(text: str, cpu_workers: int, milli: int, kept: str) -> None:
    found = RatioPolicy.checked(text)
    assert found.fixed == Ratio(cpu_workers, milli)
    assert found.text == kept


def test_auto_is_the_pools_to_decide() -> None:
    assert RatioPolicy.checked("auto", 1, 4, ["cpu", "gpu", "cpu"]).kinds == ("cpu", "gpu")
    assert RatioPolicy.checked("auto").fixed is None
    assert RatioPolicy.checked("auto").sizes.keys() == set(DeviceKind)
    assert RatioPolicy.checked() == UNSAID


def test_kinds_may_name_the_size_of_their_shares() -> None:
    found = RatioPolicy.checked("auto", kinds=["cpu.1-8", "gpu", "cpu.1-2"])
    assert found.sizes == {DeviceKind.CPU: {125, 500}, DeviceKind.GPU: frozenset()}


@pytest.mark.parametrize(
    "text",
    [
        *("-1", "-1:1", "nan", "nan:1", "1:nan", "inf:1", "1e2:1", "0:0", "4", ":", "4:", ":1"),
        *("1:0.2", "1:1.5", "4:-1", "4:0.25:1", " 4:1", "AUTO", "65:1", "1:65", "9999:9999"),
        "x" * 5000,
    ],
)
def test_what_is_no_ratio(text: str) -> None:
    with pytest.raises(UsageError) as error:
        RatioPolicy.checked(text)
    assert error.value.reason == "RATIO"
    assert len(error.value.message) < 160


@pytest.mark.parametrize(
    ("least", "most", "kinds"),
    [
        (3, 2, ()),
        (-1, 0, ()),
        (0, 65, ()),
        (0, 0, ("tpu",)),
        (0, 0, ("auto",)),
        (0, 0, ("cpu.9-8",)),
    ],
)
def test_what_no_bounds_are(least: int, most: int, kinds: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match=r"min|kinds") as error:
        RatioPolicy.checked("auto", least, most, kinds)
    assert error.value.reason == "RATIO"


def test_a_ratio_that_stays_has_no_bounds() -> None:
    with pytest.raises(UsageError, match="stays as it is"):
        RatioPolicy.checked("4:0.25", least=1)
    with pytest.raises(UsageError, match="late-target are auto's"):
        RatioPolicy.checked("4:0.25", late_target=0.01)


@pytest.mark.parametrize(
    ("text", "part"), [("0.1%", 0.001), ("0.001 %", 1e-5), ("50%", 0.5), (" 1% ", 0.01)]
)
def test_what_may_be_late(text: str, part: float) -> None:
    assert late_part(text) == pytest.approx(part)
    assert RatioPolicy.checked("auto", late_target=late_part(text)).late_target == late_part(text)


@pytest.mark.parametrize(
    "text", ["", "0", "0%", "1", "0.01", "51%", "0.0001%", "-1%", "nan%", "%", "1e-3%", "9" * 5000]
)
def test_what_no_part_of_calls_is(text: str) -> None:
    with pytest.raises(UsageError, match=r"such as 0\.1%, from 0\.001% to 50%") as error:
        late_part(text)
    assert error.value.reason == "RATIO"
    assert len(error.value.message) < 160


@pytest.mark.parametrize("part", [-0.1, 0.6, 1e-9, float("nan"), float("inf")])
def test_no_message_says_more_late_than_that(part: float) -> None:
    with pytest.raises(UsageError, match="late-target is a part of calls") as error:
        RatioPolicy.checked("auto", late_target=part)
    assert error.value.reason == "RATIO"
