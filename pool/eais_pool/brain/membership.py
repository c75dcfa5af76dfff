"""Who may join the pool, and the tenants that there are: records, facts, and their state. (Brain)

A join token is known by the SHA-256 of its secret; the secret itself is nowhere. The record of a
token is there until it is used or ends, so that what isn't there can't be used, whatever it was.
Times are seconds of the manager's boot clock: another boot ends all tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

K = TypeVar("K")
V = TypeVar("V")

KEYS_KEPT: Final = 20_000
"""How many of the keys that were certified at joins are remembered, the newest."""

Limits = tuple[tuple[str, int | None], ...]
"""Quotas by what they are of, in instances, operations or milli-devices; None: unlimited."""


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """A token that was neither used nor has ended.

    Attributes:
        secret_sha256: hex; what it is known by.
        salt: hex; what the pool made the secret of, together with a key that isn't here.
        purpose: "frontend", "listener" or "operator".
        tenant: of a front-end; else "".
        name: what the certificates will say.
    """

    secret_sha256: str
    salt: str
    purpose: str
    tenant: str
    name: str
    ends_at: float


@dataclass(frozen=True, slots=True)
class TenantRecord:
    """A tenant that an operator made, or set quotas of."""

    name: str
    quotas: Limits = ()


@dataclass(frozen=True, slots=True)
class TenantView:
    """A tenant as operators see it: the quotas in force, and what it has."""

    name: str
    quotas: Limits
    used: Limits


@dataclass(frozen=True, slots=True)
class OperatorOp:
    """What an operator asked for under an op_id, and the answer that it got.

    `params` is all that must be the same for a repetition to be one.
    """

    operator: str
    op_id: str
    params: tuple[str, ...]
    at: float
    token: TokenRecord | None = None
    tenant: TenantView | None = None


@dataclass(frozen=True, slots=True)
class TokenMade:
    """Whoever has that token's secret may join, once, until it ends."""

    token: TokenRecord


@dataclass(frozen=True, slots=True)
class TokenUsed:
    """A token was used, and the keys (SHA-256, hex) that it was used for are being certified."""

    secret_sha256: str
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TokensEnded:
    """Tokens that nobody used in time."""

    secrets_sha256: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TenantSet:
    """A tenant is there, with these quotas in the place of those that it had."""

    tenant: TenantRecord


@dataclass(frozen=True, slots=True)
class OperatorAnswered:
    """What an operator asked for was done; every repetition gets the same answer."""

    op: OperatorOp


@dataclass(frozen=True, slots=True)
class OperatorOpsForgotten:
    """Answers that were kept long enough, as (operator, op_id)."""

    ops: tuple[tuple[str, str], ...]


MembershipFact = (
    TokenMade | TokenUsed | TokensEnded | TenantSet | OperatorAnswered | OperatorOpsForgotten
)


@dataclass(slots=True)
class Members:
    """Tokens, tenants, and what operators asked for; changed by `apply` and `start` alone.

    Attributes:
        tokens: by the SHA-256 of their secrets.
        keys: certified at joins, SHA-256 of each, hex, the oldest first.
        tenants: those that an operator made or changed, by name.
        ops: by (operator, op_id), the oldest first.
    """

    tokens: dict[str, TokenRecord] = field(default_factory=dict)
    keys: dict[str, None] = field(default_factory=dict)
    tenants: dict[str, TenantRecord] = field(default_factory=dict)
    ops: dict[tuple[str, str], OperatorOp] = field(default_factory=dict)

    def copy(self) -> Members:
        """A state of its own."""
        return Members(dict(self.tokens), dict(self.keys), dict(self.tenants), dict(self.ops))

    def start(self, at: float, *, rebooted: bool) -> None:
        """A manager begins to serve."""
        if rebooted:
            self.tokens.clear()
            self.ops = {key: replace(op, at=at) for key, op in self.ops.items()}

    def apply(self, fact: MembershipFact) -> None:
        """Take a fact in.

        Raises:
            KeyError: it is about what isn't there, or is there already.
        """
        match fact:
            case TokenMade(token):
                _add(self.tokens, token.secret_sha256, token)
            case TokenUsed(secret, keys):
                del self.tokens[secret]
                self._certify(keys)
            case TokensEnded(secrets):
                for secret in secrets:
                    del self.tokens[secret]
            case TenantSet(tenant):
                self.tenants[tenant.name] = tenant
            case OperatorAnswered(op):
                _add(self.ops, (op.operator, op.op_id), op)
            case OperatorOpsForgotten(ops):
                for key in ops:
                    del self.ops[key]

    def _certify(self, keys: tuple[str, ...]) -> None:
        for key in keys:
            _add(self.keys, key, None)
        while len(self.keys) > KEYS_KEPT:
            del self.keys[next(iter(self.keys))]

    def validate(self) -> None:
        """Check that each record is under its own name; AssertionError names one that isn't."""
        for secret, token in self.tokens.items():
            if token.secret_sha256 != secret:
                raise AssertionError(f"a token for {token.name} is under another's secret")
        for name, tenant in self.tenants.items():
            if tenant.name != name or len(dict(tenant.quotas)) != len(tenant.quotas):
                raise AssertionError(f"tenant {name} is {tenant}")
        for key, op in self.ops.items():
            if (op.operator, op.op_id) != key:
                raise AssertionError(f"{key} is {op}")


def _add(held: dict[K, V], key: K, value: V) -> None:
    if key in held:
        raise KeyError(key)
    held[key] = value
