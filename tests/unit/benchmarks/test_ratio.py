"""The queue that the ratio controller is measured in, by hand; traces; stranded devices."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from benchmarks.ratio import picture, traces
from benchmarks.ratio.__main__ import main
from benchmarks.ratio.settings import SETTINGS
from benchmarks.ratio.stages import Change, stranded
from eais_pool.sim.autoscalers import fixed
from eais_pool.sim.queue_model import Outcome, oracle, served


def test_a_queue_by_hand() -> None:
    """One unit from the start of second 2: 10 a second.

    Of the 10 of second 0 none is served by the end of second 1: 10 late, though second 2 serves
    them. The 15 of second 1 get nothing in second 2, so all are late. Second 3's 5 wait behind
    15, of which seconds 3 and 4 serve 20 with them: in time.
    """
    assert served([10, 15, 0, 5, 0], fixed(1), attach_s=1) == Outcome(4.0, 25.0, 30, 1, 5)


def test_what_was_before_is_learned_from_and_not_counted() -> None:
    whole = served([10, 15, 0, 5, 0], fixed(1), attach_s=1, begin=3)
    assert whole == Outcome(2.0, 0.0, 5, 0, 2)


def test_without_delay_capacity_serves_from_the_next_second() -> None:
    assert served([10, 10, 10], fixed(2), attach_s=0).late == 0


def test_who_waits_for_ten_seconds_gives_up() -> None:
    asked: list[float] = []

    def watching(arrived: float, waiting: float, ready: int, requested: int) -> int:
        asked.append(waiting)
        return 0

    assert served([7] + [0] * 11, watching, attach_s=1).late == 7
    assert asked == [7] * 10 + [0] * 2


def test_what_does_not_serve_yet_is_given_back_first() -> None:
    wants = iter([2, 4, 1, 1, 1])
    ready_seen: list[int] = []

    def policy(arrived: float, waiting: float, ready: int, requested: int) -> int:
        ready_seen.append(ready)
        return next(wants)

    assert served([0] * 5, policy, attach_s=1).unit_s == 0 + 2 + 4 + 1 + 1
    assert ready_seen == [0, 0, 2, 1, 1]


def test_the_oracle_by_hand() -> None:
    """100 in 10 s take one unit but for a second's grace; 300 in one second take 15."""
    assert oracle([10] * 10) == 10
    assert oracle([300] + [0] * 9) == 150
    assert oracle([0] * 10) == 0


@pytest.mark.parametrize("name", SETTINGS)
def test_other_autoscalers_follow_a_demand(name: str) -> None:
    outcome = served([60] * 900 + [120] * 900, SETTINGS[name](), attach_s=1)
    assert outcome.unit_s > 6 * 900 + 12 * 600
    assert outcome.late < outcome.calls / 2


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("3\n0\n2\n", [3, 0, 2]),
        ("TIMESTAMP,A\n2023-11-16 18:17:03.9799600,1\n2023-11-16 18:17:05.0000000,2\n", [1, 0, 1]),
        ("gmt_create,x\n2024-11-15 16:57:50,a\n2024-11-15 16:57:50,b\n", [2]),
        ("timestamp_anon,value\n10.0,1.4\n12.0,2.0\n10.0,1.4\n", [3, 0, 2]),
    ],
)
def test_traces_of_each_form(tmp_path: Path, text: str, counts: list[int]) -> None:
    plain, packed = tmp_path / "trace.csv", tmp_path / "trace.csv.gz"
    plain.write_text(text)
    packed.write_bytes(gzip.compress(text.encode()))
    assert traces.read(plain).tolist() == traces.read(packed).tolist() == counts


def test_what_is_no_trace_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="neither integers nor"):
        traces.read(tmp_path / "x.csv")


def test_jitter_loses_no_call_and_is_the_same_for_a_seed(tmp_path: Path) -> None:
    counts = traces.read(_written(tmp_path, [50] * 100))
    assert traces.jittered(counts, 1) == traces.jittered(counts, 1) != traces.jittered(counts, 2)
    assert sum(traces.jittered(counts, 1)) == 5000


def test_boxes_strand_what_they_have_beyond_what_is_asked() -> None:
    changes = [
        Change(0, "a", 192, 1),
        Change(1_000_000, "a", -192, -1),
    ]
    found = stranded(changes)
    assert found["stranded_boxes_96_percent"] == pytest.approx(100 * (1 - 1 / 16))
    assert found["stranded_boxes_192_percent"] == pytest.approx(100 * (1 - 1 / 8))
    assert 0 < found["stranded_percent"] < 0.01


def test_the_front_is_what_nobody_beats_in_both() -> None:
    points = {"a": (1.0, 5.0), "b": (1.5, 1.0), "c": (1.6, 2.0), "d": (2.0, 0.0)}
    assert picture.front(points) == ["a", "b", "d"]
    assert picture.drawn(points, "<x>").count("<circle") == 4


def test_all_of_it_on_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drawn = tmp_path / "front.svg"
    trace = _written(tmp_path, [50] * 400)
    given = ["--trace", str(trace), "--seeds", "1", "--attach-delay", "7", "--json"]
    assert main([*given, "--picture", str(drawn)]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    found = json.loads(line)
    assert found["cost_over_oracle"] > 1
    assert set(SETTINGS) < set(found["baselines"])
    assert drawn.read_text().startswith("<svg")


def _written(folder: Path, counts: list[int]) -> Path:
    path = folder / "trace.txt"
    path.write_text("".join(f"{each}\n" for each in counts))
    return path
