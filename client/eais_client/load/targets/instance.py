"""An instance of the pool as a target: called as a program calls it, by `eais.InferenceSession`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from eais_client.load.brain.plan import ModelLoad
from eais_client.load.target import Feeds, ServerTimes, Split, TargetSpec
from eais_client.session import InferenceSession
from eais_client.signature import Signature


class InstanceCaller:
    """A model that is open on an instance."""

    def __init__(self, session: InferenceSession) -> None:
        self._session = session
        self._run = session.work.run
        self._run_awaited = session.work.run_awaited

    @property
    def signature(self) -> Signature:
        """As its worker says."""
        return self._session.work.signature

    def call(self, feeds: Feeds, timeout_s: float) -> Sequence[Any]:
        """A run; the session has the time that it may take."""
        return self._run(None, feeds, None)

    async def call_async(self, feeds: Feeds, timeout_s: float) -> Sequence[Any]:
        """A run that is awaited."""
        return cast(Sequence[Any], await self._run_awaited(None, feeds, None))

    def last_split(self) -> Split | None:
        """The last call's account."""
        account = self._session.last_call
        if account is None:
            return None
        of_others = account.compute_s * (1 - 1 / max(1, account.batch_size))
        return Split(
            account.encode_s,
            account.line_s,
            account.wire_s,
            account.queue_s,
            of_others,
            account.compute_s - of_others,
            account.decode_s,
            account.batch_size,
        )

    def transport(self) -> str:
        """What carries its calls."""
        return self._session.stats().transport

    def close(self) -> None:
        """End the session."""
        self._session.close()


class InstanceTarget:
    """An instance that is attached to this front-end.

    Settings: `transport` and `batching`, as `eais.InferenceSession` takes them. It never falls
    back on this machine: what the pool doesn't answer has failed.
    """

    def __init__(self, spec: TargetSpec) -> None:
        self._spec = spec
        self._callers: list[InstanceCaller] = []

    def open(self, model: ModelLoad, timeout_s: float) -> InstanceCaller:
        """Open a session, which sends the model if the instance's host lacks it.

        Raises what `eais.InferenceSession` raises.
        """
        settings = self._spec.settings
        session = InferenceSession(
            model.path,
            provider_options=[{"instance": self._spec.place, "timeout_s": timeout_s}],
            batching=settings.get("batching"),
            transport=settings.get("transport"),
            fallback="",
        )
        self._callers.append(InstanceCaller(session))
        return self._callers[-1]

    def about(self) -> Mapping[str, str]:
        """What carries its calls, once there was one."""
        return {"transport": next((each.transport() for each in self._callers), "")}

    def server_times(self, model: ModelLoad) -> ServerTimes | None:
        """None: each answer says where its time went."""
        return None

    def close(self) -> None:
        """End its sessions."""
        for caller in self._callers:
            caller.close()
