"""An identity's next leaf, asked for with the present one; and who asks in time.

The identity of a (user, context) is one file that programs and command lines share.
Whoever finds it past half of its life renews it, one process at a time (a lock beside the
file); the others go on with the leaf they have and read the file again. Where the machine has
joined the pool, a leaf that has ended is renewed by its enrolment, and the enrolment itself
when it is due (`eais_client.enrolment`).
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from eais import files, tls
from eais.backoff import Rng
from eais.errors import EaisError, IdentityError, make_error
from eais.jitter import JITTER
from eais.rpc.v1 import common_pb2
from eais.tls import Bundle, LeafFile
from eais_client.background import Alarm
from eais_client.brain.renewing import LOOK_AT_LEAST_S, Life, Renewing, due, failed, look_in_s
from eais_client.dialer import utc_now
from eais_client.enrolment import Enrolment, is_due

log = logging.getLogger(__name__)

# Longer than a file is written, also by who doesn't hold the lock: it joins, or is in a hurry.
_SAVED_IN_S: Final = 60.0

#: Sends the request to the plane that the identity may use, with its present leaf.
Ask = Callable[[common_pb2.RenewRequest], common_pb2.RenewReply]
Wall = Callable[[], datetime]


def life_of(bundle: Bundle) -> Life:
    """The times of the bundle's leaf."""
    return Life(bundle.not_before + tls.CLOCK_SKEW, bundle.renew_after, bundle.not_after)


class Renewal:
    """Renews the identity in one file; `enrolment` is that beside it, if there may be one."""

    def __init__(
        self,
        leaf: LeafFile,
        ask: Ask,
        wall: Wall = utc_now,
        enrolment: Enrolment | None = None,
    ) -> None:
        self.leaf = leaf
        self.wall = wall
        self._ask = ask
        self._enrolment = enrolment
        self.renewals = 0

    def renew(self, seen: Bundle) -> Bundle | None:
        """The identity that takes the place of `seen`; saved durably before it is returned.

        None if another process is renewing it at this moment. Raises `EaisError`: the pool's
        refusal or absence, `IdentityError` for an answer that won't do, STATE_DIR when the
        file can't be written. What was there is then still there.
        """
        urgent = life_of(seen).urgent(self.wall())
        try:
            with _alone(self.leaf.path) as alone:
                if not alone and not urgent:
                    return None
                if alone:
                    self._remove_leftovers()
                present = self.leaf.current()
                return present if present != seen else self._renewed(seen)
        except EaisError:
            raise  # a passed deadline is an OSError too
        except OSError as error:
            text = f"{self.leaf.path}: {error.strerror or error}"
            raise make_error("STATE_DIR", text) from error

    def _remove_leftovers(self) -> None:
        """What processes that were killed while they saved left: each holds a private key."""
        files.remove_leftovers_of(self.leaf.path, self.wall().timestamp() - _SAVED_IN_S)

    def _renewed(self, present: Bundle) -> Bundle:
        enrolment, now = self._enrolment, self.wall()
        enrolled = enrolment.of(present, now) if enrolment is not None else None
        if enrolment is None or enrolled is None:
            return self._exchange(self._ask, present)
        made = self._with_enrolment(enrolment, enrolled, present)
        enrolled = enrolment.of(made, now)
        if enrolled is not None and is_due(enrolled, made, now):
            # The new leaf is the first that the pool's new CA has signed: who waits with the
            # enrolment until the next leaf may find that the old CA is trusted no more.
            with contextlib.suppress(EaisError):
                made = self._exchange(partial(enrolment.ask, enrolled), made, enrolled)
        return made

    def _with_enrolment(self, enrolment: Enrolment, enrolled: Bundle, present: Bundle) -> Bundle:
        """By the enrolment if that is due or the leaf has ended, else by the leaf."""
        now = self.wall()
        ended = now >= present.not_after
        if ended or is_due(enrolled, present, now):
            try:
                return self._exchange(partial(enrolment.ask, enrolled), present, enrolled)
            except IdentityError:
                if ended:
                    raise
        made = self._exchange(self._ask, present)
        enrolment.trust(enrolled, made.ca_pem)
        return made

    def _exchange(self, ask: Ask, present: Bundle, enrolled: Bundle | None = None) -> Bundle:
        """Ask for the leaf after `present`, and for the enrolment after `enrolled` if it is due.

        Both are found to be right, and are saved: the enrolment first.
        """
        keys, now = (tls.new_key(), tls.new_key()), self.wall()
        request = common_pb2.RenewRequest(csr_pem=tls.make_csr(keys[0]))
        if enrolled is not None and is_due(enrolled, present, now):
            request.enrolment_csr_pem = tls.make_csr(keys[1])
        reply = ask(request)
        made = _signed(keys[0], reply.leaf_pem, reply.ca_pem)
        check_successor(present, made, now)
        if self._enrolment is not None and enrolled is not None:
            self._keep_enrolment(self._enrolment, enrolled, keys[1], reply)
        tls.save_bundle(self.leaf.path, made)
        self.renewals += 1
        return made

    def _keep_enrolment(
        self,
        enrolment: Enrolment,
        enrolled: Bundle,
        key: PrivateKeyTypes,
        reply: common_pb2.RenewReply,
    ) -> None:
        if not reply.enrolment_pem:
            enrolment.trust(enrolled, reply.ca_pem)
            return
        made = _signed(key, reply.enrolment_pem, reply.ca_pem)
        check_successor(enrolled, made, self.wall())
        enrolment.save(made)


def reviver(leaf: LeafFile, enrolment: Enrolment, wall: Wall = utc_now) -> Callable[[Bundle], None]:
    """What a `Dialer` calls with an identity that has ended: renews it by its enrolment.

    Does nothing if there is none that can be used. Raises `EaisError` as `Renewal.renew`.
    """

    def revive(seen: Bundle) -> None:
        enrolled = enrolment.of(seen, wall())
        if enrolled is not None:
            Renewal(leaf, partial(enrolment.ask, enrolled), wall, enrolment).renew(seen)

    return revive


def _signed(key: PrivateKeyTypes, leaf_pem: bytes, ca_pem: bytes) -> Bundle:
    return tls.make_bundle(tls.key_to_pem(key), leaf_pem, ca_pem, "the renewed identity")


def check_successor(present: Bundle, made: Bundle, now: datetime) -> None:
    """Judge whether `made` may take the place of `present`.

    Raises `IdentityError`: CERT_IDENTITY when it is somebody else's, CERT_UNTRUSTED when no
    CA of the present one is trusted by it (a CA is changed with both trusted for a time),
    CERT_EXPIRED or CERT_NOT_YET_VALID.
    """
    if made.identity != present.identity:
        text = f"the pool renewed {present.identity.uri} as {made.identity.uri}"
        raise IdentityError("CERT_IDENTITY", text)
    trusted = tls.load_certificates(present.ca_pem)
    if not any(ca in trusted for ca in tls.load_certificates(made.ca_pem)):
        raise IdentityError("CERT_UNTRUSTED", "the renewed identity trusts none of the present CAs")
    tls.check_validity(made, now)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[bool]:
    """Whether no other process is in such a block for `path`; doesn't wait."""
    lock = path.with_name(f".{path.name}.lock")
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(lock, flags, 0o600)
    try:
        yield _try_lock(fd)
    finally:
        # Also for a child that was forked meanwhile and has the same descriptor.
        fcntl.flock(fd, fcntl.LOCK_UN)
        os.close(fd)


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class Keeper:
    """Keeps one process's identity fresh in the background, for as long as the process is.

    Args:
        renewal: of the identity.
        alarm: makes an alarm that calls back; what it calls may take as long as a renewal.
        clock: the monotonic seconds that the alarm goes by.
    """

    def __init__(
        self,
        renewal: Renewal,
        alarm: Callable[[Callable[[], None]], Alarm],
        clock: Callable[[], float],
        rng: Rng = JITTER,
    ) -> None:
        self._renewal = renewal
        self._clock = clock
        self._rng = rng
        self._alarm = alarm(self._ring)
        self._state = Renewing()
        self._held: Bundle | None = None
        self._fault = ""
        self._changed: Callable[[], None] = _nobody
        self._closed = threading.Event()
        self.changes = 0

    def start(self, changed: Callable[[], None]) -> None:
        """Begin; `changed` is called after the file's identity was replaced, by whomever."""
        self._changed = changed
        with contextlib.suppress(IdentityError):  # who needs it has heard why, or will
            self._held = self._renewal.leaf.current()
        self._alarm.wake_at(self._clock())

    def close(self) -> None:
        """Look no more."""
        self._closed.set()
        self._alarm.close()

    def _ring(self) -> None:
        if self._closed.is_set():
            return
        again_s = LOOK_AT_LEAST_S
        try:
            again_s = self._look()
        finally:
            self._alarm.wake_at(self._clock() + again_s)

    def _look(self) -> float:
        """Renew if it is time, tell of a change; seconds until the next look."""
        try:
            bundle = self._renewal.leaf.current()
        except IdentityError as error:
            self._say_fault(error)
            return LOOK_AT_LEAST_S
        self._fault = ""
        if due(self._state, life_of(bundle), self._renewal.wall()):
            bundle = self._try(bundle)
        if bundle != self._held:
            self._held, self._state = bundle, Renewing()
            self.changes += 1
            self._changed()
        return look_in_s(self._state, life_of(bundle), self._renewal.wall())

    def _try(self, seen: Bundle) -> Bundle:
        try:
            return self._renewal.renew(seen) or seen
        except EaisError as error:
            self._failed(seen, error)
            return seen

    def _failed(self, seen: Bundle, error: EaisError) -> None:
        tell = failed(self._state, life_of(seen), self._renewal.wall(), self._rng)
        if tell and not self._closed.is_set():
            log.warning(not_renewed(seen, error, self._renewal.wall()))

    def _say_fault(self, error: IdentityError) -> None:
        if str(error) != self._fault and not self._closed.is_set():
            self._fault = str(error)
            log.warning("the identity can't be used: %s", error)


def freshen(renewal: Renewal) -> None:
    """Renew the identity if it is time, for a process that ends soon; never raises for it.

    A failure is said when little of the leaf's life is left; the present leaf serves on.
    """
    try:
        seen = renewal.leaf.current()
    except IdentityError:
        return  # the call that follows says so
    life, now = life_of(seen), renewal.wall()
    if not due(Renewing(), life, now) or now >= life.ends:
        return
    try:
        renewal.renew(seen)
    except EaisError as error:
        if life.urgent(now):
            log.warning(not_renewed(seen, error, now))


def not_renewed(seen: Bundle, error: EaisError, now: datetime) -> str:
    """What the user is told of an identity that can't be renewed."""
    ends = "ended" if now >= seen.not_after else "ends"
    when = f"{seen.not_after:%F %T} UTC"
    return f"{seen.identity.uri} {ends} at {when} and can't be renewed: {error}"


def _nobody() -> None:
    """Nobody is told."""
