"""`eais defrag`: the list, how it goes on, and how it ends."""

from __future__ import annotations

from typing import Any, cast

import pytest

from eais.rpc.v1 import hosts_pb2
from eais_client.cli.testing import FakeOutside


def planned(eais: FakeOutside, *states: str) -> None:
    """A plan of one move for each state."""
    moves = [
        hosts_pb2.DefragMove(
            instance=f"ei-{n:04x}",
            type="gpu.1-2",
            origin=f"h{n}",
            to="h9",
            gain_milli=250,
            state=state,
        )
        for n, state in enumerate(states, 1)
    ]
    eais.manager.defrag = hosts_pb2.DefragReply(
        moves=moves,
        lost_before_milli=1375,
        lost_after_milli=125,
        rooms=[
            hosts_pb2.RoomChange(kind="gpu", before_milli=500, after_milli=2000),
            hosts_pb2.RoomChange(kind="cpu", before_milli=4000, after_milli=4000),
        ],
        over=not states,
    )


def test_a_dry_run_says_what_would_be_done(eais: FakeOutside) -> None:
    planned(eais, "")
    said = eais.run("defrag", "--dry-run", "--moves", "3")
    assert said.out.splitlines() == [
        "INSTANCE   TYPE      FROM   TO   GAIN   STATE",
        "ei-0001    gpu.1-2   h1     h9   0.25   would move",
        "lost of free devices: 1.38 before, 0.12 after",
        "most that one host has free of gpu: 1/2 before, 2 after",
    ]
    assert eais.manager.asked == [hosts_pb2.DefragRequest(dry_run=True, moves=3)]
    data = eais.run("defrag", "--dry-run", "-o", "json").data
    (move,) = cast("list[dict[str, Any]]", data["moves"])
    assert (move["instance"], move["origin"], move["state"]) == ("ei-0001", "h1", None)
    assert data["lost_before_milli"] == 1375


def test_it_is_waited_for_until_all_moves_are_over(eais: FakeOutside) -> None:
    planned(eais, "moving", "moving", "waiting")
    said = eais.run("defrag", "-o", "json")
    assert (said.code, said.data["over"]) == (0, True)
    requests = cast("list[hosts_pb2.DefragRequest]", eais.manager.asked)
    assert len({request.op_id for request in requests}) == 1
    assert len(requests) == 4
    assert eais.clock.now == pytest.approx(1.5)


def test_nobody_need_wait_and_the_last_one_can_be_looked_at(eais: FakeOutside) -> None:
    planned(eais, "moving")
    assert eais.run("defrag", "--no-wait", "-o", "json").data["over"] is False
    assert eais.run("defrag", "--show").out.splitlines()[1].split()[-1] == "moving"
    out = eais.run("defrag", "--stop").out
    assert "ei-0001 was skipped: an operator ended it" in out.splitlines()


def test_a_wait_that_is_too_long_says_how_it_goes_on(eais: FakeOutside) -> None:
    planned(eais, *["moving"] * 9)
    said = eais.run("defrag", "--timeout", "1")
    assert said.code == 5
    assert said.err.splitlines()[-1] == (
        "error: DEADLINE_EXCEEDED: 2 of 9 moves are over after 1 s (it goes on: "
        "`eais defrag --show` shows it, `eais defrag --stop` ends it)"
    )


def test_nothing_to_gain(eais: FakeOutside) -> None:
    assert eais.run("defrag").out == "No move gains anything.\n"
    eais.manager.defrag.left_out.append("h3")
    said = eais.run("defrag").out.splitlines()
    assert said == ["No move gains anything.", "left out, as they can't be reached: h3"]


def test_one_thing_at_a_time(eais: FakeOutside) -> None:
    said = eais.run("defrag", "--dry-run", "--stop")
    assert (said.code, eais.manager.asked) == (2, [])
    assert "one of --dry-run, --show and --stop, not several" in said.err
