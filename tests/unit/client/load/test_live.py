"""The live view says what there is, and on what is no terminal a line for each phase."""

from __future__ import annotations

import io
from collections.abc import Mapping

from rich.console import Console

from eais_client.load.generator.counts import Counted
from eais_client.load.generator.processes import LiveCounts
from eais_client.load.record import PhaseRecord
from eais_client.load.report.live import live_view
from eais_client.load.report.live_frame import frame, glance, sparks
from tests.unit.client.load.records import Bad, Made, record


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def at(second: float, of: PhaseRecord) -> LiveCounts:
    counted = Counted(of.models, of.intervals, of.lag, of.blocked)
    usage = of.usage[min(int(second), 9)] if second >= 0 else None
    return LiveCounts(of.phase, of.target, second, counted, usage)


def drawn(live: LiveCounts, width: int = 100) -> str:
    out = io.StringIO()
    Console(file=out, width=width).print(frame(glance(live)))
    return out.getvalue()


def test_it_shows_the_last_whole_second_and_all_so_far() -> None:
    told = drawn(at(8.0, record(Made())))
    assert "ei-7f3a: 200/s, Poisson" in told
    assert "8 of 10 s" in told
    assert "client 0." in told
    assert "server 1." in told
    assert "99 % sent within" in told
    assert sum(char in "▁▂▃▄▅▆▇█" for char in told) == 14


def test_failed_requests_are_counted_with_their_reason_and_are_no_latency() -> None:
    shown = glance(at(8.0, record(Made(bad=Bad(failed=0.3)))))
    assert shown.p99_ms is None
    assert shown.failed > 500
    told = drawn(at(8.0, record(Made(bad=Bad(failed=0.3)))))
    assert "UNAVAILABLE" in told
    assert "failed" in told


def test_wrong_answers_are_failed_percentiles_too() -> None:
    shown = glance(at(8.0, record(Made(bad=Bad(wrong=0.3)))))
    assert (shown.p99_ms, shown.last_p99_ms) == (None, None)
    assert shown.wrong > 500


def test_before_the_first_second_nothing_is_claimed() -> None:
    empty = record(Made())
    empty.models, empty.intervals = {}, {}
    told = drawn(at(-0.6, empty))
    assert "warming up, 1 s to go" in told
    assert " ms" not in told


def test_after_the_last_second_answers_are_waited_for() -> None:
    late = record(Made())
    (tally,) = late.models.values()
    tally.done = 1500
    told = drawn(at(14.0, late))
    assert "10 of 10 s, waiting for the last answers" in told
    assert "2000, 150/s" in told


def test_sparks_are_of_the_highest() -> None:
    assert sparks([0, 5, 10]) == "▁▅█"
    assert sparks([None, 1.0]) == "×█"
    assert sparks([0, 0]) == "▁▁"
    assert sparks([]) == ""


def lines_of(stream: io.StringIO, environ: Mapping[str, str]) -> str:
    first, second = record(Made()), record(Made(), "other")
    with live_view(stream, environ) as watcher:
        watcher.stage("opening")
        for live in (at(1.0, first), at(2.0, first), at(1.0, second)):
            watcher.counts(live)
    return stream.getvalue()


def test_elsewhere_each_phase_is_a_line() -> None:
    told = lines_of(io.StringIO(), {}).splitlines()
    assert [line.split(",")[0] for line in told] == ["ei-7f3a: 200/s", "other: 200/s"]
    assert lines_of(Terminal(), {"TERM": "dumb"}).splitlines() == told


def test_on_a_terminal_it_is_drawn_and_goes_away() -> None:
    told = lines_of(Terminal(), {"TERM": "xterm"})
    assert "opening …" in told
    assert told.endswith("\x1b[2K")


def test_a_stage_within_a_phase_stands_beside_its_counts_and_notes_stay_above() -> None:
    stream = Terminal()
    with live_view(stream, {"TERM": "xterm", "NO_COLOR": "1"}) as watcher:
        watcher.stage("opening")
        watcher.counts(at(1.0, record(Made())))
        stream.truncate(0)
        watcher.stage("kill worker\x1b[2J")
        watcher.note("4/7 kill worker, 0.84 s")
    told = stream.getvalue()
    assert "kill worker" in told
    assert "answered" in told
    assert "opening" not in told
    assert "4/7 kill worker, 0.84 s" in told
    assert "\x1b[2J" not in told


def test_elsewhere_notes_are_lines() -> None:
    stream = io.StringIO()
    with live_view(stream, {}) as watcher:
        watcher.note("4/7 kill worker, 0.84 s")
    assert stream.getvalue() == "4/7 kill worker, 0.84 s\n"


def test_a_terminal_that_went_away_ends_no_test() -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError("gone")

    with live_view(Gone(), {}) as watcher:
        watcher.counts(at(1.0, record(Made())))
