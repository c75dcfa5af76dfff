"""Regions: every state and every event, and one that is loaded while another runs."""

from __future__ import annotations

import pytest

from eais.errors import EaisError, UsageError
from eais.transition import IllegalMove
from eais_server.devices.fpga.image import RegionSize, ShellVersion
from eais_server.devices.fpga.shell import (
    REGION_TABLE,
    Region,
    RegionEvent,
    RegionState,
    Shell,
)
from tests.unit.server.devices.fpga.rig import SHELL, SIZE, image

S, E = RegionState, RegionEvent
EMPTY, LOADING, READY, RUNNING, FAULTED = (
    S.EMPTY,
    S.LOADING,
    S.READY,
    S.RUNNING,
    S.FAULTED,
)
LEGAL = {
    EMPTY: {E.LOAD: LOADING, E.RESET: EMPTY},
    LOADING: {E.LOADED: READY, E.FAIL: FAULTED, E.RESET: EMPTY},
    READY: {E.LOAD: LOADING, E.START: RUNNING, E.FAIL: FAULTED, E.RESET: EMPTY},
    RUNNING: {E.DONE: READY, E.FAIL: FAULTED, E.RESET: EMPTY},
    FAULTED: {E.RESET: EMPTY},
}


def a_shell() -> Shell:
    return Shell(SHELL, SIZE)


def in_state(state: RegionState) -> Shell:
    """A shell whose region 0 has come there."""
    shell = a_shell()
    match state:
        case S.EMPTY:
            return shell
        case S.LOADING:
            return shell.load(0, image(load_ms=1000), 0.0)
        case S.READY:
            return shell.load(0, image(), 0.0)
        case S.RUNNING:
            return shell.load(0, image(), 0.0).start(0)
        case S.FAULTED:
            return shell.load(0, image(), 0.0).fail(0, "broken")


@pytest.mark.parametrize("event", list(E))
@pytest.mark.parametrize("state", list(S))
def test_every_event_in_every_state(state: RegionState, event: RegionEvent) -> None:
    region = Region(state)
    if event in LEGAL[state]:
        assert region.after(event).state is LEGAL[state][event]
        assert REGION_TABLE.allows(state, event)
    else:
        with pytest.raises(IllegalMove):
            region.after(event)


@pytest.mark.parametrize("state", list(S))
def test_every_state_is_reached_and_can_be_reset(state: RegionState) -> None:
    shell = in_state(state)
    assert shell.region(0).state is state
    assert shell.reset(0).region(0) == Region()
    assert shell.reset(0).regions[1] == shell.regions[1]


@pytest.mark.parametrize(
    ("state", "reason"), [(LOADING, "WRONG_STATE"), (FAULTED, "WRONG_STATE"), (RUNNING, "BUSY")]
)
def test_what_can_not_be_loaded_now_says_why(state: RegionState, reason: str) -> None:
    with pytest.raises(EaisError) as caught:
        in_state(state).load(0, image("other"), 0.0)
    assert caught.value.reason == reason


def test_loading_takes_the_stated_time() -> None:
    shell = a_shell().load(0, image(load_ms=1500), now=10.0)
    assert shell.region(0).state is LOADING
    assert shell.next_change() == 11.5
    assert shell.ready_in(0, 10.5) == 1.0
    assert shell.ready_in(1, 10.5) is None
    assert shell.at(11.4) is shell
    assert shell.at(11.5).region(0).state is READY
    assert shell.at(11.5).ready_in(0, 12.0) == 0.0
    assert shell.at(11.5).next_change() is None


def test_a_load_of_no_time_is_ready_at_once() -> None:
    assert a_shell().load(1, image(), 5.0).region(1).state is READY


def test_one_region_is_loaded_while_the_other_runs() -> None:
    shell = in_state(RUNNING).load(1, image("two", load_ms=100), 3.0)
    assert [r.state for r in shell.regions] == [RUNNING, LOADING]
    shell = shell.done(0).start(0)
    assert [r.state for r in shell.at(3.1).regions] == [RUNNING, READY]
    assert shell.reset(1).regions[0] == shell.regions[0]


def test_a_fault_keeps_its_reason_until_it_is_reset() -> None:
    shell = in_state(FAULTED)
    assert shell.region(0).fault == "broken"
    assert shell.ready_in(0, 1e9) is None
    assert shell.reset(0).region(0).fault == ""


def test_what_does_not_fit_changes_nothing() -> None:
    for shell in (
        Shell(ShellVersion(2, 0), SIZE),
        Shell(SHELL, SIZE, takes="xclbin"),
    ):
        with pytest.raises(UsageError) as caught:
            shell.load(0, image(), 0.0)
        assert caught.value.reason == "IMAGE_SHELL"
        assert shell.region(0) == Region()
    assert RegionSize(1, 1, 1).holds(RegionSize(1, 1, 1))


@pytest.mark.parametrize("number", [-1, 2, 10**9])
def test_there_are_no_other_regions(number: int) -> None:
    for verb in (
        lambda: a_shell().load(number, image(), 0.0),
        lambda: a_shell().reset(number),
        lambda: a_shell().ready_in(number, 0.0),
    ):
        with pytest.raises(UsageError) as caught:
            verb()
        assert caught.value.reason == "NOT_FOUND"
