from __future__ import annotations

import asyncio
from dataclasses import replace

from eais.instance import InstanceState
from eais_pool.brain.actions import News, Notice, Publish, Reopen
from eais_pool.brain.host_records import Endpoint
from eais_pool.brain.view_records import InstanceView
from eais_pool.watchers import Watchers

FRONTEND = ("acme", "box")
VIEW = InstanceView(
    id="ei-1",
    tenant="acme",
    type="cpu.1",
    state=InstanceState.BOUND,
    reason="",
    detail="",
    frontend="box",
    epoch=0,
    host="",
    listener=None,
    workers=(),
    vnic_driver="loopback",
    address="127.64.0.16",
    tolerance="exact",
    ephemeral=False,
)


def told(watchers: Watchers, views: list[InstanceView]) -> list[tuple[str, int]]:
    """What a watcher reads who looks only after all of `views` were published."""

    async def run() -> list[tuple[str, int]]:
        watcher = watchers.add(FRONTEND)
        for view in views:
            watchers.publish(Publish("acme", view.frontend, view))
        watchers.close()
        shown = [news.view async for news in watcher.news() if isinstance(news, Publish)]
        found = [(view.id, view.epoch) for view in shown]
        watchers.remove(FRONTEND, watcher)
        watchers.publish(Publish("acme", "box", VIEW))
        return found

    return asyncio.run(run())


def test_a_slow_watcher_holds_the_newest_of_each_instance_alone() -> None:
    views = [replace(VIEW, id=f"ei-{n % 3}", epoch=n) for n in range(300)]
    assert sorted(told(Watchers(), views)) == [("ei-0", 297), ("ei-1", 298), ("ei-2", 299)]


def test_news_of_another_front_end_is_not_told() -> None:
    assert told(Watchers(), [replace(VIEW, frontend="laptop"), VIEW]) == [("ei-1", 0)]


def test_the_newest_of_each_kind_is_told_of_an_instance() -> None:
    async def run() -> list[News]:
        watcher = (watchers := Watchers()).add(FRONTEND)
        for epoch in (2, 3):
            watchers.publish(Publish(*FRONTEND, replace(VIEW, epoch=epoch)))
            watchers.publish(Notice(*FRONTEND, "ei-1", "DRAINING", f"epoch {epoch}"))
            listener = Endpoint("127.0.0.1", 4000)
            watchers.publish(Reopen(*FRONTEND, "ei-1", epoch, "h2", listener))
        watchers.close()
        return [news async for news in watcher.news()]

    shown, notice, reopen = asyncio.run(run())
    assert isinstance(shown, Publish)
    assert shown.view.epoch == 3
    assert isinstance(notice, Notice)
    assert notice.message == "epoch 3"
    assert isinstance(reopen, Reopen)
    assert reopen.epoch == 3
