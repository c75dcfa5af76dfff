"""One event's decision in the making. (Brain)

Facts are tried on a copy as they are decided, so that what is decided next
sees them; the state itself changes when the journal has them.
"""

from __future__ import annotations

from eais_pool.brain.actions import (
    Action,
    Command,
    Journal,
    Notice,
    Publish,
    Reopen,
    Reply,
    Send,
    Tell,
    Told,
)
from eais_pool.brain.facts import Fact, OpAnswered
from eais_pool.brain.records import Answer, InstanceRecord
from eais_pool.brain.state import PoolState
from eais_pool.brain.views import changed, view_of


class Draft:
    """A copy of the state, the facts that made it, and what is to be said then.

    Attributes:
        state: the state with all facts so far.
        now: boot clock, seconds.
    """

    def __init__(self, state: PoolState, now: float, vnic_driver: str) -> None:
        self.state = PoolState.layered(state)
        self.now = now
        self._before = state
        self._vnic_driver = vnic_driver
        self._facts: list[Fact] = []
        self._said: list[Action] = []

    def record(self, fact: Fact) -> None:
        """Decide `fact`."""
        self.state.apply(fact)
        self._facts.append(fact)

    def send(self, host: str, command: Command) -> None:
        """Command `host`, if it can be reached; if not, its return settles the matter."""
        if self.state.hosts[host].reachable:
            self._said.append(Send(host, command))

    def tell(self, news: Notice | Reopen) -> None:
        """Have the watchers of a front-end hear `news`."""
        self._said.append(news)

    def answer(self, tenant: str, op_id: str, answer: Answer) -> None:
        """End an operation with `answer`."""
        self.record(OpAnswered(tenant, op_id, self.now, answer))
        self.repeat(tenant, op_id, answer)

    def repeat(self, tenant: str, op_id: str, answer: Answer) -> None:
        """Give a stored answer again."""
        self._said.append(Reply(tenant, op_id, answer))

    def answer_now(self, answer: Told) -> None:
        """Answer the request that this event is."""
        self._said.append(Tell(answer))

    def succeed(self, instance: InstanceRecord) -> None:
        """End the operation under way on `instance` with the instance as it is now."""
        view = view_of(self.state, self.state.instances[instance.id], self._vnic_driver)
        self.answer(instance.tenant, instance.op_id, Answer(view=view))

    def actions(self) -> list[Action]:
        """The facts, then commands and answers, then what watchers are to see."""
        journal: list[Action] = [Journal(tuple(self._facts))] if self._facts else []
        return [*journal, *self._said, *self._publish()]

    def _publish(self) -> list[Action]:
        shown: list[Action] = []
        for instance in changed(self._before, self.state):
            before = self._before.instances.get(instance.id)
            # One that was detached is shown a last time to whom it was bound.
            frontend = instance.frontend or (before.frontend if before else "")
            view = view_of(self.state, instance, self._vnic_driver)
            old = view_of(self._before, before, self._vnic_driver) if before else None
            if frontend and view != old:
                shown.append(Publish(instance.tenant, frontend, view))
        return shown
