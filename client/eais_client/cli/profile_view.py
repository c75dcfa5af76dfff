"""A model's profile as words and as data."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from eais.device_type import DeviceKind, type_text
from eais_client.cli.printer import Printer
from eais_client.cli.table import Column, table
from eais_client.model_profile import ModelProfile, Point, ProfileReport


def profile_data(report: ProfileReport) -> dict[str, object]:
    """A report for `-o json` and `-o yaml`; times in milliseconds."""
    return {
        "model": report.digest,
        "ended": report.why,
        "batches": report.batches,
        "profiles": [_data(each) for each in report.profiles],
        "unmeasured": [
            {"kind": kind, "device_model": model, "why": why}
            for kind, model, why in report.unmeasured
        ],
    }


def _data(profile: ModelProfile) -> dict[str, object]:
    return {
        "kind": profile.kind,
        "device_model": profile.device_model,
        "simulated": profile.simulated,
        "type": _type(profile),
        "share_milli": profile.share_milli,
        "runtime": profile.runtime,
        "precision": profile.precision,
        "measured_at": _when(profile),
        "points": [_point_data(point) for point in profile.points],
        "failed": [{"batch": batch, "reason": reason} for batch, reason in profile.failed],
    }


def _point_data(point: Point) -> dict[str, object]:
    return {
        "batch": point.batch,
        "samples": point.samples,
        "mean_ms": round(point.mean_s * 1000, 4),
        "p50_ms": round(point.p50_s * 1000, 4),
        "p99_ms": round(point.p99_s * 1000, 4),
        "throughput_per_s": round(point.throughput_per_s, 3),
        "noise": round(point.noise, 4),
    }


def profile_lines(report: ProfileReport, printer: Printer) -> list[str]:
    """A report for people: a row for each share and size of batch."""
    headings: list[str | Column] = [
        Column("DEVICE MODEL", 1, least=12),
        "TYPE",
        "RUNTIME",
        "BATCH",
        "P50",
        "P99",
        "ITEMS/S",
    ]
    if printer.wide:
        headings += ["SAMPLES", "NOISE", "MEASURED"]
    ordered = sorted(report.profiles, key=_order)
    rows = [row for profile in ordered for row in _rows(profile, printer.wide)]
    lines = table(headings, rows, printer.width) if rows else ["Nothing could be measured."]
    lines += [
        f"not run: {_name(p)}, {_type(p)}, {p.runtime}/{p.precision}, batch {batch}: {reason}"
        for p in ordered
        for batch, reason in p.failed
    ]
    lines += [f"not measured: {model} ({kind}): {why}" for kind, model, why in report.unmeasured]
    return lines


def _order(profile: ModelProfile) -> tuple[object, ...]:
    return (profile.kind, profile.device_model, profile.share_milli, profile.runtime)


def _rows(profile: ModelProfile, wide: bool) -> Iterator[list[str]]:
    for point in profile.points:
        row = [
            _name(profile),
            _type(profile),
            f"{profile.runtime}/{profile.precision}",
            str(point.batch),
            _ms(point.p50_s),
            _ms(point.p99_s),
            f"{point.throughput_per_s:.3g}",
        ]
        if wide:
            row += [str(point.samples), f"{point.noise:.0%}", _when(profile) or ""]
        yield row


def _name(profile: ModelProfile) -> str:
    return profile.device_model + (" (simulated)" if profile.simulated else "")


def _type(profile: ModelProfile) -> str:
    return type_text(DeviceKind(profile.kind), profile.share_milli)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms"


def _when(profile: ModelProfile) -> str | None:
    if not profile.measured_unix_s:
        return None
    return datetime.fromtimestamp(profile.measured_unix_s, UTC).isoformat(timespec="seconds")
