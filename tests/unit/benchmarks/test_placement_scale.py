"""The benchmark of the live policy on the live state says what it measured, and what is missed."""

from __future__ import annotations

from benchmarks.placement.scale import measure, missed
from eais_pool.policy import POLICIES


def test_each_size_has_its_figures_and_nobody_is_refused() -> None:
    for placement in POLICIES:
        found = measure([5, 20], 32, placement)
        assert (found["devices"], found["placement"], found["refused"]) == (32, placement, 0)
        assert [size["instances"] for size in found["sizes"]] == [5, 20]
        for size in found["sizes"]:
            assert 0 < size["decision_us"] < size["attach_us"]
            assert abs(size["attaches_per_s"] * size["attach_us"] - 1e6) < 1


def test_an_attach_may_grow_with_the_logarithm_of_instances_alone() -> None:
    sizes = [{"instances": 100, "attach_us": 1000.0}, {"instances": 10_000, "attach_us": 2900.0}]
    assert missed({"sizes": sizes}) == []
    sizes[1]["attach_us"] = 3100.0
    assert missed({"sizes": sizes}) == [
        "with 10000 instances an attach takes 3100 us, and may take 3000"
    ]
