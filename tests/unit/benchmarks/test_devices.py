from __future__ import annotations

import subprocess
import sys

from benchmarks.devices import moving, shares, turns
from benchmarks.devices.spinning import handovers_us

FINE = {
    "share_error_points": 2.0,
    "simulated_share_error_points": 1.0,
    "third_moves_s": 1.0,
    "idle_cost_percent": -0.4,
    "wrong_answers": 0,
}
TURNS = {
    "turns_share_error_points": 2.0,
    "turns_third_moves_s": 1.0,
    "turns_idle_cost_percent": -0.4,
    "overruns": 0,
}


def test_what_meets_its_limit_isnt_missed() -> None:
    assert shares.missed(FINE) == []
    assert turns.missed(TURNS) == []


def test_each_limit_that_is_missed_is_said() -> None:
    over = {name: value + 3 for name, value in FINE.items()}
    assert len(shares.missed(over)) == len(FINE)
    over = {name: value + 3 for name, value in TURNS.items()}
    assert len(turns.missed(over)) == len(TURNS)


MOVED = {
    "move_lost": 0,
    "move_wrong": 0,
    "move_kinds": ["cpu", "gpu", "fpga", "cpu"],
    "move_lost_for": {},
}


def test_a_move_that_loses_nothing_is_fine() -> None:
    assert moving.missed(MOVED) == []


def test_what_a_move_costs_is_said() -> None:
    assert len(moving.missed(MOVED | {"move_lost": 1, "move_lost_for": {"BUSY": 1}})) == 1
    assert moving.missed(MOVED | {"move_wrong": 1}) == ["answers were wrong"]
    assert moving.missed(MOVED | {"move_kinds": ["cpu"]}) == ["it was on ['cpu']"]


def test_a_turn_begins_after_the_last_one_ended_whosever_it_was() -> None:
    found = [
        {"began": [2000, 30_000], "ended": [0, 12_000]},
        {"began": [11_000], "ended": [10_000]},
    ]
    assert handovers_us(found) == [2.0, 1.0, 18.0]


def test_a_section_that_isnt_there_is_a_mistake_of_usage() -> None:
    program = [sys.executable, "-m", "benchmarks.devices", "--only", "nothing"]
    done = subprocess.run(program, capture_output=True, text=True)
    assert done.returncode == 2
    assert "shares" in done.stderr
