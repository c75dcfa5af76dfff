"""What a load test found, in words for a terminal or a log."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from eais_client.cli.table import Column, pairs, table
from eais_client.load.brain.figures import PERCENTILES, Figures
from eais_client.load.brain.run_figures import WAIT, RunFigures
from eais_client.load.report.amounts import (
    FAILED,
    amount,
    harmless,
    megabytes,
    milliseconds,
    per_s,
    percent,
    plural,
)
from eais_client.load.report.load_words import load_words
from eais_client.load.result import LoadTestResult

Paint = Callable[[str, str], str]
"""(text, "red" | "yellow" | "green" | "bold") -> the text in that colour."""

_PARTS: Final = {WAIT: "waiting to be sent", "line": "waiting for room"}


def unpainted(text: str, colour: str) -> str:
    """Without colours."""
    return text


def lines(result: LoadTestResult, paint: Paint = unpainted, width: int | None = None) -> list[str]:
    """All of it, but for what `--fail-if` says.

    One run is told in full; of several there is a line each, and what went wrong below.

    Args:
        result: of the test.
        paint: such as a printer's.
        width: cells of the terminal; tables leave columns out to fit.
    """
    parts = [_runs(result, paint, width)]
    parts += [_ratios(result, width), _capacity(result, paint), _steps(result, width)]
    if result.interrupted:
        parts.append(
            [paint("The test was ended before its time; this is what there was.", "yellow")]
        )
    found: list[str] = []
    for part in filter(None, parts):
        found += ["", *part] if found else part
    return found


def _runs(result: LoadTestResult, paint: Paint, width: int | None) -> list[str]:
    if not result.runs:
        return [] if result.capacity or result.steps else ["Nothing was measured."]
    if len(result.runs) == 1:
        return _one(result.runs[0], paint)
    return [*_many(result.runs, width), *_blemishes(result.runs, paint)]


def _one(run: RunFigures, paint: Paint) -> list[str]:
    all_of = run.all
    rows = [
        ("Requests", _requests(all_of)),
        ("Throughput", _throughput(all_of)),
        ("Latency", _latency(all_of)),
        ("Of answers", _answers(all_of)),
        ("From sending", _service(all_of)),
        *_split(run),
        ("Client", _side(run.client)),
        ("Server", _side(run.server)),
        ("Schedule", harmless(str(run.schedule.get("said", "")))),
    ]
    head = paint(f"{harmless(run.target)}: {load_words(run.load)}", "bold")
    found = [head, *pairs([row for row in rows if row[1]])]
    if run.models:
        found += ["", *_models(run)]
    return [*found, *_blemishes([run], paint)]


def _requests(all_of: Figures) -> str:
    told = [
        f"{all_of.requests} due",
        f"{all_of.answered} answered",
        f"{all_of.errors} failed",
        f"{all_of.wrong} wrong of {all_of.checked} checked" if all_of.checked else "none checked",
    ]
    if all_of.unanswered:
        told.append(f"{all_of.unanswered} unanswered")
    return ", ".join(told)


def _throughput(all_of: Figures) -> str:
    told = f"asked {per_s(all_of.asked_per_s)}, done {per_s(all_of.done_per_s)}"
    if all_of.slo_ms is None:
        return told
    good = per_s(all_of.goodput_per_s)
    share = percent(all_of.goodput_per_s, all_of.asked_per_s)
    return f"{told}, within {milliseconds(all_of.slo_ms)} {good} ({share})"


def _latency(all_of: Figures) -> str:
    if not all_of.requests:
        return ""
    named = {name: getattr(all_of, name) for name in PERCENTILES}
    told = [f"{_name(name)} {milliseconds(each)}" for name, each in named.items()]
    return "   ".join(told)


def _name(figure: str) -> str:
    """ "p99.9" for "p99_9_ms"."""
    return figure.removesuffix("_ms").replace("_", ".")


def _answers(all_of: Figures) -> str:
    if not all_of.answered:
        return ""
    named = {"mean": all_of.mean_ms, "min": all_of.min_ms, "max": all_of.max_ms}
    return "   ".join(f"{name} {milliseconds(each, '-')}" for name, each in named.items())


def _service(all_of: Figures) -> str:
    if all_of.service_p50_ms is None:
        return ""
    p50, p99 = milliseconds(all_of.service_p50_ms), milliseconds(all_of.service_p99_ms)
    return f"p50 {p50}   p99 {p99}"


def _split(run: RunFigures) -> list[tuple[str, str]]:
    if not run.split:
        return []
    told = [
        f"{_PARTS.get(part, part)} {amount(each.get('mean_ms'))}"
        for part, each in run.split.items()
        if each.get("mean_ms")
    ]
    batch = run.all.batch_size
    rest = f"; {amount(batch)} in a batch" if batch is not None else ""
    whose = ", by the server's account" if run.split_from == "server" else ""
    return [("Mean split", f"{', '.join(told)} ms{whose}{rest}")]


def _side(side: Mapping[str, Any]) -> str:
    if "cores" not in side:
        return f"unknown: {harmless(str(side.get('why_not', 'not measured')))}"
    most = f" (at most {amount(side.get('cores_max'))})" if side.get("cores_max") else ""
    return f"{amount(side['cores'])} cores{most}, {megabytes(side.get('rss_mb'))}"


def _models(run: RunFigures) -> list[str]:
    headings = ["MODEL", "REQUESTS", "DONE/S", "P50 MS", "P99 MS", "FAILED", "WRONG"]
    return table(
        headings,
        [
            [
                harmless(name),
                str(each.requests),
                amount(each.done_per_s),
                amount(each.p50_ms, FAILED),
                amount(each.p99_ms, FAILED),
                str(each.errors + each.unanswered),
                str(each.wrong),
            ]
            for name, each in run.models.items()
        ],
    )


_SHOWN: Final = ("p50_ms", "p90_ms", "p99_ms", "p99_9_ms")
_HEADINGS: Final = (
    Column("TARGET", least=12, rank=1),
    Column("LOAD", least=10, rank=1),
    Column("ROUND", rank=3),
    Column("ASKED/S"),
    Column("DONE/S"),
    Column("GOOD/S", rank=4),
    Column("P50 MS"),
    Column("P90 MS", rank=6),
    Column("P99 MS"),
    Column("P99.9 MS", rank=5),
    Column("FAILED"),
    Column("WRONG"),
    Column("CLIENT CPU", rank=8),
    Column("SERVER CPU", rank=7),
    Column("SCHEDULE", rank=2),
)


def _many(runs: Sequence[RunFigures], width: int | None) -> list[str]:
    rows = [_row(run) for run in runs]
    columns = list(_HEADINGS)
    shown = {
        "TARGET": len({run.target for run in runs}) > 1,
        "ROUND": any(run.round != 1 for run in runs),
        "GOOD/S": any(run.all.slo_ms is not None for run in runs),
    }
    kept = [n for n, each in enumerate(columns) if shown.get(each.heading, True)]
    return table([columns[n] for n in kept], [[row[n] for n in kept] for row in rows], width)


def _row(run: RunFigures) -> list[str]:
    all_of = run.all
    return [
        harmless(run.target),
        harmless(run.phase),
        str(run.round),
        amount(all_of.asked_per_s),
        amount(all_of.done_per_s),
        amount(all_of.goodput_per_s),
        *(amount(getattr(all_of, name), FAILED) for name in _SHOWN),
        str(all_of.errors + all_of.unanswered),
        str(all_of.wrong),
        amount(run.client.get("cores")),
        amount(run.server.get("cores")),
        "kept" if run.kept else "not kept",
    ]


def _blemishes(runs: Sequence[RunFigures], paint: Paint) -> list[str]:
    """What went wrong, each thing once; of several runs it is said of which."""
    found: dict[str, None] = {}
    for run in runs:
        whose = "" if len(runs) == 1 else f"{harmless(run.target)}, {harmless(run.phase)}: "
        for text, colour in _of_run(run, told=len(runs) == 1):
            found[paint(f"{whose}{text}", colour)] = None
    return ["", *found] if found else []


def _of_run(run: RunFigures, told: bool) -> Iterable[tuple[str, str]]:
    all_of = run.all
    for reason, count in all_of.error_reasons.items():
        text = harmless(all_of.error_texts.get(reason, ""))
        yield f"{count} failed with {harmless(reason)}" + (f": {text}" if text else ""), "red"
    if all_of.wrong:
        text = harmless(all_of.error_texts.get("WRONG", ""))
        yield plural(all_of.wrong, "answer") + " wrong" + (f": {text}" if text else ""), "red"
    if all_of.unanswered:
        yield f"{plural(all_of.unanswered, 'request')} never answered", "red"
    if not run.kept:
        said = harmless(str(run.schedule.get("said", "")))
        yield "The schedule wasn't kept" + ("" if told or not said else f": {said}"), "yellow"
    for fault in run.faults:
        yield f"The load generator failed: {harmless(str(fault))}", "red"


def _ratios(result: LoadTestResult, width: int | None) -> list[str]:
    if not result.ratios:
        return []
    rows = [
        [
            harmless(f"{each.get('target')} ÷ {each.get('against')}"),
            harmless(str(each.get("phase", ""))),
            harmless(str(each.get("figure", ""))),
            amount(each.get("ratio")),
            interval(each),
            str(each.get("rounds", "")),
        ]
        for each in result.ratios
    ]
    columns: list[str | Column] = [
        Column("RATIO OF", least=12, rank=1),
        Column("LOAD", rank=3),
        "FIGURE",
        "RATIO",
        "95 % INTERVAL",
        Column("ROUNDS", rank=2),
    ]
    return table(columns, rows, width)


def interval(each: Mapping[str, Any]) -> str:
    """ "0.91 to 1.04", or that there are too few rounds for one."""
    if each.get("low") is None or each.get("high") is None:
        return "too few rounds"
    return f"{amount(each['low'])} to {amount(each['high'])}"


def _capacity(result: LoadTestResult, paint: Paint) -> list[str]:
    if result.capacity is None:
        return []
    trials = len(result.capacity.get("trials", ()))
    said = harmless(str(result.capacity.get("said", "")))
    return [paint(f"Capacity: {said}", "bold") + f" ({plural(trials, 'trial')})"]


def _steps(result: LoadTestResult, width: int | None) -> list[str]:
    if not result.steps:
        return []
    columns: list[str | Column] = [
        Column("STEP", least=12, rank=1),
        "AT S",
        "TOOK S",
        "REQUESTS",
        "LOST",
        "WRONG",
        "LATE",
        Column("P99 MS", rank=3),
        Column("MAX MS", rank=3),
        Column("WHAT CAME OF IT", rank=2, least=16),
    ]
    return table(columns, [_step(each) for each in result.steps], width)


def _step(each: Mapping[str, Any]) -> list[str]:
    counts = (each.get(name) for name in ("requests", "lost", "wrong", "late"))
    return [
        harmless(str(each.get("step", ""))),
        amount(each.get("began_s")),
        amount(each.get("seconds")),
        *("" if count is None else str(count) for count in counts),
        amount(each.get("p99_ms")),
        amount(each.get("max_ms")),
        harmless(str(each.get("said", ""))),
    ]
