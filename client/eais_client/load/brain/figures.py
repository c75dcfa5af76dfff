"""What is said of requests: percentiles, throughput, goodput, failures. (Brain)

**Percentiles are of all requests that were due.** One that failed, wasn't answered, or was answered
wrongly has no latency; it ranks behind every answer. So p99 is None if more than 1 % of the
requests had no right answer, and one failed request of 50 is the 50th. Otherwise it is the latency
of the request at rank ceil(0.99 n), the nearest-rank definition: of 50 requests the slowest.
`answered_p99_ms` is of right answers alone; so are mean, lowest and highest.

Latency counts from the moment when a request was due, `service_…` from when it was sent. The
figures of a histogram are within 0.1 % of the values that it was told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final, Self

from eais_client.load.brain.spread import Spread, spread
from eais_client.load.record import Tally

PERCENTILES: Final = {
    "p50_ms": 500_000,
    "p90_ms": 900_000,
    "p95_ms": 950_000,
    "p99_ms": 990_000,
    "p99_9_ms": 999_000,
    "p99_99_ms": 999_900,
}
"""Figure -> quantile in millionths."""
_TEXT_CHARS: Final = 300


@dataclass(frozen=True, slots=True)
class Figures:
    """Of the requests of one model, or of all; times in milliseconds, rates a second.

    Attributes:
        requests: that were due (of a closed loop: sent).
        answered: rightly, as far as that was checked.
        errors: that failed; `error_reasons` says of what, `error_texts` what one of each said.
        wrong: answers that differ from the reference, of `checked` that were compared.
        unanswered: neither answered nor failed when the phase was over.
        asked_per_s: requests ÷ the seconds measured.
        done_per_s: right answers that came while was measured ÷ seconds.
        goodput_per_s: requests that were answered rightly within the SLO ÷ seconds; without an
            SLO as `done_per_s`.
        slo_ms: the SLO; None if there is none.
        mean_ms, min_ms, max_ms, answered_p99_ms: of right answers alone; None if there is none.
        p50_ms ... p99_99_ms: see above.
        service_p50_ms, service_p99_ms: of right answers, from their sending.
        batch_size: with how many a request ran together, itself included, on average; None if the
            target doesn't tell.
    """

    requests: int = 0
    answered: int = 0
    errors: int = 0
    error_reasons: Mapping[str, int] = field(default_factory=dict)
    error_texts: Mapping[str, str] = field(default_factory=dict)
    wrong: int = 0
    checked: int = 0
    unanswered: int = 0
    asked_per_s: float = 0.0
    done_per_s: float = 0.0
    goodput_per_s: float = 0.0
    slo_ms: float | None = None
    mean_ms: float | None = None
    min_ms: float | None = None
    p50_ms: float | None = None
    p90_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    p99_9_ms: float | None = None
    p99_99_ms: float | None = None
    max_ms: float | None = None
    answered_p99_ms: float | None = None
    service_p50_ms: float | None = None
    service_p99_ms: float | None = None
    batch_size: float | None = None

    def data(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)

    @classmethod
    def of_data(cls, data: Mapping[str, Any]) -> Self:
        """What `data` made; other keys are let be.

        Raises a `ValueError` that names the key that is missing, or isn't of its kind.
        """
        return cls(**{each.name: _checked(each.name, data) for each in fields(cls)})


_MAPPINGS: Final = ("error_reasons", "error_texts")
_NEVER_NONE: Final = tuple(each.name for each in fields(Figures) if each.type in ("int", "float"))


def _checked(name: str, data: Mapping[str, Any]) -> Any:
    value = data.get(name)
    if name in _MAPPINGS:
        kind: type = int if name == "error_reasons" else str
        if isinstance(value, Mapping) and all(isinstance(each, kind) for each in value.values()):
            return dict(value)
    elif number(value) or (value is None and name in data and name not in _NEVER_NONE):
        return value
    raise ValueError(f"{name} is {'missing' if name not in data else repr(value)[:60]}")


def number(value: object) -> bool:
    """Whether JSON's value is a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def tally_figures(tallies: Sequence[Tally], seconds: float, slo_s: float | None) -> Figures:
    """Of these models' requests together, of which `seconds` were measured."""
    latency = spread(tally.latency for tally in tallies)
    service = spread(tally.service for tally in tallies)
    due = sum(tally.due for tally in tallies)
    split = sum(_split_count(tally) for tally in tallies)
    return Figures(
        requests=due,
        answered=sum(tally.answered for tally in tallies),
        errors=sum(sum(tally.errors.values()) for tally in tallies),
        error_reasons=_reasons(tallies),
        error_texts=_texts(tallies),
        wrong=sum(tally.wrong for tally in tallies),
        checked=sum(tally.checked for tally in tallies),
        unanswered=sum(tally.unanswered for tally in tallies),
        asked_per_s=per_s(due, seconds),
        done_per_s=per_s(sum(tally.done for tally in tallies), seconds),
        goodput_per_s=per_s(_good(tallies, latency, slo_s), seconds),
        slo_ms=None if slo_s is None else round(slo_s * 1e3, 6),
        mean_ms=ms(latency.mean()),
        min_ms=ms(latency.least()),
        **{name: ms(latency.quantile(q, due)) for name, q in PERCENTILES.items()},
        max_ms=ms(latency.most()),
        answered_p99_ms=ms(latency.quantile(PERCENTILES["p99_ms"])),
        service_p50_ms=ms(service.quantile(PERCENTILES["p50_ms"])),
        service_p99_ms=ms(service.quantile(PERCENTILES["p99_ms"])),
        batch_size=round(sum(each.batch_size for each in tallies) / split, 3) if split else None,
    )


def per_s(count: float, seconds: float) -> float:
    """A rate; 0 if nothing was measured."""
    return round(count / seconds, 3) if seconds > 0 else 0.0


def ms(us: float | None) -> float | None:
    """Milliseconds."""
    return None if us is None else round(us / 1e3, 4)


def _good(tallies: Sequence[Tally], latency: Spread, slo_s: float | None) -> int:
    if slo_s is None:
        return sum(tally.done for tally in tallies)
    return latency.within(slo_s * 1e6)


def _split_count(tally: Tally) -> int:
    return max((each.get_total_count() for each in tally.parts.values()), default=0)


def _reasons(tallies: Sequence[Tally]) -> dict[str, int]:
    """The most frequent first."""
    found = Counter[str]()
    for tally in tallies:
        found.update(tally.errors)
    return dict(found.most_common())


def _texts(tallies: Sequence[Tally]) -> dict[str, str]:
    found: dict[str, str] = {}
    for tally in tallies:
        found = {reason: text[:_TEXT_CHARS] for reason, text in tally.texts.items()} | found
    return found
