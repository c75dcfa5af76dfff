from __future__ import annotations

from typing import Any

import pytest

from eais.errors import UsageError
from eais_client.load.brain.noise import FIGURES, Judged, Verdict, compare
from tests.unit.client.load.brain.documents import document


def figure(name: str, a: dict[str, Any], b: dict[str, Any], **how: Any) -> Judged:
    (found,) = (each for each in compare(a, b, **how).judged if each.figure == name)
    return found


@pytest.mark.slow
def test_a_system_differs_from_itself_in_at_most_one_comparison_of_twenty() -> None:
    tests = [document(seed, seconds=20) for seed in range(80)]
    pairs = zip(tests[::2], tests[1::2], strict=True)
    called = [
        any(each.verdict in (Verdict.BETTER, Verdict.WORSE) for each in compare(a, b).judged)
        for a, b in pairs
    ]
    assert sum(called) <= 0.05 * len(called)


def test_a_tenth_more_is_seen_and_which_way() -> None:
    slower, faster = document(1, seconds=60, shift=1.1), document(2, seconds=60)
    seen = figure("p50_ms", faster, slower)
    assert seen.verdict is Verdict.WORSE
    assert seen.low is not None
    assert seen.high is not None
    assert 1 < seen.low < 1.1 < seen.high
    assert figure("p50_ms", slower, faster).verdict is Verdict.BETTER
    assert figure("server_cores", faster, slower).verdict is Verdict.WORSE
    assert figure("client_cores", faster, slower).verdict is Verdict.SAME


def test_a_test_too_short_for_a_tenth_says_how_long_it_takes() -> None:
    short = figure("mean_ms", document(3, seconds=10), document(4, seconds=10))
    assert short.verdict is Verdict.SAME
    assert short.sees is not None
    assert short.sees > 0.1
    assert short.said.startswith("too short to see 10 %: that takes about")
    assert figure("mean_ms", document(3), document(4), seek=5.0).said == ""


def test_a_percentile_of_few_requests_isnt_judged() -> None:
    rare = figure("p99_9_ms", document(3, seconds=10), document(4, seconds=10))
    assert rare.verdict is Verdict.UNKNOWN
    assert rare.said.startswith("it rests on 2 of ")
    instant = figure("mean_ms", document(3, seconds=3), document(4, seconds=3))
    assert (instant.verdict, instant.said[:15]) == (Verdict.UNKNOWN, "3 s are too sho")


def test_failures_make_it_worse_and_a_percentile_among_them_too() -> None:
    well, ill = document(5), document(6, fails=0.05)
    assert figure("failed_share", well, ill).verdict is Verdict.WORSE
    assert figure("failed_share", ill, well).verdict is Verdict.BETTER
    lost = figure("p99_ms", well, ill)
    assert (lost.b, lost.ratio, lost.verdict) == (None, None, Verdict.WORSE)
    assert lost.said == "it is in what failed"
    both = figure("p99_ms", ill, document(7, fails=0.05))
    assert (both.a, both.b, both.verdict) == (None, None, Verdict.SAME)


def test_one_failure_in_thousands_is_noise() -> None:
    well, other = document(5), document(6)
    other["runs"][0]["series"][3] |= {"failed": 1}
    assert figure("failed_share", well, other).verdict is Verdict.SAME


def test_from_four_rounds_on_what_differs_between_them_counts() -> None:
    steady = document(8, rounds=4, seconds=10)
    uneven = document(9, rounds=4, seconds=10)
    for number, run in enumerate(uneven["runs"]):
        for second in run["series"]:
            second["server_cores"] *= 1 + 0.2 * number
    within = figure("server_cores", steady, {**uneven, "runs": uneven["runs"][3:]})
    assert within.verdict is Verdict.WORSE  # a single round, at 1.6 of the first one's
    assert figure("server_cores", steady, uneven).verdict is Verdict.SAME
    assert not any("--rounds" in each for each in compare(steady, uneven).noted)
    assert any("--rounds" in each for each in compare(document(1), document(2)).noted)


def test_what_isnt_in_both_isnt_judged() -> None:
    a, b = document(1, seconds=10), document(2, seconds=10)
    assert {each.figure for each in compare(a, b).judged} == {*FIGURES} - {"server_rss_mb"}
    b["settings"]["slo_ms"] = a["settings"]["slo_ms"] = None
    assert "goodput_per_s" not in {each.figure for each in compare(a, b).judged}


def test_a_run_of_which_nothing_was_counted_is_no_reason_to_fail() -> None:
    empty = document(2, seconds=10)
    empty["runs"][0]["series"] = []
    assert compare(document(1, seconds=10), empty).judged == ()


def test_it_is_refused_to_compare_other_things_unless_told_so() -> None:
    a, b = document(1, seconds=10), document(2, seconds=10, rate=100.0)
    b["models"][0]["sha256"] = "cd" * 32
    with pytest.raises(UsageError) as caught:
        compare(a, b)
    assert "resnet50 is another model: sha256 abababababab… and cdcdcdcdcdcd…" in str(caught.value)
    assert caught.value.hint == "--anyway compares them nevertheless"
    anyway = compare(a, b, anyway=True)
    assert len(anyway.differs) == 2
    assert figure("done_per_s", a, b, anyway=True).verdict is Verdict.WORSE


def test_it_is_told_as_json_has_it() -> None:
    data = compare(document(1, seconds=10), document(2, seconds=10)).data()
    assert data["confidence"] == 0.95
    assert data["judged"][0]["figure"] == "mean_ms"
