"""The pool's state as one record, in the place of the journal's rows so far."""

from __future__ import annotations

from dataclasses import dataclass

from eais_pool.brain.binding_facts import Binding
from eais_pool.brain.defrag_records import Defragmentation
from eais_pool.brain.host_records import HostRecord
from eais_pool.brain.membership import Members, OperatorOp, TenantRecord, TokenRecord
from eais_pool.brain.ratio_records import RatioRecord
from eais_pool.brain.records import InstanceRecord, LeaseRecord, OpRecord
from eais_pool.brain.state import PoolState
from eais_pool.policy.asked import NOTHING_ASKED, Asked
from eais_pool.policy.profile_book import ProfileBook
from eais_pool.policy.profiles import Profile


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A state as one record.

    Attributes:
        seq: the row of the last fact in it.
    """

    seq: int
    boot_id: str
    serial: int
    hosts: tuple[HostRecord, ...]
    instances: tuple[InstanceRecord, ...]
    leases: tuple[tuple[LeaseRecord, ...], ...]
    ops: tuple[OpRecord, ...]
    tokens: tuple[TokenRecord, ...] = ()
    joined_keys: tuple[str, ...] = ()
    tenants: tuple[TenantRecord, ...] = ()
    operator_ops: tuple[OperatorOp, ...] = ()
    profiles: tuple[Profile, ...] = ()
    asked: Asked = NOTHING_ASKED
    ledger_offset_s: float = 0.0
    ratios: tuple[tuple[str, tuple[RatioRecord, ...]], ...] = ()
    bindings: tuple[Binding, ...] = ()
    defrag: Defragmentation | None = None

    @classmethod
    def of(cls, state: PoolState, seq: int) -> Snapshot:
        """The state after row `seq`."""
        return cls(
            seq,
            state.boot_id,
            state.serial,
            tuple(state.hosts.values()),
            tuple(state.instances.values()),
            tuple(state.leases.values()),
            tuple(state.ops.values()),
            tuple(state.members.tokens.values()),
            tuple(state.members.keys),
            tuple(state.members.tenants.values()),
            tuple(state.members.ops.values()),
            state.profiles.profiles,
            state.asked,
            state.ledger_offset_s,
            tuple(state.ratios.items()),
            tuple(state.bindings.values()),
            state.defrag,
        )

    def state(self) -> PoolState:
        """The state that it was made of."""
        made = PoolState(
            self.boot_id,
            self.serial,
            {host.host: host for host in self.hosts},
            {instance.id: instance for instance in self.instances},
            {leases[0].instance: leases for leases in self.leases},
            {(op.tenant, op.op_id): op for op in self.ops},
            self._members(),
            ProfileBook(self.profiles),
            {(op.tenant, op.op_id): None for op in self.ops if op.waits},
            self.asked,
            self.ledger_offset_s,
            dict(self.ratios),
            {binding.instance: binding for binding in self.bindings},
            defrag=self.defrag,
        )
        return made.indexed()

    def _members(self) -> Members:
        return Members(
            {token.secret_sha256: token for token in self.tokens},
            dict.fromkeys(self.joined_keys),
            {tenant.name: tenant for tenant in self.tenants},
            {(op.operator, op.op_id): op for op in self.operator_ops},
        )
