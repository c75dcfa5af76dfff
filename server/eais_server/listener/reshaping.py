"""Shares come to a lease that is held here, and leave it, while its other workers serve.

What the pool wants is said by number: a Grant under the epoch that is held, with shares that
aren't here, adds those; a Revoke that names shares takes those. Both are durable before a
process is started or told to go, and may be said again at any time. A share is gone, and its
device free, when its worker's exit was seen; the pool hears so from the next WorkersChanged.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace

from eais import tls
from eais.errors import EaisError, make_error
from eais.rpc.status import error_to_message
from eais.rpc.v1 import hosts_pb2
from eais_server.devices.driver import Reservation
from eais_server.listener import messages
from eais_server.listener.host import Host
from eais_server.listener.lease import Lease, Share
from eais_server.listener.leaves import NewLeaf
from eais_server.supervision import actions as do
from eais_server.supervision import events as on

log = logging.getLogger(__name__)

MakeWay = Callable[[Iterable[str]], Awaitable[None]]
"""Has devices freed of what is measured there, before shares of them are reserved."""


class Reshaping:
    """Changes the shares of leases that are held.

    Args:
        leaves: of the workers of all leases, by instance and number.
    """

    def __init__(
        self,
        host: Host,
        new_leaf: NewLeaf,
        leaves: dict[tuple[str, int], tls.Bundle],
        make_way: MakeWay,
    ) -> None:
        self._host = host
        self._make_way = make_way
        self._new_leaf = new_leaf
        self._leaves = leaves
        # Shares that are being prepared or struck out, and when that is over.
        self._busy: dict[tuple[str, int, int], asyncio.Event] = {}

    def take_up(self, found: Lease, leaves: Mapping[int, tls.Bundle]) -> Lease:
        """What is left of a lease that the last listener had, its devices reserved.

        Its workers ended with that listener: what was leaving is gone. What was coming, and can't
        be any more, costs itself alone.

        Raises:
            EaisError: a share that served can't be reserved any more.
        """
        stay = [share for share in found.shares if not share.leaving and share.n in leaves]
        proven = tuple(share for share in stay if share.proven)
        self._host.inventory.reserve(replace(found, shares=proven))
        kept = list(proven)
        for share in [each for each in stay if not each.proven]:
            try:
                self._host.inventory.reserve_share(found.instance, share)
                kept.append(share)
            except EaisError as error:
                log.warning("share %s of %s can't come: %s", share.n, found.instance, error)
        return replace(found, shares=tuple(kept))

    async def add(self, wanted: Lease) -> None:
        """Have those shares of `wanted` that the lease of its instance and epoch lacks."""
        held = self._held(wanted)
        if held is None:
            return
        here = {share.n for share in held.shares}
        keys = {share.n: (held.instance, held.epoch, share.n) for share in wanted.shares}
        missing = [s for s in wanted.shares if s.n not in here and keys[s.n] not in self._busy]
        for share in missing:
            self._busy[keys[share.n]] = asyncio.Event()
        await asyncio.gather(*(self._add(held, share) for share in missing))

    def _held(self, lease: Lease) -> Lease | None:
        """The lease as it is here now, unless it is another one or ends."""
        held = self._host.admission.leases.get(lease.instance)
        state = self._host.state.leases.get(lease.instance)
        if held is None or held.epoch != lease.epoch or state is None or state.releasing:
            return None
        return held

    async def _add(self, lease: Lease, share: Share) -> None:
        reserved: Reservation | None = None
        try:
            await self._make_way([share.device])
            reserved = self._host.inventory.reserve_share(lease.instance, share)
            await self._prepare(lease, replace(share, proven=False))
        except (EaisError, OSError) as error:
            if reserved is not None:
                self._host.inventory.free_share(lease.instance, share.n, reserved)
            self._say_failed(lease, share.n, _as_error(error))
        finally:
            self._busy.pop((lease.instance, lease.epoch, share.n)).set()

    async def _prepare(self, lease: Lease, share: Share) -> None:
        """Key and leaf, and the lease with the share: durable, in that order."""
        host = self._host
        bundle = await self._new_leaf(lease, share.n)
        self._check(lease)
        await host.durable(host.files.save_leaf, lease.instance, share.n, bundle)
        held = self._check(lease)
        try:
            await self._save(replace(held, shares=(*held.shares, share)))
        except OSError:
            self._forget(lease, share.n)
            raise
        if self._held(lease) is None:
            return  # its release has undone all that
        self._leaves[lease.instance, share.n] = bundle
        asked = on.SlotAsked(share.n, proven=False, device=share.device)
        host.tell(on.SlotsAdded(lease.instance, (asked,)))
        log.info("%s: share %s of %s is added", lease.instance, share.milli, share.device)

    def _check(self, lease: Lease) -> Lease:
        held = self._held(lease)
        if held is None:
            raise make_error("STALE_EPOCH", "the lease ended meanwhile")
        return held

    def _forget(self, lease: Lease, n: int) -> None:
        held = self._held(lease)
        if held is not None:
            self._host.admission.leases[lease.instance] = held.without(n)

    async def revoke(self, message: hosts_pb2.Revoke) -> None:
        """Have the shares gone that it names, once their calls are done or the grace is over.

        Of what isn't here it is said so at once: no change will say it.
        """
        gone = []
        for n in message.shares:
            if over := self._busy.get((message.instance, message.epoch, n)):
                await over.wait()
            held = self._host.admission.leases.get(message.instance)
            if held is None or held.epoch != message.epoch:
                return
            share = {s.n: s for s in held.shares}.get(n)
            if share is None:
                gone.append(n)
            else:
                await self._give_back(held, share, message.drain_grace_ms / 1000)
        if gone:
            said = hosts_pb2.SharesGone(instance=message.instance, epoch=message.epoch, shares=gone)
            self._host.report(hosts_pb2.HostReport(shares_gone=said))

    async def _give_back(self, held: Lease, share: Share, grace_s: float) -> None:
        try:
            await self._save(held.with_share(replace(share, leaving=True)))
        except OSError as error:
            # A restarted listener would have it until the pool asks again.
            log.error("share %s of %s isn't noted: %s", share.n, held.instance, error)
        self._host.tell(on.SlotRevoked(held.instance, share.n, grace_s))

    async def _save(self, lease: Lease) -> None:
        self._host.admission.leases[lease.instance] = lease
        await self._host.durable(self._host.files.save_lease, lease)

    # what the supervision says

    async def outcome(self, action: do.SlotProven | do.SlotFailed | do.SlotGone) -> None:
        """Make durable what became of a share, and say it to the pool where it doesn't see it."""
        match action:
            case do.SlotProven():
                await self._proven(action)
            case do.SlotFailed():
                self._failed(action)
            case do.SlotGone():
                await self._gone(action)

    async def _proven(self, action: do.SlotProven) -> None:
        """A worker of the share has served: from now on what fails there is the instance's."""
        held = self._host.admission.leases.get(action.instance)
        if held is not None:
            share = replace(held.share(action.n), proven=True)
            try:
                await self._save(held.with_share(share))
            except OSError as error:
                # A restarted listener would prove it once more.
                log.error("share %s of %s isn't noted: %s", action.n, action.instance, error)

    def _failed(self, action: do.SlotFailed) -> None:
        """An added share can't be served; it goes."""
        held = self._host.admission.leases.get(action.instance)
        if held is not None:
            self._say_failed(held, action.n, messages.error_of(action.failure))

    async def _gone(self, action: do.SlotGone) -> None:
        """No process has the share any more."""
        held = self._host.admission.leases.get(action.instance)
        if held is None:
            return
        key = (action.instance, held.epoch, action.n)
        over = self._busy[key] = asyncio.Event()
        try:
            await self._strike_out(held, action.n)
        finally:
            del self._busy[key]
            over.set()

    async def _strike_out(self, held: Lease, n: int) -> None:
        instance = held.instance
        self._leaves.pop((instance, n), None)
        try:
            await self._save(held.without(n))
            await self._host.durable(self._host.files.remove_leaf, instance, n)
        except OSError as error:
            # The next listener gives it back to the pool, which takes it away again.
            log.error("share %s of %s isn't struck out: %s", n, instance, error)
        self._host.inventory.free_share(instance, n)
        log.info("%s: share %s is gone", instance, n)

    def _say_failed(self, lease: Lease, n: int, error: EaisError) -> None:
        log.warning("share %s of %s can't be: %s", n, lease.instance, error)
        failed = hosts_pb2.ShareFailed(
            instance=lease.instance, epoch=lease.epoch, n=n, error=error_to_message(error)
        )
        self._host.report(hosts_pb2.HostReport(share_failed=failed))


def _as_error(error: EaisError | OSError) -> EaisError:
    if isinstance(error, EaisError):
        return error
    log.error("a share can't be written down: %s", error)
    return make_error("STORE_UNAVAILABLE", "this host's disk failed")
