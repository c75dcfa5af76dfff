"""The one table of reasons, and its way through gRPC statuses and back."""

from __future__ import annotations

import traceback

import grpc
import pytest

from eais.errors import (
    REASONS,
    AttachmentLost,
    EaisError,
    Unavailable,
    UsageError,
    make_error,
    spec_of,
)
from eais.report import error_line, exit_code
from eais.rpc.status import (
    MAX_TEXT,
    clip,
    error_of_details,
    error_of_message,
    error_to_message,
    status_code,
    status_details,
)


def test_a_traceback_ends_with_what_to_do_next() -> None:
    error = make_error("NOT_ATTACHED", "no pool is known here", hint="eais pool up")
    error.hint = "start one with `eais pool up`"
    *_, said, hint = traceback.format_exception(error)
    assert said.endswith("NOT_ATTACHED: no pool is known here\n")
    assert hint == "(start one with `eais pool up`)\n"
    assert len(traceback.format_exception(make_error("BUSY", "later"))) == 1


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_every_reason_survives_the_wire(reason: str) -> None:
    sent = make_error(reason, "what and why", hint="do this", metadata={"instance": "ei-1"})
    for got in (error_of_details(status_details(sent)), error_of_message(error_to_message(sent))):
        assert got is not None
        assert type(got) is type(sent)
        assert (got.reason, got.message, got.hint, got.metadata, got.retryable) == (
            reason,
            "what and why",
            "do this",
            {"instance": "ei-1"},
            sent.retryable,
        )


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_every_reason_has_a_real_status(reason: str) -> None:
    assert status_code(make_error(reason, "x")) in grpc.StatusCode


def test_only_a_bug_is_internal_and_nothing_is_unknown() -> None:
    statuses = {reason: spec.status for reason, spec in REASONS.items()}
    assert [r for r, s in statuses.items() if s in {"INTERNAL", "UNKNOWN"}] == ["BUG"]


def test_what_may_be_retried_is_unavailable() -> None:
    assert {spec.error for spec in REASONS.values() if spec.retryable} == {Unavailable}


def test_a_reason_of_a_newer_peer_is_never_retried() -> None:
    assert spec_of("TOMORROW").retryable is False


def test_text_is_clipped_by_bytes_not_in_the_middle_of_a_letter() -> None:
    text = clip("ü" * 1000)
    assert len(text.encode()) <= MAX_TEXT
    assert text.endswith("ü...")


@pytest.mark.parametrize(
    ("reason", "code"),
    [("NAME", 2), ("CONFIG", 2), ("CERT_EXPIRED", 3), ("NO_DEVICE", 4), ("MODEL_PARSE", 5)],
)
def test_exit_codes(reason: str, code: int) -> None:
    assert exit_code(make_error(reason, "x")) == code


def test_error_line_is_one_line() -> None:
    error = UsageError("NAME", "no\nsuch  thing", hint="try\tthis")
    assert error_line(error) == "error: NAME: no such thing (try this)"


def test_neighbours_are_told_apart() -> None:
    assert isinstance(make_error("STALE_EPOCH", "x"), AttachmentLost)
    assert not issubclass(AttachmentLost, Unavailable)
    assert issubclass(AttachmentLost, EaisError)
