"""Load as a file has it: counts or moments, and what of a file is refused."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

from eais.errors import UsageError
from eais_client.load.brain.plan import Open, Spacing
from eais_client.load.trace import COUNTS, TIMESTAMPS, TraceSpec, read_trace


def read(folder: Path, text: str, **said: Any) -> Open:
    file = folder / "trace.csv"
    file.write_text(text)
    return read_trace(TraceSpec(file, **said))[0]


def refusal(folder: Path, text: str, **said: Any) -> str:
    with pytest.raises(UsageError) as caught:
        read(folder, text, **said)
    assert caught.value.reason == "ARGUMENT"
    return caught.value.message


def rates(load: Open) -> list[float]:
    assert not load.moments
    assert all((each.seconds, each.from_per_s) == (1.0, each.to_per_s) for each in load.stretches)
    return [each.from_per_s for each in load.stretches]


def test_whole_numbers_are_requests_of_a_second_each(tmp_path: Path) -> None:
    load = read(tmp_path, "# a comment\n3\n\n0\n5\n", spacing=Spacing.GAMMA, burst=4.0)
    assert rates(load) == [3.0, 0.0, 5.0]
    assert (load.spacing, load.burst) == (Spacing.GAMMA, 4.0)


def test_a_part_of_them_and_more_of_each(tmp_path: Path) -> None:
    assert rates(read(tmp_path, "1\n2\n3\n4\n", from_s=1, seconds=2, scale=2.5)) == [5.0, 7.5]


def test_others_are_moments_from_the_first_on(tmp_path: Path) -> None:
    load = read(tmp_path, "10.5\n10.0\n12.25\n")
    assert load.moments == (0.0, 0.5, 2.25)


def test_times_are_read_as_they_are_written(tmp_path: Path) -> None:
    text = (
        "TIMESTAMP,tokens\n2023-11-16 18:17:03.9799600,374\n"
        "2023-11-16 18:17:04.0319600,396\n2023-11-16T18:17:05+00:00,1\n"
    )
    load = read(tmp_path, text, column="TIMESTAMP")
    assert load.moments == pytest.approx((0.0, 0.052, 1.02004))


def test_seconds_since_1970_are_moments_though_they_are_whole(tmp_path: Path) -> None:
    assert read(tmp_path, "1700000000\n1700000002\n").moments == (0.0, 2.0)


def test_whole_numbers_may_be_said_to_be_moments(tmp_path: Path) -> None:
    assert read(tmp_path, "0\n2\n3\n", of=TIMESTAMPS, from_s=1, seconds=1.5).moments == (1.0,)


def test_some_moments_are_left_out_and_the_same_each_time(tmp_path: Path) -> None:
    text = "\n".join(f"{n / 10}" for n in range(1000))
    some = read(tmp_path, text, scale=0.3, seed=4).moments
    assert 200 < len(some) < 400
    assert some == read(tmp_path, text, scale=0.3, seed=4).moments
    assert some != read(tmp_path, text, scale=0.3, seed=5).moments


def test_a_packed_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "trace.csv.gz"
    file.write_bytes(gzip.compress(b"1\n2\n"))
    load, said = read_trace(TraceSpec(file))
    assert rates(load) == [1.0, 2.0]
    assert said == "trace.csv.gz: 2 lines of counts"


@pytest.mark.parametrize("cut", [lambda packed: packed[:-9], lambda packed: damaged(packed)])
def test_a_packed_file_that_is_damaged_is_refused(tmp_path: Path, cut: Any) -> None:
    file = tmp_path / "trace.gz"
    file.write_bytes(cut(gzip.compress(b"".join(b"%d\n" % n for n in range(5000)))))
    with pytest.raises(UsageError, match=r"trace\.gz"):
        read_trace(TraceSpec(file))


def damaged(packed: bytes) -> bytes:
    middle = len(packed) // 2
    return packed[:middle] + bytes(each ^ 0xFF for each in packed[middle:])


@pytest.mark.parametrize(
    ("text", "said", "named"),
    [
        ("", {}, "holds no number and no time"),
        ("time\n", {}, "holds no number and no time"),
        ("1\nmany\n", {}, "line 2: 'many' is no number, nor a time"),
        ("a,b\n1,2\n3\n", {"column": "b"}, "line 3"),
        ("a,b\n1,2\n", {"column": "c"}, "--trace-column c"),
        ("1\n2\n", {"scale": 0.0}, "--trace-scale 0: must be more than 0"),
        ("1\n2\n", {"scale": float("nan")}, "--trace-scale nan"),
        ("1.5\n2\n", {"scale": 2.0}, "can be left out, but not made up"),
        ("1\n2\n", {"of": "lines"}, "--trace-of lines: there are counts, timestamps"),
        ("1.5\n2\n", {"of": COUNTS}, "1.5 is no number of requests"),
        ("-3\n2\n", {"of": COUNTS}, "-3 is no number of requests"),
        ("0\n0\n5\n", {"seconds": 2.0}, "no request is in that part of it"),
        ("0.5\n1\n", {"from_s": 9.0}, "no request is in that part of it"),
        ("inf\n1\n", {}, "no number"),
    ],
)
def test_what_is_no_trace_is_refused_with_its_place(
    tmp_path: Path, text: str, said: dict[str, Any], named: str
) -> None:
    if text == "inf\n1\n":  # it could be a heading
        assert rates(read(tmp_path, text)) == [1.0]
        return
    assert named in refusal(tmp_path, text, **said)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "trace"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="--trace"):
        read_trace(TraceSpec(file))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        read_trace(TraceSpec(tmp_path / "none.csv"))
    assert caught.value.reason == "NOT_FOUND"
