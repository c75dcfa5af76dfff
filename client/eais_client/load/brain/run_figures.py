"""All that is said of a run, one phase on one target, and how a result document has it. (Brain)"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Self

from hdrh.histogram import HdrHistogram

from eais_client.load.brain.figures import PERCENTILES, Figures, ms, number, tally_figures
from eais_client.load.brain.plan import Closed, Open, Phase
from eais_client.load.brain.spread import Spread, spread, to_text
from eais_client.load.record import PARTS, Interval, PhaseRecord, Tally, Usage, new_histogram

WAIT: Final = "wait"
"""The part of a latency that is before the sending: until the generator, or a caller, was free."""
_MOST_ENTRIES: Final = 1000
"""Of a load's stretches or moments in a document; of more their number and digest is said."""


@dataclass(frozen=True, slots=True)
class RunFigures:
    """What came of a run.

    Attributes:
        target, phase: their names.
        round: which of several rounds, from 1 on.
        load: what was asked; see `load_data`.
        seconds: how long was measured.
        began_unix_s: when that began.
        all: of the requests of all models.
        split: part of a request's time -> mean_ms, and p50_ms and p99_ms where the target tells
            them of each request (else None). Of `PARTS`, and `WAIT`. Empty if it tells nothing.
        split_from: "requests", or "server": sums that the server keeps, of all its clients.
        schedule: kept, said; lag_p50_ms, lag_p99_ms, lag_max_ms: by how much requests were sent
            late though a caller was free; blocked_p99_ms: how long they waited for one.
        client, server: cores (mean), cores_max, rss_mb (highest); or why_not.
        models: name -> of its requests alone, if there are several.
        series: of each second: second, asked, done, failed, wrong, unanswered; p50_ms, p99_ms and
            histogram of what was due in it; client_cores, client_rss_mb, server_cores,
            server_rss_mb. `done` came in that second, the others were due in it.
        histogram: of the latencies of right answers, microseconds, HdrHistogram's base64.
        faults: what went wrong with the generator.
        interrupted: whether the run was ended before its time.
    """

    target: str
    phase: str
    round: int = 1
    load: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    began_unix_s: float = 0.0
    all: Figures = field(default_factory=Figures)
    split: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    split_from: str = ""
    schedule: Mapping[str, Any] = field(default_factory=dict)
    client: Mapping[str, Any] = field(default_factory=dict)
    server: Mapping[str, Any] = field(default_factory=dict)
    models: Mapping[str, Figures] = field(default_factory=dict)
    series: Sequence[Mapping[str, Any]] = ()
    histogram: str = ""
    faults: Sequence[str] = ()
    interrupted: bool = False

    @property
    def kept(self) -> bool:
        """Whether the generator kept its schedule."""
        return bool(self.schedule.get("kept", True))

    def data(self) -> dict[str, Any]:
        """As JSON has it: the figures of all models stand beside the rest."""
        data = {name: getattr(self, name) for name in _PLAIN}
        named = {name: each.data() for name, each in self.models.items()}
        return {**data, **self.all.data(), **{name: data[name] for name in _LAST}, "models": named}

    @classmethod
    def of_data(cls, data: Mapping[str, Any]) -> Self:
        """What `data` made; raises a `ValueError` that names what is missing or of no use."""
        for name, kind in _KINDS.items():
            if not isinstance(data.get(name), kind):
                raise ValueError(f"{name} is {repr(data.get(name))[:60]}")
        for each in data["series"]:
            if not isinstance(each, Mapping) or not _of_second(each):
                raise ValueError(f"series holds {repr(each)[:60]}")
        for name, each in data["split"].items():
            if not isinstance(each, Mapping):
                raise ValueError(f"split.{name} is {repr(each)[:60]}")
        models = {name: Figures.of_data(each) for name, each in data["models"].items()}
        plain = {name: data[name] for name in _PLAIN}
        return cls(**{**plain, "models": models, "all": Figures.of_data(data)})


_KINDS: Final[Mapping[str, type | tuple[type, ...]]] = {
    "target": str,
    "phase": str,
    "round": int,
    "load": Mapping,
    "seconds": (int, float),
    "began_unix_s": (int, float),
    "split": Mapping,
    "split_from": str,
    "schedule": Mapping,
    "client": Mapping,
    "server": Mapping,
    "models": Mapping,
    "series": list,
    "histogram": str,
    "faults": list,
    "interrupted": bool,
}
_PLAIN: Final = tuple(name for name in _KINDS if name != "models")
_LAST: Final = ("series", "histogram", "faults", "interrupted")


def _of_second(data: Mapping[str, Any]) -> bool:
    """Whether an entry of `series` has what figures are made of."""
    counts = ("second", "asked", "done", "failed", "wrong", "unanswered", "answered")
    return all(number(data.get(name)) for name in counts) and isinstance(data.get("histogram"), str)


def figures(
    record: PhaseRecord,
    slo_s: float | None = None,
    *,
    round_number: int = 1,
    kept: bool = True,
    said: str = "",
) -> RunFigures:
    """All figures of a phase.

    Args:
        record: what was counted.
        slo_s: within which a request is to be answered.
        round_number: of several rounds.
        kept, said: whether the generator kept its schedule, and that in words.
    """
    tallies = list(record.models.values())
    usage = [each for each in record.usage if 0 <= each.second < record.seconds]
    split, split_from = _split(record, tallies)
    one_by_one = {
        name: tally_figures([tally], record.seconds, slo_s)
        for name, tally in record.models.items()
        if len(tallies) > 1
    }
    return RunFigures(
        target=record.target,
        phase=record.phase.name,
        round=round_number,
        load=load_data(record.phase),
        seconds=round(record.seconds, 3),
        began_unix_s=round(record.began_unix_s, 3),
        all=tally_figures(tallies, record.seconds, slo_s),
        split=split,
        split_from=split_from,
        schedule={"kept": kept, "said": said, **_lags(record)},
        client=_used([(each.client_cores, each.client_rss_mb) for each in usage], ""),
        server=_used(
            [(each.server_cores, each.server_rss_mb) for each in usage], record.server_unseen
        ),
        models=one_by_one,
        series=_series(record, usage),
        histogram=to_text(_together(tallies)),
        faults=list(record.faults),
        interrupted=record.interrupted,
    )


def load_data(phase: Phase) -> dict[str, Any]:
    """What was asked: `kind` "closed" with callers, or "open" with spacing, burst and stretches,
    or moments; the seconds measured if all goes well, and those before that.
    """
    load = phase.load
    asked: dict[str, Any] = {"seconds": phase.seconds, "warm_s": phase.warm_s}
    if isinstance(load, Closed):
        return {"kind": "closed", "callers": load.callers, **asked}
    if load.moments:
        return {"kind": "open", "moments": _entries(load.moments), **asked}
    return {"kind": "open", **_stretches(load), **asked}


def _stretches(load: Open) -> dict[str, Any]:
    stretches = [asdict(each) for each in load.stretches]
    return {
        "spacing": load.spacing.value,
        "burst": load.burst,
        "stretches": _entries(stretches),
    }


def _entries(entries: Sequence[Any]) -> Any:
    if len(entries) <= _MOST_ENTRIES:
        return list(entries)
    digest = hashlib.sha256(repr(list(entries)).encode()).hexdigest()
    return {"count": len(entries), "sha256": digest}


def _lags(record: PhaseRecord) -> dict[str, float | None]:
    lag, blocked = spread([record.lag]), spread([record.blocked])
    return {
        "lag_p50_ms": ms(lag.quantile(PERCENTILES["p50_ms"])),
        "lag_p99_ms": ms(lag.quantile(PERCENTILES["p99_ms"])),
        "lag_max_ms": ms(lag.most()),
        "blocked_p99_ms": ms(blocked.quantile(PERCENTILES["p99_ms"])),
    }


def _used(seen: Sequence[tuple[float | None, float | None]], why_not: str) -> dict[str, Any]:
    """Of the seconds in which it is known."""
    cores = [each for each, _ in seen if each is not None]
    memory = [each for _, each in seen if each is not None]
    if not cores:
        return {"why_not": why_not or "the run was over before it was looked at"}
    return {
        "cores": round(sum(cores) / len(cores), 3),
        "cores_max": round(max(cores), 3),
        "rss_mb": round(max(memory), 1) if memory else None,
    }


def _split(
    record: PhaseRecord, tallies: Sequence[Tally]
) -> tuple[dict[str, dict[str, float | None]], str]:
    """Where the time of requests went, and who says so."""
    wait = _wait(tallies)
    if any(tally.parts for tally in tallies):
        parts = {
            part: spread(tally.parts[part] for tally in tallies if part in tally.parts)
            for part in PARTS
        }
        told = {part: _of_part(each) for part, each in parts.items() if each.total}
        return {**wait, **told}, "requests"
    if not record.server_parts:
        return {}, ""
    service = spread(tally.service for tally in tallies).mean()
    known = {part: record.server_parts.get(part) for part in PARTS}
    if service is not None and known["wire"] is None:
        # What the server doesn't account for was before it and after it.
        known["wire"] = max(0.0, service / 1e6 - sum(record.server_parts.values()))
    means = {part: round(each * 1e3, 4) for part, each in known.items() if each is not None}
    return {**wait, **{part: _mean_alone(each) for part, each in means.items()}}, "server"


def _wait(tallies: Sequence[Tally]) -> dict[str, dict[str, float | None]]:
    """By how much the mean latency is above the mean from the sending on."""
    latency = spread(tally.latency for tally in tallies).mean()
    service = spread(tally.service for tally in tallies).mean()
    if latency is None or service is None:
        return {}
    return {WAIT: _mean_alone(max(0.0, round((latency - service) / 1e3, 4)))}


def _of_part(part: Spread) -> dict[str, float | None]:
    return {
        "mean_ms": ms(part.mean()),
        "p50_ms": ms(part.quantile(PERCENTILES["p50_ms"])),
        "p99_ms": ms(part.quantile(PERCENTILES["p99_ms"])),
    }


def _mean_alone(mean_ms: float) -> dict[str, float | None]:
    return {"mean_ms": mean_ms, "p50_ms": None, "p99_ms": None}


def _series(record: PhaseRecord, usage: Sequence[Usage]) -> list[dict[str, Any]]:
    used = {each.second: each for each in usage}
    seconds = sorted(second for second in {*record.intervals, *used} if second >= 0)
    return [
        {
            "second": second,
            **_interval_data(record.intervals.get(second, Interval())),
            **_usage_data(used.get(second)),
        }
        for second in seconds
    ]


def _interval_data(interval: Interval) -> dict[str, Any]:
    latency = spread([interval.latency])
    return {
        "asked": interval.due,
        "done": interval.done,
        "failed": interval.failed,
        "wrong": interval.wrong,
        "unanswered": interval.unanswered,
        "answered": interval.answered,
        "p50_ms": ms(latency.quantile(PERCENTILES["p50_ms"], interval.due)),
        "p99_ms": ms(latency.quantile(PERCENTILES["p99_ms"], interval.due)),
        "histogram": to_text(interval.latency),
    }


def _usage_data(usage: Usage | None) -> dict[str, float | None]:
    if usage is None:
        return dict.fromkeys(("client_cores", "client_rss_mb", "server_cores", "server_rss_mb"))
    return {
        "client_cores": round(usage.client_cores, 3),
        "client_rss_mb": round(usage.client_rss_mb, 1),
        "server_cores": None if usage.server_cores is None else round(usage.server_cores, 3),
        "server_rss_mb": None if usage.server_rss_mb is None else round(usage.server_rss_mb, 1),
    }


def _together(tallies: Sequence[Tally]) -> HdrHistogram:
    if len(tallies) == 1:
        return tallies[0].latency
    made = new_histogram()
    for tally in tallies:
        made.add(tally.latency)
    return made
