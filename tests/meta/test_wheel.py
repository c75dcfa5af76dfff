from __future__ import annotations

import pytest

from tools import check_wheel
from tools.check_wheel import METADATA, PACKAGES, checkout_files, sdist_faults, wheel_faults

INFO = "eais-0.1.0.dist-info"


@pytest.fixture
def good() -> set[str]:
    packages = set[str]().union(*(checkout_files(package) for package in PACKAGES))
    return packages | {f"{INFO}/{name}" for name in METADATA}


def test_wheel_and_source_distribution_hold_what_they_should() -> None:
    assert check_wheel.main() == 0


def test_a_good_wheel_has_no_fault(good: set[str]) -> None:
    assert wheel_faults(good) == []


@pytest.mark.parametrize(
    "name", ["eais_pool/py.typed", "eais/rpc/v1/worker_pb2.pyi", f"{INFO}/licenses/LICENSE"]
)
def test_what_is_missing_is_named(good: set[str], name: str) -> None:
    assert any(name.removeprefix(f"{INFO}/") in fault for fault in wheel_faults(good - {name}))


@pytest.mark.parametrize("name", ["tests/unit/test_x.py", "proto/eais/rpc/v1/x.proto", "x.py"])
def test_what_has_no_business_there_is_named(good: set[str], name: str) -> None:
    assert f"wheel should not hold {name}" in wheel_faults(good | {name})


def test_a_wheel_without_generated_code_is_a_fault(good: set[str]) -> None:
    without = {name for name in good if not name.endswith("_pb2.py")}
    assert "wheel lacks the generated code" in wheel_faults(without)


def test_a_source_distribution_without_its_protos_is_a_fault() -> None:
    faults = sdist_faults({"LICENSE"})
    assert "sdist lacks proto/eais/rpc/v1/worker.proto" in faults
    assert "sdist lacks LICENSE" not in faults
