"""One tree of errors, told apart by whose fault it is and what to do next.

`REASONS` is the only table of reasons: it says for each which class is raised,
which gRPC status carries it, and whether the same call may be sent again.
`eais.rpc.status` maps errors to gRPC statuses and back by this table alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class EaisError(Exception):
    """Base of all errors that EAIS raises.

    Attributes:
        reason: a SHOUTED_WORD of `REASONS`, the same in logs, metrics and docs.
        message: what was wrong and what would be right, without paths or stacks.
        hint: what to do next, or ""; a traceback ends with it.
        metadata: ids that belong to the error (instance, epoch, input, limit, ...).
    """

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        hint: str = "",
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.hint = hint
        self.metadata = dict(metadata or {})

    @property
    def hint(self) -> str:
        """What to do next, or ""."""
        return self._hint

    @hint.setter
    def hint(self, hint: str) -> None:
        self._hint = hint
        self.__notes__ = [f"({hint})"] if hint else []

    @property
    def retryable(self) -> bool:
        """Whether sending the same call again may succeed."""
        return spec_of(self.reason).retryable

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"

    def __reduce__(self) -> tuple[Any, ...]:
        # As a program's process pool hands it to the parent: a class that can't be made from
        # its message alone would end that pool's reader.
        return _again, (type(self), self.reason, self.message, self.hint, self.metadata)


def _again(
    kind: type[EaisError], reason: str, message: str, hint: str, metadata: Mapping[str, str]
) -> EaisError:
    return kind(reason, message, hint=hint, metadata=metadata)


class UsageError(EaisError):
    """The caller's mistake: mend the call, then call again."""


class InputRejected(UsageError):
    """An input tensor doesn't fit the model's signature."""


class ConfigError(UsageError):
    """A flag, variable, file or state directory of this machine is wrong."""


class IdentityError(EaisError):
    """The certificate is missing, unusable, or may not do this (exit code 3)."""


class RemoteError(EaisError):
    """The far side refused or failed; sending the same again won't help."""


class ModelRejected(RemoteError):
    """The model can't be loaded there; the reason says why."""


class DeviceLost(RemoteError):
    """The device behind the instance failed or vanished."""


class DeadlineExceeded(EaisError, TimeoutError):
    """The caller's deadline or the instance's run time-out passed."""


class Unavailable(EaisError):
    """Nobody could answer now; the same call may succeed later."""


class Detached(EaisError):
    """You closed it: the session, the stop or the detach was yours."""


class AttachmentLost(EaisError):
    """The world took it: the attachment ended or was fenced by a newer epoch."""


@dataclass(frozen=True, slots=True)
class ReasonSpec:
    """What a reason means: the class raised, the gRPC status name, retry."""

    error: type[EaisError]
    status: str
    retryable: bool = False


_INVALID = "INVALID_ARGUMENT"
_PRECONDITION = "FAILED_PRECONDITION"
_EXHAUSTED = "RESOURCE_EXHAUSTED"

REASONS: Mapping[str, ReasonSpec] = {
    # the call itself
    "VERSION_UNSUPPORTED": ReasonSpec(UsageError, _PRECONDITION),
    "MALFORMED_MESSAGE": ReasonSpec(UsageError, _INVALID),
    "UNIMPLEMENTED": ReasonSpec(UsageError, "UNIMPLEMENTED"),
    "FIRST_MESSAGE_TIMEOUT": ReasonSpec(UsageError, "DEADLINE_EXCEEDED"),
    "NAME": ReasonSpec(UsageError, _INVALID),
    "TYPE_UNKNOWN": ReasonSpec(UsageError, _INVALID),
    "ARGUMENT": ReasonSpec(UsageError, _INVALID),
    "RATIO": ReasonSpec(UsageError, _INVALID),
    "RING_UNAVAILABLE": ReasonSpec(UsageError, "FAILED_PRECONDITION"),
    "IDEMPOTENCY_MISMATCH": ReasonSpec(UsageError, _INVALID),
    "DUPLICATE_ID": ReasonSpec(UsageError, _INVALID),
    "NOT_FOUND": ReasonSpec(UsageError, "NOT_FOUND"),
    "WRONG_STATE": ReasonSpec(UsageError, _PRECONDITION),
    "PROGRAM": ReasonSpec(UsageError, _INVALID),
    "NAME_TAKEN": ReasonSpec(UsageError, "ALREADY_EXISTS"),
    "NOT_ATTACHED": ReasonSpec(UsageError, _PRECONDITION),
    "INSTANCE_AMBIGUOUS": ReasonSpec(UsageError, _PRECONDITION),
    # identity
    "PERMISSION_DENIED": ReasonSpec(IdentityError, "PERMISSION_DENIED"),
    "UNAUTHENTICATED": ReasonSpec(IdentityError, "UNAUTHENTICATED"),
    "CERT_MISSING": ReasonSpec(IdentityError, "UNAUTHENTICATED"),
    "CERT_UNREADABLE": ReasonSpec(IdentityError, "UNAUTHENTICATED"),
    "CERT_KEY_MISMATCH": ReasonSpec(IdentityError, "UNAUTHENTICATED"),
    "CERT_EXPIRED": ReasonSpec(IdentityError, "UNAUTHENTICATED"),
    "CERT_NOT_YET_VALID": ReasonSpec(IdentityError, "UNAUTHENTICATED"),
    "CERT_UNTRUSTED": ReasonSpec(IdentityError, "UNAUTHENTICATED"),
    "CERT_IDENTITY": ReasonSpec(IdentityError, "UNAUTHENTICATED"),
    "CERT_USAGE": ReasonSpec(IdentityError, "UNAUTHENTICATED"),
    "SERVER_UNTRUSTED": ReasonSpec(IdentityError, "UNAUTHENTICATED"),
    "KEY_MODE": ReasonSpec(IdentityError, "UNAUTHENTICATED"),
    "CSR_REFUSED": ReasonSpec(IdentityError, _INVALID),
    "TOKEN": ReasonSpec(IdentityError, "UNAUTHENTICATED"),
    "TICKET": ReasonSpec(IdentityError, "PERMISSION_DENIED"),
    # life of an instance
    "INSTANCE_STOPPED": ReasonSpec(Detached, _PRECONDITION),
    "DETACHED": ReasonSpec(Detached, _PRECONDITION),
    "SESSION_CLOSED": ReasonSpec(Detached, _PRECONDITION),
    "INSTANCE_FAILED": ReasonSpec(AttachmentLost, _PRECONDITION),
    "STALE_EPOCH": ReasonSpec(AttachmentLost, _PRECONDITION),
    "FORCE_DETACHED": ReasonSpec(AttachmentLost, _PRECONDITION),
    "TTL_OVER": ReasonSpec(AttachmentLost, _PRECONDITION),
    "BUDGET_SPENT": ReasonSpec(AttachmentLost, _PRECONDITION),
    "IDLE_DETACHED": ReasonSpec(AttachmentLost, _PRECONDITION),
    "QUOTA": ReasonSpec(RemoteError, _EXHAUSTED),
    "QUEUE_FULL": ReasonSpec(Unavailable, _EXHAUSTED, retryable=True),
    "NO_DEVICE": ReasonSpec(Unavailable, "UNAVAILABLE", retryable=True),
    "REPLAY_LIMIT": ReasonSpec(RemoteError, _EXHAUSTED),
    "ADDRESSES_EXHAUSTED": ReasonSpec(RemoteError, _EXHAUSTED),
    "ISOLATION_UNAVAILABLE": ReasonSpec(RemoteError, _PRECONDITION),
    "DEVICE_LOST": ReasonSpec(DeviceLost, "UNAVAILABLE"),
    # models
    "MODEL_PARSE": ReasonSpec(ModelRejected, _INVALID),
    "MODEL_INVALID": ReasonSpec(ModelRejected, _INVALID),
    "MODEL_CRASHED": ReasonSpec(ModelRejected, _INVALID),
    "MODEL_QUARANTINED": ReasonSpec(ModelRejected, _PRECONDITION),
    "MODEL_MEMORY": ReasonSpec(ModelRejected, _EXHAUSTED),
    "MODEL_LOAD_TIMEOUT": ReasonSpec(ModelRejected, "DEADLINE_EXCEEDED"),
    "MODEL_TOO_LARGE": ReasonSpec(ModelRejected, _EXHAUSTED),
    "OPSET_UNSUPPORTED": ReasonSpec(ModelRejected, _PRECONDITION),
    "OP_REFUSED": ReasonSpec(ModelRejected, _INVALID),
    "EXTERNAL_DATA_REFUSED": ReasonSpec(ModelRejected, _INVALID),
    "EXTERNAL_DATA_BOUNDS": ReasonSpec(ModelRejected, _INVALID),
    "OPTION_REFUSED": ReasonSpec(ModelRejected, _INVALID),
    "RUNTIME_REFUSED": ReasonSpec(ModelRejected, _PRECONDITION),
    "PARITY_REFUSED": ReasonSpec(ModelRejected, _PRECONDITION),
    "SESSION_UNKNOWN": ReasonSpec(Unavailable, _PRECONDITION, retryable=True),
    # role images of FPGA boards
    "IMAGE_INVALID": ReasonSpec(UsageError, _INVALID),
    "IMAGE_UNTRUSTED": ReasonSpec(IdentityError, "PERMISSION_DENIED"),
    "IMAGE_SHELL": ReasonSpec(UsageError, _PRECONDITION),
    "IMAGE_MISSING": ReasonSpec(ModelRejected, _PRECONDITION),
    # upload and store
    "MODEL_CHANGED": ReasonSpec(UsageError, _PRECONDITION),
    "MODEL_LOST": ReasonSpec(Unavailable, "UNAVAILABLE", retryable=True),
    "CHUNK_GAP": ReasonSpec(UsageError, _INVALID),
    "CHUNK_OVERLAP": ReasonSpec(UsageError, _INVALID),
    "DIGEST_MISMATCH": ReasonSpec(RemoteError, "DATA_LOSS"),
    "STORE_FULL": ReasonSpec(RemoteError, _EXHAUSTED),
    "STORE_UNAVAILABLE": ReasonSpec(Unavailable, "UNAVAILABLE", retryable=True),
    # a call on the data stream
    "INPUT_MISSING": ReasonSpec(InputRejected, _INVALID),
    "INPUT_UNKNOWN": ReasonSpec(InputRejected, _INVALID),
    "INPUT_DUPLICATE": ReasonSpec(InputRejected, _INVALID),
    "INPUT_DTYPE": ReasonSpec(InputRejected, _INVALID),
    "INPUT_RANK": ReasonSpec(InputRejected, _INVALID),
    "INPUT_SHAPE": ReasonSpec(InputRejected, _INVALID),
    "INPUT_SIZE": ReasonSpec(InputRejected, _INVALID),
    "INPUT_REJECTED": ReasonSpec(InputRejected, _INVALID),
    "OUTPUT_UNKNOWN": ReasonSpec(InputRejected, _INVALID),
    "OUTPUT_UNSUPPORTED": ReasonSpec(RemoteError, "UNIMPLEMENTED"),
    "OUTPUT_TOO_LARGE": ReasonSpec(RemoteError, _EXHAUSTED),
    "RUN_FAILED": ReasonSpec(RemoteError, _INVALID),
    "RUN_MEMORY": ReasonSpec(RemoteError, _EXHAUSTED),
    "RUN_TIMEOUT": ReasonSpec(DeadlineExceeded, "DEADLINE_EXCEEDED"),
    "DEADLINE_EXCEEDED": ReasonSpec(DeadlineExceeded, "DEADLINE_EXCEEDED"),
    "CANCELLED": ReasonSpec(Detached, "CANCELLED"),
    "BUSY": ReasonSpec(Unavailable, _EXHAUSTED, retryable=True),
    "SLOW_CONSUMER": ReasonSpec(Unavailable, _EXHAUSTED, retryable=True),
    # nobody could answer
    "DRAINING": ReasonSpec(Unavailable, "UNAVAILABLE", retryable=True),
    "WORKER_DIED": ReasonSpec(Unavailable, "UNAVAILABLE", retryable=True),
    "NO_WORKER": ReasonSpec(Unavailable, "UNAVAILABLE", retryable=True),
    "HOST_UNREACHABLE": ReasonSpec(Unavailable, "UNAVAILABLE", retryable=True),
    "POOL_UNREACHABLE": ReasonSpec(Unavailable, "UNAVAILABLE", retryable=True),
    "POOL_NOT_RUNNING": ReasonSpec(Unavailable, "UNAVAILABLE", retryable=True),
    "JOURNAL_UNAVAILABLE": ReasonSpec(Unavailable, "UNAVAILABLE", retryable=True),
    # this machine
    "CONFIG": ReasonSpec(ConfigError, _INVALID),
    "STATE_DIR": ReasonSpec(ConfigError, _PRECONDITION),
    "JOURNAL_CORRUPT": ReasonSpec(ConfigError, "DATA_LOSS"),
    "LOCKED": ReasonSpec(ConfigError, _PRECONDITION),
    "PORT": ReasonSpec(ConfigError, _PRECONDITION),
    "LOOPBACK_RANGE": ReasonSpec(ConfigError, _PRECONDITION),
    "ADDRESS": ReasonSpec(ConfigError, _PRECONDITION),
    "NETDEV": ReasonSpec(ConfigError, _PRECONDITION),
    "NET_DRIVER": ReasonSpec(ConfigError, _PRECONDITION),
    "NET_AGENT": ReasonSpec(ConfigError, _PRECONDITION),
    "NET_PLAN": ReasonSpec(IdentityError, "PERMISSION_DENIED"),
    "CLOCK": ReasonSpec(ConfigError, _PRECONDITION),
    "NOT_INSTALLED": ReasonSpec(ConfigError, _PRECONDITION),
    "FORKED": ReasonSpec(UsageError, _PRECONDITION),
    "PROCESS_FAILED": ReasonSpec(RemoteError, _PRECONDITION),
    # a bug of ours: no input may lead here
    "BUG": ReasonSpec(RemoteError, "INTERNAL"),
}


def spec_of(reason: str) -> ReasonSpec:
    """The row of `reason`; a reason of a newer peer is a `RemoteError`, not retried."""
    return REASONS.get(reason, ReasonSpec(RemoteError, "UNKNOWN"))


def make_error(
    reason: str,
    message: str,
    *,
    hint: str = "",
    metadata: Mapping[str, str] | None = None,
) -> EaisError:
    """The error of the class that `REASONS` names for `reason`."""
    return spec_of(reason).error(reason, message, hint=hint, metadata=metadata)
