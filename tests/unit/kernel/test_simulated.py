"""What is asked for at `--simulate`."""

from __future__ import annotations

import pytest

from eais.simulated import EXAMPLE, parse_simulated, simulated_boards


def test_kinds_and_counts() -> None:
    assert parse_simulated(EXAMPLE) == {"gpu": 2, "npu": 1, "fpga": 1}
    assert parse_simulated(" npu=64 , gpu=1") == {"npu": 64, "gpu": 1}
    assert parse_simulated("") == parse_simulated(" ") == {}


def test_boards_are_counted_apart_from_plain_devices() -> None:
    assert parse_simulated("gpu=1,board=2") == {"gpu": 1}
    assert simulated_boards("gpu=1,board=2") == 2
    assert simulated_boards(EXAMPLE) == simulated_boards("") == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gpu", "'gpu' isn't KIND=COUNT, as in gpu=2,npu=1,fpga=1"),
        ("gpu=1,", "'' isn't KIND=COUNT, as in gpu=2,npu=1,fpga=1"),
        ("cpu=1", "'cpu' can't be simulated; gpu, npu, fpga and board can"),
        ("GPU=1", "'GPU' can't be simulated; gpu, npu, fpga and board can"),
        ("gpu=0", "gpu=0: say a whole number from 1 to 64"),
        ("gpu=65", "gpu=65: say a whole number from 1 to 64"),
        ("board=9", "board=9: say a whole number from 1 to 8"),
        ("gpu=two", "gpu=two: say a whole number from 1 to 64"),
        ("gpu=²", "gpu=²: say a whole number from 1 to 64"),
        ("gpu=" + "9" * 5000, f"gpu={'9' * 40}: say a whole number from 1 to 64"),
        ("gpu=1,gpu=1", "gpu is said twice"),
    ],
)
def test_what_is_wrong_is_named(text: str, said: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - its text is all there is
        parse_simulated(text)
    assert str(caught.value) == said
