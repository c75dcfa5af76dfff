"""Sessions are opened, kept and dropped: the shell around the session book.

An Open of a session that is kept touches nothing. Any other is loaded by the
instance's workers; all who ask for the same meanwhile wait for the same load.
A spec is durable before anyone hears that its session is open.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from eais.channel import MAX_SESSIONS_BYTES
from eais.errors import EaisError, make_error
from eais.rpc.v1 import hosts_pb2, listener_pb2
from eais_server.listener import messages
from eais_server.listener.host import Host
from eais_server.listener.lease import Lease
from eais_server.listener.sessions import KeptSession, session_id
from eais_server.store import ManifestFile, ManifestLimits, Missing, check_manifest
from eais_server.supervision import actions as do
from eais_server.supervision import events as on
from eais_server.supervision.quarantine import Model

log = logging.getLogger(__name__)

SPECS_BYTES: Final = MAX_SESSIONS_BYTES - (64 << 10)
"""Of all specs of an instance, less than the message that tells the pool."""

SESSIONS_BYTES: Final = 12 << 20
"""Of all specs and signatures of an instance: they are in memory, and in one file."""


@dataclass(slots=True)
class _Opening:
    """A session that is being loaded for the first time."""

    tenant: str
    spec: bytes
    opened: asyncio.Future[KeptSession]


@dataclass(slots=True)
class _Ask:
    """A session that was asked for and isn't kept.

    Attributes:
        at: when it was asked for last, or files were sent since.
        looking: how many asks for it wait for the store. When that refuses the last of them,
            the session is forgotten at once: nobody comes back to it.
    """

    at: float
    looking: int = 0


class Openings:
    """All sessions of all instances of one listener."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._limits = ManifestLimits(model_max_bytes=host.config.model_max_bytes)
        self._openings: dict[tuple[str, str], _Opening] = {}
        # Sessions that were asked for and aren't kept: their files are pinned since then.
        self._asked: dict[tuple[str, str], _Ask] = {}

    def restore(self) -> None:
        """Know the sessions again that the last listener of this host kept."""
        now = self._host.clock()
        for instance, sessions in self._host.files.specs():
            for session in sessions:
                self._host.book.keep(instance, session, now)
                files = messages.manifest(messages.spec_of(session))
                self._host.store.pin(session.id, session.tenant, files)

    async def open(
        self, lease: Lease, spec: listener_pb2.SessionSpec, timeout_s: float | None
    ) -> KeptSession | list[Missing]:
        """The session that `spec` makes, loaded and kept, or the files that must be sent first.

        Raises:
            EaisError: what `check_manifest` and the store refuse; QUOTA; MODEL_QUARANTINED;
                the failure of the load; DEADLINE_EXCEEDED (the load goes on).
        """
        files = messages.manifest(spec)
        check_manifest(files, self._limits)
        wire = messages.spec_bytes(spec)
        key = (lease.instance, session_id(lease.instance, wire))
        await self._host.deaths_seen(lease.instance)
        self._refuse_quarantined(lease.tenant, wire)
        kept = self._host.book.get(*key)
        if kept:
            self._host.book.touch(*key, self._host.clock())
            return kept
        missing = await self._look(lease, key, files, len(wire))
        return missing or await self._load(lease, key, wire, timeout_s)

    def _refuse_quarantined(self, tenant: str, wire: bytes) -> None:
        """Before anything is sent or pinned: no upload makes another model of it."""
        model = Model(tenant, messages.model_digest(wire))
        failure = self._host.state.quarantine.refusal(model, self._host.clock())
        if failure:
            raise messages.error_of(failure)

    async def _look(
        self, lease: Lease, key: tuple[str, str], files: list[ManifestFile], size: int
    ) -> list[Missing]:
        if key in self._openings:
            return []
        self._check_quota(key)
        self._check_room(key[0], size)
        now = self._host.clock()
        ask = self._asked.setdefault(key, _Ask(now))
        ask.at = now
        ask.looking += 1
        try:
            await self._host.for_client(self._host.store.pin, key[1], lease.tenant, files)
            return await self._host.for_client(self._host.store.missing, lease.tenant, files)
        except EaisError:
            if ask.looking == 1 and self._asked.get(key) is ask:
                del self._asked[key]
                await self._unpin(key)
            raise
        finally:
            ask.looking -= 1

    def _check_quota(self, key: tuple[str, str]) -> None:
        begun = {name for name in (*self._openings, *self._asked) if name[0] == key[0]}
        limit = self._host.config.sessions_max
        if len(self._host.book.of(key[0])) + len(begun - {key}) >= limit:
            text = f"an instance has at most {limit} sessions here; close some"
            raise make_error("QUOTA", text, metadata={"limit": str(limit)})

    def _check_room(self, instance: str, spec: int, signature: int = 0) -> None:
        """Whether there is room for a session with a spec and a signature of so many bytes."""
        kept = self._host.book.of(instance)
        opening = sum(len(o.spec) for key, o in self._openings.items() if key[0] == instance)
        specs = sum(len(s.spec) for s in kept) + opening + spec
        _check_bytes(specs, SPECS_BYTES, "files' names and options")
        all_of_it = specs + sum(len(s.signature) for s in kept) + signature
        what = "files' names, options, inputs, outputs and metadata"
        _check_bytes(all_of_it, SESSIONS_BYTES, what)

    async def _load(
        self, lease: Lease, key: tuple[str, str], wire: bytes, timeout_s: float | None
    ) -> KeptSession:
        kept = self._host.book.get(*key)
        if kept:  # somebody else's Open was faster
            return kept
        opening = self._openings.get(key) or self._begin(lease, key, wire)
        try:
            return await asyncio.wait_for(asyncio.shield(opening.opened), timeout_s)
        except TimeoutError as error:
            if isinstance(error, EaisError):
                raise
            raise make_error("DEADLINE_EXCEEDED", "the model is still being loaded") from None

    def _begin(self, lease: Lease, key: tuple[str, str], wire: bytes) -> _Opening:
        opened: asyncio.Future[KeptSession] = asyncio.get_running_loop().create_future()
        opened.add_done_callback(_heard)
        opening = self._openings[key] = _Opening(lease.tenant, wire, opened)
        self._host.tell(on.LoadAsked(*key, messages.model_digest(wire)))
        return opening

    def pushed(self, instance: str) -> None:
        """Somebody sends files for the instance: what it asked for stays pinned."""
        now = self._host.clock()
        for key, ask in self._asked.items():
            if key[0] == instance:
                ask.at = now

    # what the supervision asks for

    async def place(
        self, instance: str, session: str, folder: Path
    ) -> listener_pb2.SessionSpec | None:
        """Link the session's files into `folder`; None when nobody wants it any more.

        Raises:
            EaisError: what `ModelStore.place` refuses.
        """
        lease = self._host.admission.leases.get(instance)
        wire = self._spec(instance, session)
        if lease is None or wire is None:
            return None
        spec = listener_pb2.SessionSpec.FromString(wire)
        files = messages.manifest(spec)
        await asyncio.to_thread(self._host.store.place, lease.tenant, files, folder)
        return spec

    def _spec(self, instance: str, session: str) -> bytes | None:
        opening = self._openings.get((instance, session))
        kept = self._host.book.get(instance, session)
        return opening.spec if opening else kept.spec if kept else None

    async def outcome(self, action: do.KeepSession | do.RefuseSession | do.ForgetSession) -> None:
        """What the supervision says of a session."""
        match action:
            case do.KeepSession():
                await self._loaded(action)
            case do.RefuseSession():
                await self._refused(action)
            case do.ForgetSession():
                await self._forgotten(action)

    async def _loaded(self, action: do.KeepSession) -> None:
        """The session is loaded: make its spec durable, then answer who waits."""
        key = (action.instance, action.session)
        opening = self._openings.pop(key)
        kept = KeptSession(action.session, opening.tenant, opening.spec, action.signature)
        self._asked.pop(key, None)
        try:
            await self._keep(action.instance, kept)
        except EaisError as error:
            self._host.book.drop(*key)
            self._host.tell(on.SessionDropped(*key))
            await self._unpin(key)
            opening.opened.set_exception(error)
            return
        log.info("session %s of %s is open", action.session, action.instance)
        self._say(action.instance)
        opening.opened.set_result(kept)

    async def _keep(self, instance: str, kept: KeptSession) -> None:
        self._check_room(instance, len(kept.spec), len(kept.signature))
        self._host.book.keep(instance, kept, self._host.clock())
        try:
            await self._save(instance)
        except OSError as error:
            log.error("the specs of %s can't be written: %s", instance, error)
            text = "this host's disk failed; the session isn't kept"
            raise make_error("STORE_UNAVAILABLE", text) from None

    async def _refused(self, action: do.RefuseSession) -> None:
        """The session can't be opened: nothing of it is kept; answer who waits."""
        key = (action.instance, action.session)
        opening = self._openings.pop(key, None)
        self._asked.pop(key, None)
        await self._unpin(key)
        if opening:
            failure = await self._judged(opening.tenant, opening.spec, action.failure)
            opening.opened.set_exception(messages.error_of(failure))

    async def _forgotten(self, action: do.ForgetSession) -> None:
        """A kept session can't be loaded any more: its spec goes."""
        log.error(
            "session %s of %s is dropped: %s", action.session, action.instance, action.failure
        )
        kept = self._host.book.get(action.instance, action.session)
        if kept:
            await self._judged(kept.tenant, kept.spec, action.failure)
        await self._drop(action.instance, action.session)

    async def _judged(self, tenant: str, wire: bytes, failure: on.Failure) -> on.Failure:
        """The failure of a load; files that a worker found damaged are looked at before they are
        used again, so that whoever opens the session once more is asked for them.
        """
        if failure.reason != "DIGEST_MISMATCH":
            return failure
        files = messages.manifest(listener_pb2.SessionSpec.FromString(wire))
        await asyncio.to_thread(self._host.store.doubt, tenant, files)
        return on.Failure("MODEL_LOST", failure.message)

    async def drop_idle(self) -> None:
        """Drop the sessions that nobody held for long enough, and the pins of lost asks."""
        now = self._host.clock()
        for key in self._host.book.due(now):
            await self._drop(*key)
        late = now - self._host.config.session_idle_s
        for key in [key for key, ask in self._asked.items() if ask.at <= late]:
            if key not in self._openings:
                del self._asked[key]
                await self._unpin(key)

    async def _drop(self, instance: str, session: str) -> None:
        self._host.book.drop(instance, session)
        # At once, so that an Open that comes while the disk works begins anew.
        self._host.tell(on.SessionDropped(instance, session))
        try:
            await self._save(instance)
        except OSError as error:
            # It would be back after a restart, and be dropped again.
            log.error("the specs of %s can't be written: %s", instance, error)
        await self._unpin((instance, session))
        self._say(instance)

    async def _unpin(self, key: tuple[str, str]) -> None:
        """Let the session's files go, unless it was asked for again meanwhile."""
        wanted = key in self._asked or key in self._openings or self._host.book.get(*key)
        if not wanted:
            await asyncio.to_thread(self._host.store.unpin, key[1])

    async def _save(self, instance: str) -> None:
        sessions = self._host.book.of(instance)
        await self._host.durable(self._host.files.save_specs, instance, sessions)

    def _say(self, instance: str) -> None:
        lease = self._host.admission.leases.get(instance)
        if lease:
            self._host.report(hosts_pb2.HostReport(sessions=self._host.sessions(lease)))


def _check_bytes(there: int, limit: int, what: str) -> None:
    if there > limit:
        text = f"the sessions of an instance have at most {limit} bytes of {what} here; close some"
        raise make_error("QUOTA", text, metadata={"limit": str(limit)})


def _heard(opened: asyncio.Future[KeptSession]) -> None:
    """All who waited may be gone; that isn't worth a warning."""
    if not opened.cancelled():
        opened.exception()
