"""Which models killed workers, and which of them aren't loaded here any more. (Brain)

A death that was a model's doing counts against (tenant, digest of the model). Two of them
without a success between, and the model is *condemned*: quarantined until `quarantine_s` after
its last death. A load that ends well takes back the deaths while loading; a run that gives
outputs takes back all. Nothing takes back a condemnation but time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from eais_server.supervision.events import Failure

DEATHS: Final = 2
"""Without a success between, after which a model is condemned."""
MAX_OF_TENANT: Final = 256
"""Records; a tenant's oldest goes first, so that nobody has another's forgotten."""

Stage = Literal["load", "run"]


@dataclass(frozen=True, slots=True)
class Model:
    """Whose model, and which: the digest in hex."""

    tenant: str
    digest: str


@dataclass(frozen=True, slots=True)
class Record:
    """What a model did; `stage` and `how` (metadata) are of its last death.

    It is forgotten at `ends_at`, seconds of the listener's clock.
    """

    model: Model
    loads: int
    runs: int
    stage: Stage
    how: Mapping[str, str]
    ends_at: float

    @property
    def deaths(self) -> int:
        """Without a success between."""
        return self.loads + self.runs

    @property
    def condemned(self) -> bool:
        """Whether the model is quarantined."""
        return self.deaths >= DEATHS


@dataclass(slots=True)
class Quarantine:
    """All records of one host, the oldest first. Each change says whether there was one."""

    quarantine_s: float
    _records: dict[Model, Record] = field(default_factory=dict)

    def restore(self, records: Iterable[Record]) -> None:
        """Know again what the last listener of this host knew."""
        self._records = {record.model: record for record in records}

    def records(self) -> tuple[Record, ...]:
        """All of them."""
        return tuple(self._records.values())

    def deaths(self, model: Model) -> int:
        """How many count against the model now."""
        record = self._records.get(model)
        return record.deaths if record else 0

    def condemned(self, model: Model) -> bool:
        """Whether the model was condemned, and that wasn't found to be over yet."""
        record = self._records.get(model)
        return record is not None and record.condemned

    def died(self, model: Model, stage: Stage, how: Mapping[str, str], now: float) -> None:
        """The model killed a worker."""
        self._expire(model, now)
        old = self._records.pop(model, None)
        loads = (old.loads if old else 0) + (stage == "load")
        runs = (old.runs if old else 0) + (stage == "run")
        ends_at = now + self.quarantine_s
        self._records[model] = Record(model, loads, runs, stage, dict(how), ends_at)
        self._bound(model.tenant)

    def loaded(self, model: Model) -> bool:
        """The model was loaded, and the worker lives."""
        record = self._records.get(model)
        if record is None or record.condemned or not record.loads:
            return False
        if record.runs:
            self._records[model] = replace(record, loads=0)
        else:
            del self._records[model]
        return True

    def ran(self, model: Model) -> bool:
        """A run of the model gave outputs."""
        record = self._records.get(model)
        if record is None or record.condemned:
            return False
        del self._records[model]
        return True

    def refusal(self, model: Model, now: float) -> Failure | None:
        """Why the model isn't loaded; None if it may be."""
        self._expire(model, now)
        record = self._records.get(model)
        return _refusal(record, now) if record and record.condemned else None

    def _expire(self, model: Model, now: float) -> None:
        if model in self._records and now >= self._records[model].ends_at:
            del self._records[model]

    def _bound(self, tenant: str) -> None:
        theirs = [model for model in self._records if model.tenant == tenant]
        for model in theirs[: max(0, len(theirs) - MAX_OF_TENANT)]:
            del self._records[model]


def _refusal(record: Record, now: float) -> Failure:
    left_s = max(1, round(record.ends_at - now))
    doing = "loaded" if record.stage == "load" else "run"
    cause = record.how.get("cause") or record.how.get("signal", "")
    text = (
        f"the model killed {record.deaths} workers without a success between, the last one while "
        f"it was {doing} ({cause}); this host doesn't load it for another {_hours(left_s)}: "
        "mend the model or its inputs; sending it again changes nothing"
    )
    metadata = {
        "deaths": str(record.deaths),
        "stage": record.stage,
        **record.how,
        "ends_in_s": str(left_s),
    }
    return Failure("MODEL_QUARANTINED", text, metadata)


def _hours(seconds: int) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{-(-seconds // 60)} min"
