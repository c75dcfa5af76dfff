"""Bandwidths in words."""

from __future__ import annotations

import pytest

from eais.errors import UsageError
from eais.instance_policy import DEFAULT_POLICY, InstancePolicy
from eais.net.plan import MAX_CAP_BYTES_PER_S
from eais.net.rate import LEAST_CAP, cap_of


@pytest.mark.parametrize(
    ("text", "bytes_per_s"),
    [
        ("100Mbit", 12_500_000),
        ("1Gbit", 125_000_000),
        ("12MB", 12_000_000),
        (" 1.5 MB/s ", 1_500_000),
        ("8000bit", 1000),
        ("8001bit/s", 1000),
        ("1kB", LEAST_CAP),
        ("4294967295B", MAX_CAP_BYTES_PER_S),
        ("0.03Tbit", 3_750_000_000),
    ],
)
def test_rates(text: str, bytes_per_s: int) -> None:
    assert cap_of(text) == bytes_per_s


@pytest.mark.parametrize(
    "text", ["", "100", "Mbit", "-1MB", "1e3kB", "nan MB", "12mb", "12Mb", "1MiB", "1 2MB", "1KB"]
)
def test_what_is_no_rate(text: str) -> None:
    with pytest.raises(UsageError, match="such as 100Mbit or 12MB") as error:
        cap_of(text)
    assert (error.value.reason, "powers of 1000" in error.value.hint) == ("ARGUMENT", True)


@pytest.mark.parametrize("text", ["0bit", "7999bit", "999B", "4294967296B", "999999999999TB"])
def test_what_nobody_can_keep(text: str) -> None:
    with pytest.raises(UsageError, match=f"{LEAST_CAP} to {MAX_CAP_BYTES_PER_S} bytes a second"):
        cap_of(text)


def test_a_policy_may_have_one() -> None:
    assert InstancePolicy.checked("", 0, vnic_cap_bytes_per_s=0) == DEFAULT_POLICY
    assert not InstancePolicy.checked("", 0, vnic_cap_bytes_per_s=LEAST_CAP).is_default
    for wrong in (1, MAX_CAP_BYTES_PER_S + 1):
        with pytest.raises(UsageError, match="a cap is"):
            InstancePolicy.checked("", 0, vnic_cap_bytes_per_s=wrong)
