"""Tokens, tenants, and joining: what is asked for and done at once. (Brain)

A refusal isn't stored: the same op_id may be sent again. What an operator had done is answered
once and for all: the same op_id with the same parameters gets the stored answer.
"""

from __future__ import annotations

from collections.abc import Callable

from eais.errors import UsageError
from eais_pool.brain.actions import Told
from eais_pool.brain.draft import Draft
from eais_pool.brain.events import JoinRequested, TenantRequested, TokenRequested
from eais_pool.brain.membership import (
    OperatorAnswered,
    OperatorOp,
    OperatorOpsForgotten,
    TenantView,
    TokenRecord,
)
from eais_pool.brain.quotas import Quotas, check_operators
from eais_pool.brain.tenants import set_tenant
from eais_pool.brain.tokens import end_tokens, make_token, use_token
from eais_pool.brain.verbs import check_op_id

OperatorRequest = TokenRequested | TenantRequested


def request(quotas: Quotas, draft: Draft, event: OperatorRequest | JoinRequested) -> None:
    """Decide one request; raises `EaisError` for a refusal."""
    match event:
        case JoinRequested():
            draft.answer_now(use_token(draft, event))
        case TokenRequested():
            _once(draft, event, lambda: make_token(quotas, draft, event))
        case TenantRequested():
            _once(draft, event, lambda: set_tenant(quotas, draft, event))


def _once(draft: Draft, event: OperatorRequest, do: Callable[[], Told]) -> None:
    """Do it, unless it was done."""
    check_op_id(event.op_id)
    known = draft.state.members.ops.get((event.operator, event.op_id))
    if known is None:
        check_operators(len(draft.state.members.ops))
        answer = do()
        draft.record(OperatorAnswered(_op(event, draft.now, answer)))
    elif known.params != event.params:
        raise UsageError(
            "IDEMPOTENCY_MISMATCH", "this op_id was used for another request; make a new one"
        )
    else:
        answer = _stored(known)
    draft.answer_now(answer)


def _op(event: OperatorRequest, at: float, answer: Told) -> OperatorOp:
    token = answer if isinstance(answer, TokenRecord) else None
    tenant = answer if isinstance(answer, TenantView) else None
    return OperatorOp(event.operator, event.op_id, event.params, at, token, tenant)


def _stored(op: OperatorOp) -> Told:
    answer = op.token or op.tenant
    if answer is None:
        raise AssertionError(f"{op.op_id} has no answer")
    return answer


def forget(draft: Draft, kept_s: float) -> None:
    """Forget tokens that have ended, and answers that were kept for `kept_s`."""
    end_tokens(draft)
    before = draft.now - kept_s
    old = tuple(key for key, op in draft.state.members.ops.items() if op.at < before)
    if old:
        draft.record(OperatorOpsForgotten(old))
