"""Asks the pool what `eais top` shows."""

from __future__ import annotations

from contextlib import ExitStack

from eais.deadline import deadline
from eais.errors import EaisError, IdentityError
from eais_client.cli.command import Call
from eais_client.cli.top_model import TopView, top_view
from eais_client.operator_client import OperatorClient
from eais_client.pool_client import PoolClient

ASK_WITHIN_S = 3.0
# A client made anew shows an identity that was renewed meanwhile, and renews one that is due.
NEW_CLIENT_AFTER_S = 60.0


class Asker:
    """Asks the context's pool what it does: as its operator, else as a front-end of it."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._pool = call.context().pool
        self._stack = ExitStack()
        self._operator: OperatorClient | None = None
        self._frontend: PoolClient | None = None
        self._is_operator = True
        self._until = 0.0

    def ask(self) -> TopView:
        """What the pool does now; every failure is an `EaisError`, and may be over next time."""
        clock = self._call.outside.clock
        if clock() >= self._until:
            self.close()
            self._until = clock() + NEW_CLIENT_AFTER_S
        try:
            with deadline(ASK_WITHIN_S):
                return self._ask()
        except EaisError:
            self._until = 0.0
            raise

    def _ask(self) -> TopView:
        if self._is_operator:
            try:
                return self._as_operator()
            except IdentityError as error:
                if error.reason != "CERT_MISSING":
                    raise
                self._is_operator = False
        if self._frontend is None:
            self._frontend = self._stack.enter_context(self._call.pool())
        return top_view(self._pool, None, self._frontend.list())

    def _as_operator(self) -> TopView:
        if self._operator is None:
            self._operator = self._stack.enter_context(self._call.operator())
        status = self._operator.status()
        return top_view(self._pool, status, self._operator.instances())

    def close(self) -> None:
        """End the connection."""
        self._operator = self._frontend = None
        self._stack.close()
