"""kill -9 of manager, listener and agents at each step of an attach and of a detach.

Each is started again, as a supervisor does. Then there is what should be: an end on both machines
for each instance that is attached, with its rules; of those that were detached nothing; and another
instance beside them has lost no call.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from eais.net.asking import NetAgent
from eais.net.messages import key_of
from eais.net.plan import Side
from eais_pool.failpoints import ATTACH_POINTS, DETACH_POINTS
from eais_server.net.keeper import points
from tests.net.machines import Agent, Site, left, site
from tests.net.program import job
from tests.net.test_reach_of_product import reaches
from tests.system.stack import eventually

MACHINES = ("b", "f")
LOOK_S = 0.2


def both(*steps: str) -> tuple[str, ...]:
    return tuple(point for step in steps for point in points(step))


def some(all_: tuple[str, ...]) -> tuple[str, ...]:
    """Where nothing is written, all is written and nothing said, and all is said."""
    return tuple(point for point in all_ if point.endswith((".decided", ".committed", ".said")))


@dataclass(frozen=True)
class Case:
    """Whose points ("pool": the manager's and the listener's), of an attach and of a detach.

    A listener's are its writes, and what it asks its agent for.
    """

    whose: str
    attaching: tuple[str, ...]
    detaching: tuple[str, ...]
    driver: str = "vxlan"


MAKING, TAKING = both("write", "guard", "make"), both("write", "take", "guard")
CASES = {
    "manager": Case("pool", ATTACH_POINTS, DETACH_POINTS),
    "manager, some": Case("pool", some(ATTACH_POINTS), some(DETACH_POINTS)),
    "listener": Case(
        "pool",
        both("create", "save_leaf", "save_lease", "connect"),
        both("_keep_final", "_remove", "destroy"),
    ),
    "agent of b": Case("b", MAKING, TAKING),
    "agent of f": Case("f", MAKING, TAKING),
    "veth, listener": Case("pool", ("create.after", "connect.before"), ("destroy.before",), "veth"),
    "veth, agent": Case("b", ("guard.after", "make.after"), ("take.after",), "veth"),
    "wireguard, listener": Case(
        "pool", ("create.after", "connect.before"), ("destroy.before",), "wireguard"
    ),
    "wireguard, agent of b": Case("b", ("guard.after", "make.after"), ("take.after",), "wireguard"),
}
SLOW = {"manager"}


PARAMS = [
    pytest.param(
        case,
        id=name,
        marks=[pytest.mark.net(case.driver), *([pytest.mark.slow] if name in SLOW else [])],
    )
    for name, case in CASES.items()
]


@dataclass
class Scene:
    """A pool, and an instance that is attached all the time."""

    site: Site
    case: Case
    beside: str
    died: list[str] = field(default_factory=list)

    def dies_at(self, point: str) -> None:
        self.site.points(self.case.whose).write_text(point)

    def await_death(self, point: str) -> None:
        file = self.site.points(self.case.whose)
        eventually(lambda: not file.read_text() or None, f"a death at {point}")
        self.died.append(point)

    def attached(self) -> dict[str, str]:
        """Where each instance but the one beside answers, by its name."""
        found = self.site.front.data("list")["instances"]
        return {
            str(each["id"]): str(each["workers"][0]["address"])
            for each in found
            if each["state"] == "IN_USE" and each["workers"] and each["id"] != self.beside
        }

    def attach(self) -> str | None:
        """The answer of one try: the instance, if it did well."""
        words = ("attach", "--type", "cpu.1", "--vnic", self.case.driver)
        done = self.site.front.run(*words)
        return done.stdout.split()[0] if done.returncode == 0 else None

    def detach_all(self) -> bool:
        """Whether none but the one beside is listed any more; those that are, are detached."""
        listed = self.site.front.run("list", "-o", "json")
        if listed.returncode:
            return False
        mine = [each for each in self.attached_ids() if each != self.beside]
        for instance in mine:
            self.site.front.run("detach", instance)
        return not mine

    def attached_ids(self) -> list[str]:
        return [str(each["id"]) for each in self.site.front.data("list")["instances"]]

    def ends(self, machine: str) -> set[str]:
        """The instances but the one beside of which there is an end."""
        side = Side.BACKEND if machine == "b" else Side.FRONTEND
        agent = self.site.agents["b" if self.case.driver == "veth" else machine]
        keys = [key_of(each.key) for each in NetAgent(agent.socket).status().vnics]
        return {key.instance for key in keys if key.side is side} - {self.beside}


@contextlib.contextmanager
def restarted(agents: list[Agent]) -> Iterator[None]:
    """Agents that die are started again, as systemd does."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(LOOK_S):
            for agent in agents:
                if agent.process is not None and agent.process.poll() is not None:
                    agent.start()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextlib.contextmanager
def scene(root: Path, case: Case) -> Iterator[Scene]:
    words = ("attach", "--type", "cpu.1", "--vnic", case.driver)
    with site(root, case.driver, mortal=True) as made, restarted(list(made.agents.values())):
        beside = str(made.front.data(*words)["id"])
        with job(made, EAIS_INSTANCE=beside) as program:
            program.tell("begin 60")
            yield Scene(made, case, beside)
            seen = program.tell("end")
            assert seen["calls"] > 0
            assert (seen["wrong"], seen["late"], seen["lost"], seen["errors"]) == (0, 0, 0, [])
        assert made.front.run("detach", beside).returncode == 0


def settled(scene: Scene) -> bool | None:
    """Whether there is an end on both machines for each instance, and each answers there."""
    attached = scene.attached()
    if not attached or scene.ends("b") != set(attached):
        return None
    here = scene.ends("f")
    if not here or not here <= set(attached):
        return None
    texts = (attached[instance].rsplit(":", 1) for instance in here)
    return all(reaches("f", address, int(port)) for address, port in texts) or None


def gone(scene: Scene, before: dict[str, str]) -> bool | None:
    """Whether there is nothing left of what was attached."""
    return (scene.detach_all() and left(MACHINES) == before) or None


@pytest.mark.parametrize("case", PARAMS)
def test_what_should_be_there_is(tmp_path: Path, case: Case) -> None:
    with scene(tmp_path, case) as made:
        before = left(MACHINES)
        for point in case.attaching:
            made.dies_at(point)
            first = made.attach()
            made.await_death(point)
            if first is None:
                eventually(made.attach, f"an attach after {point}")
            eventually(lambda: settled(made), f"both ends after {point}")
            eventually(lambda: gone(made, before), f"nothing after {point}")
        for point in case.detaching:
            instance = eventually(made.attach, "an attach")
            made.dies_at(point)
            made.site.front.run("detach", str(instance))
            made.await_death(point)
            eventually(lambda: gone(made, before), f"nothing after {point}")
        assert made.died == [*case.attaching, *case.detaching]
