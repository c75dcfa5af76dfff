"""Who this user is in a context: the identity's file, its enrolment, and what shows it."""

from __future__ import annotations

from dataclasses import dataclass

from eais.identity import Role
from eais.rpc import verbs
from eais.tls import LeafFile
from eais_client.context import Context, ContextStore
from eais_client.dialer import Dialer, utc_now
from eais_client.enrolment import Enrolment, RenewVerb, enrolment_of
from eais_client.instances import Address
from eais_client.renewal import Ask, Renewal, Wall, reviver


@dataclass(frozen=True, slots=True)
class OwnIdentity:
    """One identity of a context. `dialer` shows it, and has it renewed if it has ended."""

    leaf: LeafFile
    enrolment: Enrolment
    dialer: Dialer
    manager: Address
    verb: RenewVerb

    def renewal(self, ask: Ask) -> Renewal:
        """What renews it in time; `ask` sends the request with the identity as it is."""
        return Renewal(self.leaf, ask, enrolment=self.enrolment)


def frontend_identity(store: ContextStore, context: Context, wall: Wall = utc_now) -> OwnIdentity:
    """The context's front-end."""
    leaf = LeafFile(store.frontend_file(context.name))
    manager, verb = context.manager_address(), verbs.POOL_RENEW
    enrolment = enrolment_of(leaf.path, manager, verb)
    revive = reviver(leaf, enrolment, wall)
    dialer = Dialer(leaf, context.pool, Role.FRONTEND, wall, revive)
    return OwnIdentity(leaf, enrolment, dialer, manager, verb)


def operator_identity(store: ContextStore, context: Context) -> OwnIdentity:
    """The context's operator; `IdentityError` CERT_MISSING if it has none."""
    manager, verb = context.management_address(), verbs.POOL_ADMIN_RENEW
    leaf = LeafFile(store.operator_file(context.name))
    enrolment = enrolment_of(leaf.path, manager, verb)
    dialer = Dialer(leaf, context.pool, Role.OPERATOR, revive=reviver(leaf, enrolment))
    return OwnIdentity(leaf, enrolment, dialer, manager, verb)
