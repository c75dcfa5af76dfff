from __future__ import annotations

from eais.device_type import DeviceKind
from eais_pool.brain.calibration import LEAST, WINDOW_S, Calibration
from eais_pool.policy.ratio.control import Amount, Seen
from eais_pool.policy.ratio.offers import Offer

OFFER = Offer(DeviceKind.CPU, 1000, 100.0, 0.02)
SERVES = Amount(DeviceKind.CPU, 2, 1000)


def seconds(made: Calibration, count: int, arrived: float, waiting: float) -> None:
    for _ in range(count):
        made.see(Seen(arrived, waiting, SERVES), made.of(OFFER), 1.0)


def test_what_is_served_while_calls_wait_is_what_there_is() -> None:
    made = Calibration()
    seconds(made, WINDOW_S + 1, 120, 300)
    assert made.of(OFFER).unit_per_s == 60.0


def test_who_has_no_calls_waiting_or_serves_enough_is_as_forecast() -> None:
    made = Calibration()
    seconds(made, 30, 120, 10)
    seconds(made, 30, 195, 300)
    assert made.of(OFFER) == OFFER


def test_what_changes_meanwhile_says_nothing() -> None:
    made = Calibration()
    for second in range(30):
        observed = Amount(DeviceKind.CPU, 1 + second % 2, 1000)
        made.see(Seen(50, 300, observed), OFFER, 1.0)
    seconds(made, 3, 50, 300)
    assert made.of(OFFER) == OFFER
    other = Offer(DeviceKind.GPU, 125, 100.0, 0.3)
    for _ in range(20):
        made.see(Seen(50, 300, SERVES), other, 1.0)
    assert made.of(other) == other


def test_nothing_is_held_for_ever_nor_taken_for_next_to_nothing() -> None:
    made = Calibration()
    seconds(made, 100, 0.5, 300)
    assert made.of(OFFER).unit_per_s >= LEAST * 100
    seconds(made, 20_000, 0, 0)
    assert made.of(OFFER) == OFFER
