"""Who watches which front-end's instances, and what they haven't been told yet.

A watcher that reads slowly holds at most one message an instance: the newest.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator

from eais_pool.brain.records import InstanceView

FrontEnd = tuple[str, str]


class Watcher:
    """One Watch stream's news."""

    def __init__(self) -> None:
        self._news: OrderedDict[str, InstanceView] = OrderedDict()
        self._something = asyncio.Event()
        self._closed = False

    def tell(self, view: InstanceView) -> None:
        """Have `view` told, in the place of an older one of the same instance."""
        self._news[view.id] = view
        self._something.set()

    def close(self) -> None:
        """End the stream after what is waiting."""
        self._closed = True
        self._something.set()

    async def views(self) -> AsyncIterator[InstanceView]:
        """The news, as they come; ends when closed."""
        while True:
            await self._something.wait()
            while self._news:
                yield self._news.popitem(last=False)[1]
            if self._closed:
                return
            self._something.clear()


class Watchers:
    """All watchers, by tenant and front-end."""

    def __init__(self) -> None:
        self._by_frontend: dict[FrontEnd, set[Watcher]] = {}

    def add(self, frontend: FrontEnd) -> Watcher:
        """A new watcher of `frontend`."""
        watcher = Watcher()
        self._by_frontend.setdefault(frontend, set()).add(watcher)
        return watcher

    def remove(self, frontend: FrontEnd, watcher: Watcher) -> None:
        """Tell it nothing more."""
        watching = self._by_frontend.get(frontend, set())
        watching.discard(watcher)
        if not watching:
            self._by_frontend.pop(frontend, None)

    def publish(self, tenant: str, frontend: str, view: InstanceView) -> None:
        """Tell `view` to all who watch that front-end."""
        for watcher in self._by_frontend.get((tenant, frontend), ()):
            watcher.tell(view)

    def close(self) -> None:
        """End all streams."""
        for watching in list(self._by_frontend.values()):
            for watcher in watching:
                watcher.close()
