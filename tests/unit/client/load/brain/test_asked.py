"""What people write of a load: read as they mean it, or refused with what would be right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as some

from eais.errors import UsageError
from eais_client.load.brain import asked
from eais_client.load.brain.asked import LoadAsked, phases_of
from eais_client.load.brain.plan import Closed, Open, Phase, Spacing, Stretch

TRACE = Open(Spacing.POISSON, (Stretch(1.0, 5.0, 5.0), Stretch(1.0, 0.0, 0.0)))
MOMENTS = Open(moments=(0.0, 0.5, 2.0))


def refused(ask: Callable[[], object]) -> str:
    with pytest.raises(UsageError) as caught:
        ask()
    assert caught.value.reason == "ARGUMENT"
    return caught.value.message


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10s", 10.0),
        ("500ms", 0.5),
        ("250us", 0.00025),
        ("250µs", 0.00025),
        ("2m", 120.0),
        ("1.5h", 5400.0),
        (" .5s ", 0.5),
    ],
)
def test_times(text: str, seconds: float) -> None:
    assert asked.seconds_of("--duration", text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "10", "fast", "-1s", "1 s", "s", "1e9s", "nan", "infs"])
def test_what_is_no_time(text: str) -> None:
    said = refused(lambda: asked.seconds_of("--duration", text))
    assert said.startswith(f"--duration {text}")


def test_no_time_at_all_is_a_warm_part_but_no_duration() -> None:
    assert asked.seconds_of("--warmup", "0s") == 0
    assert asked.seconds_of("--trace-from", "0s") == 0
    assert "more than nothing" in refused(lambda: asked.seconds_of("--duration", "0s"))


@pytest.mark.parametrize("text", ["721h", "9" * 400 + "h"])
def test_a_time_that_nobody_waits_for(text: str) -> None:
    assert "30 days" in refused(lambda: asked.seconds_of("--duration", text))


@pytest.mark.parametrize(("text", "share"), [("5%", 0.05), ("0.05", 0.05), ("100%", 1), ("0", 0)])
def test_shares(text: str, share: float) -> None:
    assert asked.share_of("--check", text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["", "%", "101%", "1.1", "-1%", "nan", "half", "5%%"])
def test_what_is_no_share(text: str) -> None:
    refused(lambda: asked.share_of("--check", text))


def test_a_rate_that_stays() -> None:
    assert asked.rate_stretches("20", 10.0, 0.0) == (Stretch(10.0, 20.0, 20.0),)


def test_a_ramp_warms_up_at_where_it_begins() -> None:
    warm, ramp = asked.rate_stretches("10..100", 9.0, 1.0)
    assert warm == Stretch(1.0, 10.0, 10.0)
    assert ramp == Stretch(9.0, 10.0, 100.0)


def test_steps_are_equally_long() -> None:
    assert asked.rate_stretches("10,0,40", 9.0, 0.0) == (
        Stretch(3.0, 10.0, 10.0),
        Stretch(3.0, 0.0, 0.0),
        Stretch(3.0, 40.0, 40.0),
    )


RATES = [
    *("", "fast", "-1", "nan", "inf", "10..", "..10", "10,", "1,,2", "1..2..3"),
    *("0", "0..0", "0,0", "1e8", "1..1e300"),
]


@pytest.mark.parametrize("text", RATES)
def test_what_is_no_rate(text: str) -> None:
    assert f"--rate {text}" in refused(lambda: asked.rate_stretches(text, 10.0, 1.0))


def test_more_requests_than_fit_into_memory() -> None:
    assert "requests" in refused(lambda: asked.rate_stretches("1e6", 86_400.0, 0.0))
    assert asked.rate_stretches("20000", 3600.0, 1.0)


@pytest.mark.parametrize(
    ("text", "callers"),
    [
        ("8", (8,)),
        ("1,2,4", (1, 2, 4)),
        ("1, 2", (1, 2)),
        ("1:8:2", (1, 3, 5, 7)),
        ("2:4", (2, 3, 4)),
        ("4:4", (4,)),
    ],
)
def test_callers(text: str, callers: tuple[int, ...]) -> None:
    assert asked.callers_of(text) == callers


@pytest.mark.parametrize(
    "text",
    ["", "0", "-1", "1,0", "1.5", "many", "8:1", "1:8:0", "1:2:3:4", "0:4", ":", "1,", "1:4,8"],
)
def test_what_is_no_number_of_callers(text: str) -> None:
    assert "such as 8" in refused(lambda: asked.callers_of(text))


def test_too_many_callers_and_phases() -> None:
    assert "phases" in refused(lambda: asked.callers_of("1:999999999999"))
    assert "callers" in refused(lambda: asked.callers_of("999999999999"))
    assert "callers" in refused(lambda: asked.callers_of("9" * 5000))


def test_weights() -> None:
    assert asked.weights_of("3:1", 2) == (3, 1)
    assert asked.weights_of("", 3) == (1, 1, 1)
    assert "2 weights for 3" in refused(lambda: asked.weights_of("3:1", 3))


@pytest.mark.parametrize("text", ["0:1", "-1:2", "a:b", "1.5:1", ":", "1:" + "9" * 30])
def test_what_is_no_weight(text: str) -> None:
    refused(lambda: asked.weights_of(text, 2))


@pytest.mark.parametrize(
    ("text", "name", "shape"),
    [
        ("x=1,3,224,224", "x", (1, 3, 224, 224)),
        ("x:1,3", "x", (1, 3)),
        ("input:0=2", "input:0", (2,)),
        ("a=b=0,4", "a=b", (0, 4)),
        ("x=1, 3", "x", (1, 3)),
    ],
)
def test_shapes(text: str, name: str, shape: tuple[int, ...]) -> None:
    assert asked.shape_of(text) == (name, shape)


@pytest.mark.parametrize("text", ["", "x", "x=", "=1", "x=1,-1", "x=a", "x=1.5", "x=" + "9" * 5000])
def test_what_is_no_shape(text: str) -> None:
    assert "--shape" in refused(lambda: asked.shape_of(text))


def test_ranges() -> None:
    assert asked.range_of("x=0..255") == ("x", (0.0, 255.0))
    assert asked.range_of("x=-1e3..-.5") == ("x", (-1000.0, -0.5))


@pytest.mark.parametrize("text", ["x", "x=1", "=0..1", "x=2..1", "x=a..b", "x=nan..1", "x=0..inf"])
def test_what_is_no_range(text: str) -> None:
    assert "--range" in refused(lambda: asked.range_of(text))


def test_without_a_word_there_is_one_caller() -> None:
    assert phases_of(LoadAsked()) == (Phase("1 caller", Closed(1), 10.0, 1.0),)


def test_a_sweep_is_a_phase_each() -> None:
    phases = phases_of(LoadAsked(concurrency="1,2", duration="5s", warmup="0"))
    assert phases == (
        Phase("1 caller", Closed(1), 5.0),
        Phase("2 callers", Closed(2), 5.0),
    )


def test_an_open_loop() -> None:
    (phase,) = phases_of(LoadAsked(rate="20", arrivals="gamma", burst=4.0, duration="5s"))
    stretches = (Stretch(1.0, 20.0, 20.0), Stretch(5.0, 20.0, 20.0))
    assert phase == Phase("20/s gamma", Open(Spacing.GAMMA, stretches, 4.0), 5.0, 1.0)


def test_a_rate_alone_is_poissons() -> None:
    (phase,) = phases_of(LoadAsked(rate="20"))
    assert isinstance(phase.load, Open)
    assert phase.load.spacing is Spacing.POISSON


def test_a_trace_lasts_as_long_as_it_does_or_is_asked_for() -> None:
    assert phases_of(LoadAsked(trace=TRACE))[0].seconds == 2.0
    assert phases_of(LoadAsked(trace=TRACE, duration="1s"))[0].seconds == 1.0
    assert phases_of(LoadAsked(trace=TRACE, duration="9s"))[0].seconds == 2.0


def test_the_last_moment_of_a_trace_is_within_it() -> None:
    assert phases_of(LoadAsked(trace=MOMENTS))[0].seconds > 2.0


NONSENSE = {
    "two loads": LoadAsked(concurrency="1", rate="20"),
    "two kinds of load": LoadAsked(concurrency="1", arrivals="poisson"),
    "callers and a trace": LoadAsked(concurrency="1", trace=TRACE),
    "a trace and a rate": LoadAsked(trace=TRACE, rate="20"),
    "a trace that warms up": LoadAsked(trace=TRACE, warmup="5s"),
    "moments and gaps": LoadAsked(trace=MOMENTS, arrivals="poisson"),
    "no rate": LoadAsked(arrivals="poisson"),
    "unknown gaps": LoadAsked(arrivals="random", rate="20"),
    "a burst of poisson's": LoadAsked(arrivals="poisson", rate="20", burst=2.0),
    "a burst of nothing": LoadAsked(burst=2.0),
    "no duration": LoadAsked(duration="0s"),
    "bad callers though": LoadAsked(concurrency="0"),
}


@pytest.mark.parametrize("load", NONSENSE.values(), ids=NONSENSE.keys())
def test_what_is_no_load(load: LoadAsked) -> None:
    assert "--" in refused(lambda: phases_of(load))


@pytest.mark.parametrize("burst", [0.0, -1.0, float("nan"), float("inf"), 1e6])
def test_what_is_no_burst(burst: float) -> None:
    load = LoadAsked(arrivals="gamma", rate="20")
    assert phases_of(replace(load, burst=2.0))
    assert "--burst" in refused(lambda: phases_of(replace(load, burst=burst)))


READERS: tuple[Callable[[str], object], ...] = (
    lambda text: asked.seconds_of("--duration", text),
    lambda text: asked.share_of("--check", text),
    lambda text: asked.rate_stretches(text, 10.0, 1.0),
    asked.callers_of,
    lambda text: asked.weights_of(text, 2),
    asked.shape_of,
    asked.range_of,
    asked.spacing_of,
)


@given(some.text("0123456789.,:=%eE-+smhx _٣²½µ", max_size=12), some.sampled_from(READERS))
def test_nothing_that_is_written_is_more_than_refused(
    text: str, read: Callable[[str], object]
) -> None:
    try:
        read(text)
    except UsageError as error:
        assert error.reason == "ARGUMENT"  # noqa: PT017 - either is right
