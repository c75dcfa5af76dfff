"""Joining a pool as one user of this machine: what a token yields, kept on disk.

The token works once, so whatever can be found wrong here is found before it is used. Then, each
durably and before the next: the enrolment, the leaf, the context that names them. Whoever is
killed between leaves files that no context names, or an enrolment that isn't the leaf's, which
nobody uses; the next join goes over them.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from eais import files, tls
from eais.errors import ConfigError, IdentityError, UsageError
from eais.identity import Identity, Role
from eais_client.context import Context, ContextList, ContextStore, check_name, enrolment_file
from eais_client.dialer import utc_now

if TYPE_CHECKING:
    from eais.joining import Joined

# Longer than a file is written: what is older was left by a process that was killed.
_SAVED_IN_S: Final = 60.0
_NAME_LIMIT: Final = 60
_ROOM_BYTES: Final = 64 << 10


class Join(Protocol):
    """What trades a token for an identity; `eais.joining.join` is it."""

    def __call__(
        self, address: str, token: str, purpose: Role, *, check_pool: Callable[[str], None]
    ) -> Joined:
        """The identity that the token yields. See `eais.joining.join`."""
        ...


@dataclass(frozen=True, slots=True)
class JoinedContext:
    """What a join has left on disk.

    Attributes:
        role: which of the context's identities it is.
        leaf: that identity; `enrolment_ends`: until when it is renewed without another token.
        replaced: whose place it took in that context, "" if nobody's.
        current: the context in force from now on, where no other is named.
    """

    context: Context
    role: Role
    leaf: tls.Bundle
    enrolment_ends: datetime
    replaced: str
    current: str


class Joining:
    """Joins pools for one user."""

    def __init__(
        self, store: ContextStore, join: Join, wall: Callable[[], datetime] = utc_now
    ) -> None:
        self._store = store
        self._join = join
        self._wall = wall

    def join(self, address: str, token: str, role: Role, name: str = "") -> JoinedContext:
        """Join the pool at `address` as FRONTEND or OPERATOR, in the context `name`.

        Without a name: the context of that pool which lacks the role or has this identity
        already, else a new one, called as the pool.

        Raises:
            UsageError: NAME_TAKEN, the context is another pool's, or this machine's own pool's.
            ConfigError: LOCKED, this user joins elsewhere at this moment; CONFIG, PORT.
            IdentityError, Unavailable: as `eais.joining.join`.
            OSError: an identity can't be written.
        """
        known = self._store.read().contexts.get(check_name(name)) if name else None
        _check_ours(known)
        with self._alone():
            joined = self._join(
                address, token, role, check_pool=lambda pool: _check_pool(known, pool)
            )
            return self._keep(joined, role, name)

    def _keep(self, joined: Joined, role: Role, name: str) -> JoinedContext:
        listed, leaf = self._store.read(), joined.leaf
        chosen = name or self._choose(listed, joined.pool, leaf.identity, role)
        path = self._store.identity_file(chosen, role)
        before = _identity_at(path)
        self._save(path, joined)
        context = _context(listed.contexts.get(chosen), chosen, joined, role)
        self._store.set(context)
        return JoinedContext(
            context=context,
            role=role,
            leaf=leaf,
            enrolment_ends=joined.enrolment.not_after,
            replaced=before.uri if before and before != leaf.identity else "",
            current=self._store.read().current,
        )

    def _save(self, path: Path, joined: Joined) -> None:
        for each, bundle in ((enrolment_file(path), joined.enrolment), (path, joined.leaf)):
            tls.save_bundle(each, bundle)
            files.remove_leftovers_of(each, self._wall().timestamp() - _SAVED_IN_S)

    def _choose(self, listed: ContextList, pool: str, identity: Identity, role: Role) -> str:
        ours = [c for c in listed.contexts.values() if c.pool == pool and not c.state_dir]
        ours.sort(key=lambda context: (context.name != listed.current, context.name))
        for context in ours:
            if _identity_at(self._store.identity_file(context.name, role)) in (None, identity):
                return context.name
        return _free_name(listed, pool)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """One join of this user at a time, with room on the disk for what it yields."""
        folder = files.private_dir(self._store.directory / "contexts")
        with tempfile.TemporaryFile(dir=folder) as probe:
            os.posix_fallocate(probe.fileno(), 0, _ROOM_BYTES)
        fd = files.open_lock(folder / ".join.lock")
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ConfigError("LOCKED", "another `eais join` of yours is under way") from None
            yield
        finally:
            os.close(fd)


def _check_ours(known: Context | None) -> None:
    if known is not None and known.state_dir:
        raise UsageError(
            "NAME_TAKEN",
            f"context {known.name} is of this machine's own pool, which makes its identities",
            hint="choose another name: --context NAME",
        )


def _check_pool(known: Context | None, pool: str) -> None:
    if known is not None and known.pool != pool:
        raise UsageError(
            "NAME_TAKEN",
            f"context {known.name} is of pool {known.pool}, and the token is of pool {pool}",
            hint="choose another name: --context NAME; the token wasn't used",
        )


def _identity_at(path: Path) -> Identity | None:
    """Whose identity is there; None if there is none that can be read."""
    try:
        return tls.load_bundle(path).identity
    except IdentityError:
        return None


def _free_name(listed: ContextList, pool: str) -> str:
    """The pool's name, or that with a number if another context has it."""
    name, n = pool, 1
    while name in listed.contexts:
        n += 1
        name = f"{pool[:_NAME_LIMIT]}-{n}"
    return name


def _context(known: Context | None, name: str, joined: Joined, role: Role) -> Context:
    """The context with what is known now; who was an operator there stays one."""
    made = Context(name, joined.pool, str(joined.user_plane))
    if role is Role.OPERATOR or (known is not None and known.management):
        made = replace(made, management=str(joined.management_plane))
    return made
