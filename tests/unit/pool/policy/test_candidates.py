"""The shares that are weighed: when each could serve, and whether the model's image is there."""

from __future__ import annotations

import pytest

from eais.tolerance import Tolerance
from eais_pool.brain.host_records import ModelLoad
from eais_pool.policy import DeviceView, HostView
from eais_pool.policy.candidates import candidates
from eais_pool.policy.choosing import Image

MODEL, OTHER = "ab" * 32, "cd" * 32
LOADS = (ModelLoad(MODEL, 800, 500), ModelLoad(OTHER, 3000))


def board(name: str = "fpga0", loads: tuple[ModelLoad, ...] | None = LOADS) -> DeviceView:
    return DeviceView(
        id=name,
        kind="fpga",
        capacity_milli=1000,
        granularity_milli=500,
        share_limit_milli=1000,
        free_milli=1000,
        model="a board",
        runtimes=("role/fp32",),
        attach_ms=100,
        loads=loads,
    )


def weighed(model: str, *devices: DeviceView) -> dict[str, tuple[float, Image]]:
    host = HostView("h1", True, 2, frozenset(), devices)
    found = candidates([host], Tolerance.FP32, model)
    return {each.type: (each.setup_s, each.image) for each in found}


@pytest.mark.parametrize(
    ("model", "half", "whole"),
    [
        (MODEL, (0.1, Image.LOADED), (0.9, Image.TO_LOAD)),
        (OTHER, (3.1, Image.TO_LOAD), (3.1, Image.TO_LOAD)),
        ("ef" * 32, (0.1, Image.MISSING), (0.1, Image.MISSING)),
        ("", (3.1, Image.NONE), (3.1, Image.NONE)),
    ],
    ids=["loaded in one region", "to be loaded", "without an image", "nobody knows the model"],
)
def test_a_share_is_ready_once_its_regions_have_the_image(
    model: str, half: tuple[float, Image], whole: tuple[float, Image]
) -> None:
    assert weighed(model, board()) == {"fpga.1-2": half, "fpga.1": whole}


def test_of_a_device_that_has_yet_to_say_nothing_is_taken_to_be_missing() -> None:
    assert set(weighed(MODEL, board(loads=None)).values()) == {(0.1, Image.NONE)}


def test_the_device_counts_that_is_ready_first() -> None:
    empty = board("fpga1", loads=(ModelLoad(MODEL, 800),))
    for devices in ([board(), empty], [empty, board()]):
        assert weighed(MODEL, *devices)["fpga.1-2"] == (0.1, Image.LOADED)
    lacking = board("fpga1", loads=())
    assert weighed(OTHER, lacking, board())["fpga.1-2"] == (3.1, Image.TO_LOAD)
