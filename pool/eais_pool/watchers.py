"""Who watches which front-end's instances, and what they haven't been told yet.

A watcher that reads slowly holds at most one message of a kind an instance: the newest.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator

from eais_pool.brain.actions import News, Publish

FrontEnd = tuple[str, str]


class Watcher:
    """One Watch stream's news."""

    def __init__(self) -> None:
        self._news: OrderedDict[tuple[type[News], str], News] = OrderedDict()
        self._something = asyncio.Event()
        self._closed = False

    def tell(self, news: News) -> None:
        """Have `news` told, in the place of older ones of that kind of the same instance."""
        instance = news.view.id if isinstance(news, Publish) else news.instance
        self._news[type(news), instance] = news
        self._something.set()

    def close(self) -> None:
        """End the stream after what is waiting."""
        self._closed = True
        self._something.set()

    async def news(self) -> AsyncIterator[News]:
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

    @property
    def count(self) -> int:
        """How many there are."""
        return sum(map(len, self._by_frontend.values()))

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

    def publish(self, news: News) -> None:
        """Tell `news` to all who watch its front-end."""
        for watcher in self._by_frontend.get((news.tenant, news.frontend), ()):
            watcher.tell(news)

    def close(self) -> None:
        """End all streams."""
        for watching in list(self._by_frontend.values()):
            for watcher in watching:
                watcher.close()
