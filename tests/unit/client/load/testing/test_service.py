"""A server of known behaviour, in virtual time."""

from __future__ import annotations

import math

import numpy as np
import pytest

from eais.errors import UsageError
from eais_client.load.brain.md1 import sojourn_quantile
from eais_client.load.testing.service import Known, Service, known_of, quantile_s, times_s


def ends(service: Service, arrivals: list[float]) -> list[float]:
    return [service.arrived(moment).end - moment for moment in arrivals]


@pytest.mark.parametrize("distribution", ["constant", "exponential", "lognormal"])
def test_what_is_drawn_has_the_quantiles_of_the_distribution(distribution: str) -> None:
    known = Known(distribution, draws=1000)
    took = ends(Service(known), [float(n) for n in range(1000)])
    for share in (0.1, 0.5, 0.9, 0.99):
        assert np.quantile(took, share, method="hazen") == pytest.approx(
            quantile_s(known, share), rel=0.01
        )


def test_the_mean_of_the_exponential_and_the_median_of_the_lognormal_are_what_was_asked() -> None:
    assert np.mean(times_s(Known("exponential", mean_ms=20))) == pytest.approx(0.02, rel=0.01)
    assert np.median(times_s(Known("lognormal", mean_ms=20))) == pytest.approx(0.02, rel=0.01)


def test_one_server_serves_in_the_order_of_arrival() -> None:
    service = Service(Known(mean_ms=100, servers=1))
    turns = [service.arrived(moment) for moment in (0.0, 0.05, 0.5)]
    assert [turn.begin for turn in turns] == pytest.approx([0.0, 0.1, 0.5])
    assert [turn.end for turn in turns] == pytest.approx([0.1, 0.2, 0.6])


def test_two_servers_serve_two_at_a_time() -> None:
    service = Service(Known(mean_ms=100, servers=2))
    assert ends(service, [0.0, 0.0, 0.0]) == pytest.approx([0.1, 0.1, 0.2])


def test_random_arrivals_at_one_server_wait_as_theory_says() -> None:
    rng = np.random.default_rng(7)
    arrivals = np.cumsum(rng.exponential(1 / 70, 100_000)).tolist()
    took = ends(Service(Known(mean_ms=10, servers=1)), arrivals)
    for share in (0.5, 0.9, 0.99):
        expected = sojourn_quantile(70, 0.01, share)
        assert np.quantile(took, share) == pytest.approx(expected, rel=0.05)


def test_in_a_stall_no_call_is_begun() -> None:
    service = Service(Known(mean_ms=10, stall_every_s=10, stall_s=0.5))
    took = ends(service, [9.9, 10.0, 10.25, 10.5, 11.0])
    assert took == pytest.approx([0.01, 0.51, 0.26, 0.01, 0.01])


def test_shares_of_calls_are_refused_and_answered_wrongly() -> None:
    service = Service(Known(refuse_share=0.25, wrong_share=0.5))
    turns = [service.arrived(float(n)) for n in range(4000)]
    refused = [turn for turn in turns if turn.refused]
    assert {turn.refused for turn in refused} == {"RESOURCE_EXHAUSTED"}
    assert 900 < len(refused) < 1100
    assert 1350 < sum(turn.wrong for turn in turns) < 1650


def test_it_dies_and_hangs_when_it_is_to() -> None:
    dying = Service(Known(dies_after=2))
    assert [dying.arrived(n).refused for n in range(4)] == ["", "", "UNAVAILABLE", "UNAVAILABLE"]
    hanging = Service(Known(hangs_after=1))
    assert [math.isinf(hanging.arrived(n).end) for n in range(3)] == [False, True, True]


def test_settings_are_text() -> None:
    made = known_of({"distribution": "lognormal", "mean_ms": "20", "servers": "1"})
    assert made == Known("lognormal", 20.0, servers=1)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"means_ms": "20"}, "no setting 'means_ms'"),
        ({"mean_ms": "soon"}, "'soon' is no number"),
        ({"distribution": "flat"}, "no distribution 'flat'"),
    ],
)
def test_a_setting_that_there_isnt_is_refused(settings: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        known_of(settings)
