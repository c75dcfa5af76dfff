"""Leases come, are kept and go: what the pool's grants and revocations do here.

A grant is prepared (devices, vNIC, keys and leaves), written down, and only
then handed to the supervision; it is answered when all of its workers have
served. One instance's grants and revocations are done one after the other.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from eais import tls
from eais.errors import AttachmentLost, EaisError, make_error
from eais.instance_policy import RingPolicy
from eais.rpc.status import error_to_message
from eais.rpc.v1 import hosts_pb2, supervision_pb2
from eais_server.listener import messages
from eais_server.listener.arrivals import Arrivals
from eais_server.listener.host import Host
from eais_server.listener.lease import Lease
from eais_server.listener.lease_vnics import LeaseVnics
from eais_server.listener.leaves import Signer, leaf_message, new_leaf, new_leaves
from eais_server.listener.reshaping import MakeWay, Reshaping
from eais_server.listener.sessions import session_id
from eais_server.listener.usage import Counters, UsageRecord
from eais_server.supervision import actions as do
from eais_server.supervision import events as on

log = logging.getLogger(__name__)

A = TypeVar("A")
B = TypeVar("B")


@dataclass(slots=True)
class _Preparation:
    """A grant that isn't durable yet. `wanted` until the pool thinks otherwise."""

    lease: Lease
    done: asyncio.Event
    wanted: bool = True


class Grants:
    """The leases of one listener, and the keys and leaves of their workers."""

    def __init__(
        self,
        host: Host,
        sign: Signer,
        arrivals: Arrivals,
        make_way: MakeWay,
        vnics: LeaseVnics,
    ) -> None:
        self._host = host
        self._vnics = vnics
        self._make_way = make_way
        self._sign = sign
        self._arrivals = arrivals
        # Of leases that are MOVING: all workers have served; how many sessions are missing;
        # why it failed.
        self._served: set[str] = set()
        self._missing: dict[str, int] = {}
        self._failed: dict[str, EaisError] = {}
        self._preparing: dict[str, _Preparation] = {}
        # Set once nothing is left of the instance's older lease, on the disk neither.
        self._gone: dict[str, asyncio.Event] = {}
        self.leaves: dict[tuple[str, int], tls.Bundle] = {}
        self.new_leaf = partial(new_leaf, sign)
        self.reshaping = Reshaping(host, self.new_leaf, self.leaves, make_way)

    # what the pool asks for

    async def grant(self, message: hosts_pb2.Grant) -> None:
        """Hold the lease that is granted; says Granted or GrantFailed when that is known."""
        try:
            lease = messages.lease_of(message)
            if not self._is_known(lease, message):
                await self._begin(lease)
            await self.reshaping.add(lease)
            self._arrive(lease, message)
        except EaisError as error:
            self._refuse(message, error)
        except OSError as error:
            log.error("the grant of %s can't be written down: %s", message.instance, error)
            self._refuse(message, make_error("STORE_UNAVAILABLE", "this host's disk failed"))

    async def revoke(self, message: hosts_pb2.Revoke) -> None:
        """End the lease; says Released when its workers are gone, at once if it isn't here."""
        if message.shares:
            await self.reshaping.revoke(message)
            return
        held = self._host.admission.leases.get(message.instance)
        if held is not None and held.epoch <= message.epoch:
            self._arrivals.cancel(message.instance)
        preparation = self._preparing.get(message.instance)
        if preparation and preparation.lease.epoch <= message.epoch:
            preparation.wanted = False
            await preparation.done.wait()
        held = self._host.admission.leases.get(message.instance)
        if held is None:
            self._say_released(message.instance, message.epoch)
        elif held.epoch <= message.epoch:
            grace_s = message.drain_grace_ms / 1000
            self._host.tell(on.LeaseRevoked(message.instance, grace_s))

    def _arrive(self, lease: Lease, message: hosts_pb2.Grant) -> None:
        """Have the grant's sessions come here, if it still waits for them."""
        held = self._host.admission.leases.get(lease.instance)
        waits = held is not None and held.moving and held.epoch == lease.epoch
        if held is not None and waits and lease.instance not in self._missing:
            self._arrivals.begin(held, message, self._arrived)

    async def _arrived(self, lease: Lease, outcome: int | EaisError) -> None:
        """The sessions of a MOVING lease are here, but for so many; or they can't be."""
        held = self._host.admission.leases.get(lease.instance)
        if held is None or held.epoch != lease.epoch or self._is_ending(held):
            return
        if isinstance(outcome, EaisError):
            self._failed[lease.instance] = outcome
            self._host.tell(on.LeaseRevoked(lease.instance, 0.0))
            return
        self._missing[lease.instance] = outcome
        await self._answer_moving(lease.instance)

    async def _answer_moving(self, instance: str) -> None:
        if instance in self._served and instance in self._missing:
            await self._answer(instance, self._missing.pop(instance))

    def _lacks(self, message: hosts_pb2.Grant) -> int:
        """How many of the grant's sessions aren't here."""
        wires = map(messages.spec_bytes, message.specs)
        names = [session_id(message.instance, wire) for wire in wires]
        return sum(self._host.book.get(message.instance, name) is None for name in names)

    def _is_known(self, lease: Lease, message: hosts_pb2.Grant) -> bool:
        """Whether this very grant was taken before; if it was answered, it is again."""
        preparation = self._preparing.get(lease.instance)
        if preparation and preparation.wanted and preparation.lease.epoch == lease.epoch:
            return True
        held = self._host.admission.leases.get(lease.instance)
        if held is None or held.epoch != lease.epoch or self._is_ending(held):
            return False
        if held.granted:
            self._say_granted(held, self._lacks(message))
        return True

    def _is_ending(self, lease: Lease) -> bool:
        held = self._host.state.leases.get(lease.instance)
        return held is None or held.releasing

    async def _begin(self, lease: Lease) -> None:
        self._check(lease)
        await self._await_turn(lease)
        self._check(lease)  # others came and went meanwhile
        preparation = _Preparation(lease, asyncio.Event())
        self._preparing[lease.instance] = preparation
        try:
            await self._end_older(lease)
            self._take(*await self._prepare(preparation))
        finally:
            del self._preparing[lease.instance]
            preparation.done.set()

    def _check(self, lease: Lease) -> None:
        preparing = frozenset(p.lease.tenant for p in self._preparing.values())
        self._host.admission.check_grant(lease.instance, lease.tenant, lease.epoch, preparing)

    async def _await_turn(self, lease: Lease) -> None:
        while other := self._preparing.get(lease.instance):
            if other.lease.epoch >= lease.epoch:
                raise _superseded()
            other.wanted = False
            await other.done.wait()

    async def _end_older(self, lease: Lease) -> None:
        if lease.instance in self._host.admission.leases:
            self._gone.setdefault(lease.instance, asyncio.Event())
            self._host.tell(on.LeaseRevoked(lease.instance, 0.0))
        if gone := self._gone.get(lease.instance):
            await gone.wait()

    async def _prepare(self, preparation: _Preparation) -> tuple[Lease, dict[int, tls.Bundle]]:
        """Devices, address, keys and leaves; all of them durable, or none there."""
        lease, host = preparation.lease, self._host
        await self._make_way([share.device for share in lease.shares])
        try:
            host.inventory.reserve(lease)
            leaves, lease = await _both(new_leaves(self._sign, lease), self._vnics.make(lease))
            for n, bundle in leaves.items():
                await host.durable(host.files.save_leaf, lease.instance, n, bundle)
            await host.durable(host.files.save_lease, lease)
            if not preparation.wanted:
                raise _superseded()
        except BaseException:
            await asyncio.shield(self._undo(lease))
            raise
        return lease, leaves

    async def _undo(self, lease: Lease) -> None:
        """Nothing is left of the lease. A disk that fails here is no reason to keep it."""
        host = self._host
        await host.durable(self._remove, lease.instance)
        await self._vnics.take_away(lease)
        host.inventory.free(lease.instance)

    def _remove(self, instance: str) -> None:
        """What a disk keeps that fails is found, and refused, by the next listener."""
        try:
            self._host.files.remove_lease(instance)
        except OSError as error:
            log.error("the lease of %s can't be removed: %s", instance, error)

    def _take(self, lease: Lease, leaves: dict[int, tls.Bundle]) -> None:
        host = self._host
        known = host.files.usage(lease.instance)
        if known is None or known.epoch != lease.epoch:
            before = self._vnics.carried_before(lease.instance)
            known = UsageRecord(lease.epoch, Counters(), vnic_seen=before)
        host.admission.leases[lease.instance] = lease
        self.leaves.update({(lease.instance, n): bundle for n, bundle in leaves.items()})
        pages = host.files.pages(lease.instance, lease.epoch)
        host.meter.open(lease.instance, known.with_pages(pages))
        slots = tuple(
            on.SlotAsked(s.n, s.port, s.incarnation, s.proven, s.device) for s in lease.shares
        )
        sessions = {s.id: messages.model_digest(s.spec) for s in host.book.of(lease.instance)}
        host.tell(
            on.LeaseTaken(lease.instance, lease.tenant, lease.epoch, slots, sessions, lease.granted)
        )
        log.info("lease of %s, epoch %s: held", lease.instance, lease.epoch)

    async def restore(self) -> None:
        """Take the leases up again that the last listener of this host had."""
        for found, leaves in list(self._host.files.leases()):
            lease = found
            try:
                self._check(lease)
                lease = await self._vnics.make_again(self.reshaping.take_up(found, leaves))
            except EaisError as error:
                log.error("the lease of %s can't be held any more: %s", lease.instance, error)
                self._host.inventory.free(lease.instance)
                self._remove(lease.instance)
                continue
            self._take(lease, {share.n: leaves[share.n] for share in lease.shares})

    # what the supervision asks for

    async def adoption(self, action: do.Adopt) -> supervision_pb2.Adopt:
        """All that a worker is told once, after its incarnation is durable; OSError."""
        lease = self._host.admission.leases[action.instance]
        share = replace(lease.share(action.n), incarnation=action.incarnation)
        await self._change(lease, lease.with_share(share))
        inventory = self._host.inventory
        reservation = inventory.reservation(action.instance, action.n)
        return supervision_pb2.Adopt(
            pool=self._host.pool,
            instance=lease.instance,
            tenant=lease.tenant,
            epoch=lease.epoch,
            n=action.n,
            incarnation=action.incarnation,
            address=lease.address,
            port=action.port,
            threads=reservation.threads,
            run_timeout_s=lease.run_timeout_s,
            ring="" if lease.policy.ring is RingPolicy.AUTO else lease.policy.ring.value,
            slo_p99_us=lease.policy.slo_p99_us,
            queue_limit_ms=self._host.config.queue_limit_ms,
            calls_limit=self._host.config.worker_calls,
            bytes_limit=self._host.config.worker_bytes,
            transport=self._host.config.served_by,
            leaf=leaf_message(self.leaves[action.instance, action.n]),
            cores=reservation.cores,
            device=reservation.device,
            milli=reservation.milli,
            memory_bytes=reservation.memory_bytes,
            process_memory_bytes=reservation.process_memory_bytes,
            drivers=inventory.drivers(reservation.device),
            words=reservation.words,
            tolerance=lease.tolerance,
            runtimes=messages.runtimes(inventory.runtimes(reservation.device)),
            turns=bool(reservation.turns),
            watched=reservation.device in self._host.state.devices,
        )

    async def record_port(self, action: do.RecordPort) -> None:
        """Make a worker's port part of the durable lease; OSError."""
        lease = self._host.admission.leases[action.instance]
        share = replace(lease.share(action.n), port=action.port)
        await self._change(lease, lease.with_share(share))
        await self._vnics.connect(lease.with_share(share))

    async def _change(self, old: Lease, new: Lease) -> None:
        if new != old:
            self._host.admission.leases[new.instance] = new
            await self._host.durable(self._host.files.save_lease, new)

    async def answer_granted(self, action: do.AnswerGranted) -> None:
        """All workers have served: write that down, then answer; sessions are waited for."""
        if self._host.admission.leases[action.instance].moving:
            self._served.add(action.instance)
            await self._answer_moving(action.instance)
        else:
            await self._answer(action.instance, 0)

    async def _answer(self, instance: str, missing: int) -> None:
        lease = self._host.admission.leases[instance]
        try:
            await self._change(lease, replace(lease, granted=True, moving=False))
        except OSError as error:
            # Harmless: after a restart it would only be answered once more.
            log.error("%s can't be written down as granted: %s", instance, error)
        log.info("lease of %s, epoch %s: granted", lease.instance, lease.epoch)
        self._say_granted(self._host.admission.leases.get(instance, lease), missing)

    async def release(self, action: do.Release) -> None:
        """No process is left: forget the lease, durably, then say so."""
        host = self._host
        gone = self._gone.setdefault(action.instance, asyncio.Event())
        lease = host.admission.leases.pop(action.instance)
        self._arrivals.cancel(action.instance)
        self._served.discard(action.instance)
        self._missing.pop(action.instance, None)
        failed = self._failed.pop(action.instance, None)
        await self._vnics.end(lease)
        if total := host.meter.total(action.instance):
            await host.durable(self._keep_final, action.instance, total)
            last = messages.usage(action.instance, total, last=True)
            host.report(hosts_pb2.HostReport(usage=last))
        host.meter.close(action.instance)
        await self._undo(lease)
        for key in [key for key in self.leaves if key[0] == lease.instance]:
            del self.leaves[key]
        log.info("lease of %s, epoch %s: released", lease.instance, lease.epoch)
        if failed is not None:
            self._say_failed(lease.instance, lease.epoch, failed)
        elif action.failure:
            self._say_failed(lease.instance, lease.epoch, messages.error_of(action.failure))
        else:
            self._say_released(lease.instance, lease.epoch)
        del self._gone[action.instance]
        gone.set()

    def _keep_final(self, instance: str, total: UsageRecord) -> None:
        """For the pool, should it not hear them now."""
        try:
            self._host.files.save_final(instance, total)
        except OSError as error:
            log.error("the last counters of %s can't be written down: %s", instance, error)

    async def usage_kept(self, message: hosts_pb2.UsageKept) -> None:
        """The pool has the last counters of a lease: forget them."""
        try:
            files = self._host.files
            await self._host.durable(files.remove_final, message.instance, message.epoch)
        except (OSError, EaisError) as error:
            # Harmless: the pool would only hear them once more.
            log.error("the last counters of a lease can't be removed: %s", error)

    # what is said to the pool

    def _say_granted(self, lease: Lease, missing: int) -> None:
        granted = self._host.granted(lease)
        granted.specs_missing = missing
        self._host.report(hosts_pb2.HostReport(granted=granted))

    def _say_released(self, instance: str, epoch: int) -> None:
        released = hosts_pb2.Released(instance=instance, epoch=epoch)
        self._host.report(hosts_pb2.HostReport(released=released))

    def _refuse(self, message: hosts_pb2.Grant, error: EaisError) -> None:
        log.warning("the grant of %s is refused: %s", message.instance, error)
        self._say_failed(message.instance, message.epoch, error)

    def _say_failed(self, instance: str, epoch: int, error: EaisError) -> None:
        failed = hosts_pb2.GrantFailed(
            instance=instance, epoch=epoch, error=error_to_message(error)
        )
        self._host.report(hosts_pb2.HostReport(grant_failed=failed))


async def _both(first: Awaitable[A], second: Awaitable[B]) -> tuple[A, B]:
    """Both; where one fails the other is waited for, so that all it did can be undone."""
    one, other = await asyncio.gather(first, second, return_exceptions=True)
    if isinstance(one, BaseException):
        raise one
    if isinstance(other, BaseException):
        raise other
    return one, other


def _superseded() -> AttachmentLost:
    return AttachmentLost("STALE_EPOCH", "the pool has changed its mind about this lease")
