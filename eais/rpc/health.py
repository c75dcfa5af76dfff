"""The standard health service, `grpc.health.v1`, on each socket for whoever may reach it.

It answers for the process (service "") and for each service on its socket, alike: SERVING, or
NOT_SERVING with the reasons in the process's log and at its /readyz. It goes through the same
guard as all verbs. Needs grpcio-health-checking, so servers alone import this.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, Final

from grpc_health.v1 import health_pb2

from eais.errors import UsageError
from eais.identity import Role
from eais.rpc.server import Binding, Caller, Stranger, open_unary, unary, watch
from eais.rpc.verbs import Plane, Shape, Verb

Ready = Callable[[], bool]

LOOK_EVERY_S: Final = 0.5
"""How late a Watch may tell a change."""

_PACKAGE: Final = "grpc.health.v1"
_STATES: Final = health_pb2.HealthCheckResponse
_UNKNOWN: Final = "no such service is here"


def with_health(
    bindings: Iterable[Binding], ready: Ready, admit: Callable[[Caller], None] | None = None
) -> list[Binding]:
    """The bindings of one socket, and the health of what they serve, for the same identities.

    An enrolment certificate is for renewals alone. Strangers, on the enrolment plane, may Check.

    Args:
        ready: whether calls should be sent here now.
        admit: raises for callers for whom there is nothing here.
    """
    own = list(bindings)
    plane = own[0].verb.plane
    roles = frozenset().union(*(binding.verb.roles for binding in own)) - {Role.ENROLMENT}
    names = frozenset({"", *(binding.verb.full_service for binding in own)})
    health = _Health(names, ready, admit)
    if plane is Plane.ENROLMENT:
        return [*own, open_unary(_check(plane, roles), health.check_stranger)]
    return [
        *own,
        unary(_check(plane, roles), health.check),
        watch(_watch(plane, roles), health.watch),
    ]


def _check(plane: Plane, roles: frozenset[Role]) -> Verb[Any, Any]:
    request, reply = health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse
    return Verb("Health", "Check", request, reply, plane, roles, package=_PACKAGE)


def _watch(plane: Plane, roles: frozenset[Role]) -> Verb[Any, Any]:
    request, reply = health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse
    return Verb("Health", "Watch", request, reply, plane, roles, Shape.WATCH, package=_PACKAGE)


class _Health:
    def __init__(
        self, names: frozenset[str], ready: Ready, admit: Callable[[Caller], None] | None
    ) -> None:
        self._names = names
        self._ready = ready
        self._admit = admit

    def _state(self) -> Any:
        return _STATES.SERVING if self._ready() else _STATES.NOT_SERVING

    async def check(
        self, request: health_pb2.HealthCheckRequest, caller: Caller
    ) -> health_pb2.HealthCheckResponse:
        if self._admit is not None:
            self._admit(caller)
        return self._answer(request)

    async def check_stranger(
        self, request: health_pb2.HealthCheckRequest, caller: Stranger
    ) -> health_pb2.HealthCheckResponse:
        return self._answer(request)

    def _answer(self, request: health_pb2.HealthCheckRequest) -> health_pb2.HealthCheckResponse:
        if request.service not in self._names:
            raise UsageError("NOT_FOUND", _UNKNOWN)
        return health_pb2.HealthCheckResponse(status=self._state())

    async def watch(
        self, request: health_pb2.HealthCheckRequest, caller: Caller
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        if self._admit is not None:
            self._admit(caller)
        known, said = request.service in self._names, None
        while True:
            state = self._state() if known else _STATES.SERVICE_UNKNOWN
            if state != said:
                yield health_pb2.HealthCheckResponse(status=state)
                said = state
            await asyncio.sleep(LOOK_EVERY_S)
