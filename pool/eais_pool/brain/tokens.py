"""Join tokens: made for operators, used once by whoever has the secret. (Brain)"""

from __future__ import annotations

import hmac
from typing import Final

from eais.errors import IdentityError, UsageError, make_error
from eais.identity import JOINING, Role
from eais_pool.brain.draft import Draft
from eais_pool.brain.events import JoinRequested, TokenRequested
from eais_pool.brain.membership import Members, TokenMade, TokenRecord, TokensEnded, TokenUsed
from eais_pool.brain.quotas import Quotas
from eais_pool.brain.tenants import check_name, check_tenant

TOKEN_LIFE_S: Final = 600.0
MOST_TOKENS: Final = 1_000
"""How many may be neither used nor ended."""

LOCAL_HOST: Final = "local"
"""What the embedded listener is called: no other host is."""


def make_token(quotas: Quotas, draft: Draft, event: TokenRequested) -> TokenRecord:
    """A token for what the event says.

    Raises:
        UsageError: ARGUMENT, no purpose, or a tenant for another than a front-end; NAME;
            NAME_TAKEN, the host is the pool's own; NOT_FOUND, there is no such tenant.
        RemoteError: QUOTA, too many tokens wait to be used.
    """
    _check_purpose(event.purpose)
    if event.purpose == Role.FRONTEND:
        check_tenant(quotas, draft.state, event.tenant)
    elif event.tenant:
        raise UsageError("ARGUMENT", f"a token for a {event.purpose} is of no tenant")
    name = event.name or event.spare_name
    check_name(event.purpose, name)
    if (event.purpose, name) == (Role.LISTENER, LOCAL_HOST):
        raise UsageError(
            "NAME_TAKEN", f"{LOCAL_HOST!r} is the name of the pool's own listener", hint="another"
        )
    waiting = len(draft.state.members.tokens)
    if waiting >= MOST_TOKENS:
        text = f"{waiting} tokens wait to be used, and no more may"
        raise make_error("QUOTA", text, hint="they end within ten minutes")
    token = TokenRecord(
        event.secret_sha256,
        event.salt,
        event.purpose,
        event.tenant,
        name,
        draft.now + TOKEN_LIFE_S,
    )
    draft.record(TokenMade(token))
    return token


def _check_purpose(purpose: str) -> None:
    if purpose not in JOINING:
        known = ", ".join(sorted(JOINING))
        raise UsageError("ARGUMENT", f"nobody joins as a {purpose[:64]!r}; known: {known}")


def find_token(members: Members, secret_sha256: str, purpose: str, now: float) -> TokenRecord:
    """The token of that secret, if it is good for `purpose` now.

    All tokens are compared, each in the time that the first takes.

    Raises:
        IdentityError: TOKEN, the same whatever is wrong with it.
    """
    found: TokenRecord | None = None
    for token in members.tokens.values():
        if hmac.compare_digest(token.secret_sha256, secret_sha256):
            found = token
    if found is None or found.purpose != purpose or now >= found.ends_at:
        raise IdentityError(
            "TOKEN",
            "the join token isn't good here: unknown, used, over its ten minutes, or for"
            " something else",
            hint="an operator makes another one: eais token create",
        )
    return found


def use_token(draft: Draft, event: JoinRequested) -> TokenRecord:
    """Use a token up for the two keys of the event, which are to be certified next.

    Raises:
        IdentityError: TOKEN; CSR_REFUSED, a key was certified at a join before, or both are one.
    """
    token = find_token(draft.state.members, event.secret_sha256, event.purpose, draft.now)
    if len(set(event.keys)) != len(event.keys):
        raise _csr_refused("both signing requests are of one key")
    if any(key in draft.state.members.keys for key in event.keys):
        raise _csr_refused("its key has joined before: make a new one for each join")
    draft.record(TokenUsed(token.secret_sha256, event.keys))
    return token


def end_tokens(draft: Draft) -> None:
    """Forget those that nobody used in time."""
    tokens = draft.state.members.tokens.values()
    ended = tuple(token.secret_sha256 for token in tokens if draft.now >= token.ends_at)
    if ended:
        draft.record(TokensEnded(ended))


def _csr_refused(why: str) -> IdentityError:
    return IdentityError("CSR_REFUSED", f"the signing request is refused: {why}")
