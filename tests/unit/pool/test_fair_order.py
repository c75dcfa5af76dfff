"""The order of those that wait: by weighted dominant share, first come within a tenant."""

from __future__ import annotations

from collections.abc import Mapping

from eais_pool.brain.fair_order import InLine, fair_order

CAPACITY = {"cpu": 10_000, "gpu": 4_000}


def one(tenant: str, name: str, kind: str = "gpu", milli: int = 1000, since: float = 0) -> InLine:
    return InLine((tenant, name), frozenset({kind}), milli, since)


def order(
    line: list[InLine],
    held: Mapping[str, Mapping[str, int]] | None = None,
    weights: Mapping[str, float] | None = None,
) -> list[str]:
    return [each.key[1] for each in fair_order(line, held or {}, CAPACITY, weights or {})]


def test_of_one_tenant_the_first_to_come_is_first() -> None:
    assert order([one("a", "late", since=2), one("a", "early", milli=4000, since=1)]) == [
        "early",
        "late",
    ]


def test_tenants_that_hold_nothing_take_turns() -> None:
    many = [one("a", f"a{n}", since=n) for n in range(3)]
    assert order([*many, one("b", "b0", since=9), one("b", "b1", since=10)]) == [
        "a0",
        "b0",
        "a1",
        "b1",
        "a2",
    ]


def test_who_holds_less_of_its_dominant_kind_goes_first() -> None:
    line = [one("gpus", "g", since=0), one("cores", "c", since=5)]
    # 3 cores are more milli-devices than 2 GPUs, and a smaller part of the pool.
    assert order(line, {"gpus": {"gpu": 2000}, "cores": {"cpu": 3000}}) == ["c", "g"]


def test_a_weight_of_two_counts_for_half_of_what_is_held() -> None:
    line = [one("a", "a0", since=0), one("b", "b0", since=1)]
    held = {"a": {"gpu": 1000}, "b": {"gpu": 1500}}
    assert order(line, held) == ["a0", "b0"]
    assert order(line, held, {"b": 2.0}) == ["b0", "a0"]


def test_one_that_any_kind_would_do_for_counts_for_the_least_part() -> None:
    anything = InLine(("a", "any"), frozenset({"cpu", "gpu"}), 1000, 0)
    line = [anything, one("a", "a1", since=1), one("b", "b0", milli=500, since=2)]
    # A core is a tenth of the pool's, an eighth of its GPUs is more: `a` goes again first.
    assert order(line) == ["any", "b0", "a1"]


def test_a_kind_that_the_pool_lacks_is_all_of_it() -> None:
    line = [one("a", "a0", "npu", since=0), one("a", "a1", since=1), one("b", "b0", since=2)]
    assert order(line) == ["a0", "b0", "a1"]
