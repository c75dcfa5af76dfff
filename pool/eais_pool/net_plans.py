"""The plans of vNICs, signed for the agents that carry them out."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from eais import tls
from eais.errors import IdentityError
from eais.identity import Identity
from eais.net.plan import Side
from eais.net.signing import sign_plan
from eais.rpc.v1 import net_pb2, pool_pb2
from eais_pool.brain.actions import Grant, News, Publish, Reopen
from eais_pool.brain.net_records import NetLink
from eais_pool.brain.view_records import InstanceView
from eais_pool.watchers import FrontEnd
from eais_pool.wire import news_message

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class NetPlans:
    """The manager's signature under plans.

    Without it, if the manager's own identity can't be read now, there are none: who needs one
    says so.

    Attributes:
        leaf: its identity now.
    """

    pool: str
    leaf: Callable[[], tls.Bundle]

    def backend(self, grant: Grant, host: str) -> net_pb2.SignedNetPlan | None:
        """The end of what `host` is granted; None where its driver needs no plan."""
        if grant.link is None:
            return None
        owner = Identity.listener(self.pool, host)
        return self._signed(grant.link, grant.instance, grant.tenant, host, Side.BACKEND, owner)

    def tell(self, message: pool_pb2.Instance, view: InstanceView, asker: FrontEnd) -> None:
        """Add the front-end's end to an instance as it is shown, if it is `asker` that has it."""
        if view.link is not None and (view.tenant, view.frontend) == asker:
            plan = self._frontend(view.link, view.id, view.host, asker)
            message.vnic.plan.CopyFrom(plan or net_pb2.SignedNetPlan())

    def news(self, news: News, asker: FrontEnd) -> pool_pb2.WatchDown:
        """What a Watch carries down to `asker`."""
        message = news_message(news, self.pool)
        if isinstance(news, Publish):
            self.tell(message.instance, news.view, asker)
        elif isinstance(news, Reopen) and news.link is not None:
            plan = self._frontend(news.link, news.instance, news.host, asker)
            message.reopen.net_plan.CopyFrom(plan or net_pb2.SignedNetPlan())
        return message

    def _frontend(
        self, link: NetLink, instance: str, host: str, asker: FrontEnd
    ) -> net_pb2.SignedNetPlan | None:
        tenant, name = asker
        owner = Identity.frontend(self.pool, tenant, name)
        return self._signed(link, instance, tenant, host, Side.FRONTEND, owner)

    def _signed(
        self, link: NetLink, instance: str, tenant: str, host: str, side: Side, owner: Identity
    ) -> net_pb2.SignedNetPlan | None:
        plan = link.plan(self.pool, instance, tenant, host, side, owner.uri)
        try:
            return sign_plan(plan, self.leaf())
        except IdentityError as error:
            log.error("no plan of a vNIC for %s: %s", instance, error)
            return None
