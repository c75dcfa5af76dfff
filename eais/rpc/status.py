"""Errors to gRPC statuses and back, by the table of `eais.errors` alone.

A refusal travels as `google.rpc.Status` in the trailer `grpc-status-details-bin`
with one `ErrorInfo` whose reason is a word of `REASONS`.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from typing import Any, cast

import grpc
from google.rpc import error_details_pb2, status_pb2

from eais.errors import (
    DeadlineExceeded,
    Detached,
    EaisError,
    IdentityError,
    Unavailable,
    UsageError,
    make_error,
    spec_of,
)
from eais.rpc.v1 import common_pb2

DOMAIN = "eais"
DETAILS_KEY = "grpc-status-details-bin"
MAX_TEXT = 512
# Callers compare onnxruntime's texts, so they get more room; trailers still hold it.
MAX_ONNXRUNTIME_TEXT = 3072
# The key of `EaisError.metadata` for the class that onnxruntime raises for the same mistake.
ONNXRUNTIME_CLASS = "onnxruntime_class"
# Another key: milliseconds to wait before trying again.
PUSH_BACK_MS = "push_back_ms"
# gRPC's texts of what this process did: it cancelled the call, or closed the channel under it.
_OWN_CANCELS = ("Locally cancelled", "Channel closed")
# What gRPC says of a handshake that this side ended; the name is judged after the CA. The second
# wording is that of 1.62, which doesn't say either why a certificate was refused.
_NAME_REFUSED = ("Hostname Verification Check failed", "is not in peer certificate")
_CERTIFICATE_REFUSED = "CERTIFICATE_VERIFY_FAILED"
_CERTIFICATE_WHY = "CERTIFICATE_VERIFY_FAILED: "
_CERTIFICATE_TIMES = ("certificate has expired", "certificate is not yet valid")
# Of OpenSSL's X509_V_ERR_*: a name or an address that isn't the certificate's; not yet, no longer.
_OTHER_NAME = (62, 64)
_OTHER_TIME = (9, 10)
_CODES = {code.name: code for code in grpc.StatusCode}


def clip(text: str, limit: int = MAX_TEXT) -> str:
    """`text` in at most `limit` bytes of UTF-8."""
    data = text.encode()
    return text if len(data) <= limit else data[: limit - 3].decode(errors="ignore") + "..."


def _text(error: EaisError, text: str) -> str:
    return clip(text, MAX_ONNXRUNTIME_TEXT if ONNXRUNTIME_CLASS in error.metadata else MAX_TEXT)


def status_code(error: EaisError) -> grpc.StatusCode:
    """The gRPC code of an error's reason."""
    return _CODES[spec_of(error.reason).status]


def status_details(error: EaisError) -> bytes:
    """The serialised `google.rpc.Status` for the trailer."""
    status = status_pb2.Status(code=status_code(error).value[0], message=_text(error, str(error)))
    info = error_details_pb2.ErrorInfo(
        reason=error.reason, domain=DOMAIN, metadata=dict(error.metadata)
    )
    if error.hint:
        info.metadata["hint"] = clip(error.hint)
    status.details.add().Pack(info)
    return status.SerializeToString()


def error_of_details(data: bytes) -> EaisError | None:
    """The error inside a `grpc-status-details-bin` trailer; None if it isn't ours."""
    status = status_pb2.Status.FromString(data)
    info = error_details_pb2.ErrorInfo()
    for detail in status.details:
        if detail.Unpack(info) and info.domain == DOMAIN:
            metadata = dict(info.metadata)
            hint = metadata.pop("hint", "")
            text = status.message.removeprefix(f"{info.reason}: ")
            return make_error(info.reason, text, hint=hint, metadata=metadata)
    return None


def error_of_rpc(error: grpc.RpcError, unreachable: str) -> EaisError:
    """The EAIS error behind a failed call.

    `unreachable` is the reason for a peer that nobody answers for, such as
    POOL_UNREACHABLE.
    """
    trailers = cast("Iterable[tuple[str, Any]]", error.trailing_metadata() or ())
    for key, value in trailers:
        if key == DETAILS_KEY:
            found = error_of_details(value)
            if found is not None:
                return found
    return _plain(error.code(), error.details() or "", unreachable)


def _plain(code: grpc.StatusCode, text: str, unreachable: str) -> EaisError:
    """An error for a status that the framework made, not a handler of ours."""
    match code:
        case grpc.StatusCode.UNAVAILABLE:
            return no_connection(text, unreachable)
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return DeadlineExceeded("DEADLINE_EXCEEDED", "the deadline passed while waiting")
        case grpc.StatusCode.CANCELLED if text.startswith(_OWN_CANCELS):
            return Detached("CANCELLED", "the call was cancelled")
        case grpc.StatusCode.CANCELLED:
            # A server that ends in the middle of a call says this in place of an answer.
            return Unavailable(unreachable, "the server ended the call")
        case grpc.StatusCode.UNIMPLEMENTED:
            return UsageError("UNIMPLEMENTED", "the peer doesn't know this verb")
        case grpc.StatusCode.UNAUTHENTICATED | grpc.StatusCode.PERMISSION_DENIED:
            return IdentityError(code.name, "refused by the peer")
        case grpc.StatusCode.RESOURCE_EXHAUSTED:
            return make_error("BUSY", clip(text, 160))
    return make_error("BUG", f"unexpected status {code.name}")


def no_connection(text: str, unreachable: str) -> EaisError:
    """The error behind gRPC's `text` on a connection that broke or never was.

    SERVER_UNTRUSTED if somebody answered, but not the server that was meant; else
    `unreachable`. Of a refused client certificate gRPC says no more than of a dead server.
    """
    if any(wording in text for wording in _NAME_REFUSED):
        return _untrusted("its certificate carries another name")
    if _CERTIFICATE_REFUSED in text:
        if any(wrong in text for wrong in _CERTIFICATE_TIMES):
            return Unavailable(unreachable, "the server's certificate isn't valid at this time")
        why = "" if _CERTIFICATE_WHY in text else ", or isn't valid at this time"
        return _untrusted(f"its certificate is of no CA that is trusted here{why}")
    return Unavailable(unreachable, f"no answer ({clip(text, 160)})")


def no_handshake(error: ssl.SSLError, unreachable: str) -> EaisError:
    """The error behind a TLS handshake of our own that failed: as `no_connection`."""
    code = error.verify_code if isinstance(error, ssl.SSLCertVerificationError) else None
    if code is None:
        return Unavailable(unreachable, f"no answer ({clip(error.reason or str(error), 160)})")
    if code in _OTHER_NAME:
        return _untrusted("its certificate carries another name")
    if code in _OTHER_TIME:
        return Unavailable(unreachable, "the server's certificate isn't valid at this time")
    return _untrusted("its certificate is of no CA that is trusted here")


def _untrusted(why: str) -> EaisError:
    return IdentityError(
        "SERVER_UNTRUSTED",
        f"who answers there isn't the server that was meant: {why}",
        hint="does the address belong to another pool now?",
    )


def error_to_message(error: EaisError) -> common_pb2.Error:
    """The error as it travels inside streams and stored answers."""
    metadata = dict(error.metadata)
    message = common_pb2.Error(
        reason=error.reason,
        message=_text(error, error.message),
        onnxruntime_class=metadata.pop(ONNXRUNTIME_CLASS, ""),
        push_back_ms=int(metadata.pop(PUSH_BACK_MS, 0)),
        metadata=metadata,
    )
    if error.hint:
        message.metadata["hint"] = clip(error.hint)
    return message


def error_of_message(message: common_pb2.Error) -> EaisError:
    """The error that `error_to_message` wrote."""
    metadata = dict(message.metadata)
    hint = metadata.pop("hint", "")
    if message.onnxruntime_class:
        metadata[ONNXRUNTIME_CLASS] = message.onnxruntime_class
    if message.push_back_ms:
        metadata[PUSH_BACK_MS] = str(message.push_back_ms)
    return make_error(message.reason, message.message, hint=hint, metadata=metadata)
