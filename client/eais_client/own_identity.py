"""Who this user is in a context: the identity's file, its enrolment, and what shows it."""

from __future__ import annotations

from dataclasses import dataclass

from eais.identity import Role
from eais.rpc import verbs
from eais.tls import LeafFile
from eais_client.context import Context, ContextStore
from eais_client.dialer import Dialer
from eais_client.enrolment import Enrolment, RenewVerb, enrolment_of
from eais_client.instances import Address
from eais_client.renewal import Ask, Renewal, reviver


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


def frontend_identity(store: ContextStore, context: Context) -> OwnIdentity:
    """The context's front-end."""
    return _identity(store, context, Role.FRONTEND, context.manager_address(), verbs.POOL_RENEW)


def operator_identity(store: ContextStore, context: Context) -> OwnIdentity:
    """The context's operator; `IdentityError` CERT_MISSING if it has none."""
    manager = context.management_address()
    return _identity(store, context, Role.OPERATOR, manager, verbs.POOL_ADMIN_RENEW)


def _identity(
    store: ContextStore, context: Context, role: Role, manager: Address, verb: RenewVerb
) -> OwnIdentity:
    leaf = LeafFile(store.identity_file(context.name, role))
    enrolment = enrolment_of(leaf.path, manager, verb)
    dialer = Dialer(leaf, context.pool, role, revive=reviver(leaf, enrolment))
    return OwnIdentity(leaf, enrolment, dialer, manager, verb)
