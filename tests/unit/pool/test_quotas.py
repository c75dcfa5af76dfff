"""What a tenant may have: counted, refused by name, and never taken away."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from eais.errors import ConfigError, RemoteError
from eais.instance import InstanceState
from eais.toml_file import TomlFile
from eais_pool.brain.events import HostLost, OpRequested, Tick
from eais_pool.brain.quotas import Quotas
from eais_pool.brain.reactor import Reactor
from eais_pool.brain.records import OpVerb
from eais_pool.policy import GRADIENT
from eais_pool.policy.placement.live import policy_of
from eais_pool.pump import Pump
from eais_pool.quota_config import read_quotas
from eais_pool.store import Store
from eais_pool.testing import FakeHost, device
from tests.unit.pool.rig import SETTINGS, Pool, ids, op_id


def pool(default: Mapping[str, int], *hosts: FakeHost, **tenants: Mapping[str, int | None]) -> Pool:
    settings = replace(SETTINGS, quotas=Quotas(default, tenants))
    return Pool(*(hosts or (FakeHost(devices=(device(milli=64_000),)),)), settings=settings)


def refused(made: Pool) -> dict[str, str]:
    failure = made.failure()
    assert failure.reason == "QUOTA"
    return dict(failure.metadata)


# Instances


def test_create_is_refused_at_the_limit_and_says_all_of_it() -> None:
    made = pool({"instances": 2})
    for _ in range(2):
        made.ask("create", type="cpu.1")
        made.view()
    made.ask("create", type="cpu.1")
    assert refused(made) == {"quota": "instances", "used": "2", "asked": "1", "limit": "2"}
    made.ask("attach", type="cpu.1")
    assert refused(made)["quota"] == "instances"
    made.end()


def test_what_is_deleted_counts_no_more() -> None:
    made = pool({"instances": 1})
    made.ask("create", type="cpu.1")
    first = made.view()
    made.ask("delete", first.id)
    assert made.view().state is InstanceState.DELETED
    made.ask("create", type="cpu.1")
    assert made.view().state is InstanceState.BINDABLE
    made.end()


def test_each_tenant_has_its_own_count() -> None:
    made = pool({"instances": 1}, big={"instances": 3}, free={"instances": None})
    for tenant, most in (("acme", 1), ("big", 3)):
        for _ in range(most):
            made.ask("create", type="cpu.1", tenant=tenant)
            made.view()
        made.ask("create", type="cpu.1", tenant=tenant)
        assert refused(made)["limit"] == str(most)
    for _ in range(10):
        made.ask("create", type="cpu.1", tenant="free")
        made.view()
    made.end()


def test_a_request_that_is_sent_again_is_no_second_one() -> None:
    made = pool({"instances": 1})
    made.ask("create", type="cpu.1", op=op_id(77))
    first = made.view()
    made.ask("create", type="cpu.1", op=op_id(77))
    assert made.view() == first
    made.end()


def test_a_refusal_is_no_answer_for_ever() -> None:
    made = pool({"instances": 1})
    made.ask("create", type="cpu.1")
    first = made.view()
    made.ask("create", type="cpu.1", op=op_id(77))
    assert refused(made)
    made.ask("delete", first.id)
    made.view()
    made.ask("create", type="cpu.1", op=op_id(77))
    assert made.view().state is InstanceState.BINDABLE
    made.end()


# Devices


def test_start_is_refused_beyond_the_kinds_share() -> None:
    made = pool({"cpu": 3000})
    first = made.attached("cpu.2")
    made.ask("attach", type="cpu.2")
    assert refused(made) == {
        "quota": "cpu_milli",
        "used": "2000",
        "asked": "2000",
        "limit": "3000",
    }
    made.attached("cpu.1")
    made.ask("stop", first.id)
    made.deliver()
    made.view()
    made.attached("cpu.2")
    assert made.published() == []


@pytest.mark.parametrize(("kind", "hint"), [("cpu.2", "detach"), ("cpu.4", "smaller type")])
def test_the_way_out_is_one_that_helps(kind: str, hint: str) -> None:
    made = pool({"cpu": 3000})
    made.attached("cpu.2")
    made.ask("attach", type=kind)
    assert hint in made.failure().error().hint


def test_a_refused_attach_leaves_nothing() -> None:
    made = pool({"cpu": 1000})
    made.ask("attach", type="cpu.2")
    assert refused(made)["asked"] == "2000"
    assert made.shell.state.instances == {}
    made.end()


def test_a_kind_without_a_limit_has_none() -> None:
    host = FakeHost(devices=(device(milli=64_000), device("gpu0", "gpu", 1000)))
    made = pool({"cpu": 1000}, host)
    made.attached("cpu.1")
    made.attached("gpu.1-2")
    made.ask("attach", type="cpu.1")
    assert refused(made)["quota"] == "cpu_milli"


def test_auto_takes_a_kind_that_the_tenant_may_have() -> None:
    host = FakeHost(devices=(device(milli=64_000), device("gpu0", "gpu", 1000)))
    made = pool({"cpu": 500}, host)
    view = made.attached("auto")
    assert [worker.kind for worker in view.workers] == ["gpu"]


def test_auto_with_room_only_where_the_quota_ends_is_refused_for_the_quota() -> None:
    made = pool({"cpu": 500})
    made.ask("attach", type="auto")
    assert refused(made)["quota"] == "cpu_milli"


def test_auto_without_room_anywhere_is_told_so() -> None:
    made = pool({"gpu": 500}, FakeHost(devices=(device(milli=500),)))
    made.ask("attach", type="auto")
    assert made.failure().reason == "ARGUMENT"


def test_auto_is_refused_when_no_kind_is_left() -> None:
    made = pool({"cpu": 0, "gpu": 0, "fpga": 0, "npu": 0})
    made.ask("attach", type="auto")
    assert refused(made)["limit"] == "0"


def test_what_is_drained_counts_until_its_host_gave_it_back() -> None:
    made = pool({"cpu": 1000})
    first = made.attached("cpu.1")
    made.ask("stop", first.id)
    made.ask("attach", type="cpu.1")
    assert refused(made)["used"] == "1000"
    made.deliver()
    made.view()
    assert made.attached("cpu.1").state is InstanceState.IN_USE


def test_what_a_lost_host_does_not_give_back_is_not_counted() -> None:
    made = pool({"cpu": 1000}, FakeHost("h1"), FakeHost("h2"))
    first = made.attached("cpu.1")
    made.shell.feed(HostLost("h1"))
    made.ask("attach", type="cpu.1")
    assert refused(made)["used"] == "1000"
    made.ask("detach", first.id)
    assert made.view().state is InstanceState.DELETED
    assert made.attached("cpu.1").host == "h2"


# A quota that is lowered


def test_a_lowered_quota_takes_nothing_away() -> None:
    host = FakeHost(devices=(device(milli=64_000),))
    made = pool({"instances": 3, "cpu": 3000}, host)
    held = [made.attached("cpu.1") for _ in range(3)]
    low = replace(SETTINGS, quotas=Quotas({"instances": 1, "cpu": 1000}))
    new = ids()
    made.shell.reactor = Reactor(low, policy_of(GRADIENT), lambda: next(new))
    made.shell.feed(HostLost("h1"))
    host.leases.clear()  # it lost its disk: all is granted again
    made.shell.feed(host.join())
    made.deliver()
    assert [made.instance(one.id).state for one in held] == [InstanceState.IN_USE] * 3
    assert len(host.leases) == 3
    made.ask("create", type="cpu.1")
    assert refused(made) == {"quota": "instances", "used": "3", "asked": "1", "limit": "1"}
    made.ask("start", held[0].id)
    assert made.view().state is InstanceState.IN_USE
    made.ask("stop", held[0].id)
    made.deliver()
    assert made.view().state is InstanceState.BOUND
    made.ask("start", held[0].id)
    assert refused(made)["used"] == "2000"


# Operations


def test_so_many_operations_are_remembered_and_no_more() -> None:
    made = pool({"operations": 4}, free={"operations": None})
    first = made.attached("cpu.1")
    for _ in range(3):
        made.ask("create", type="cpu.1")
        made.view()
    for verb in ("create", "attach"):
        made.ask(verb, type="cpu.1")
        assert refused(made) == {"quota": "operations", "used": "4", "asked": "1", "limit": "4"}
    made.ask("start", first.id)
    assert refused(made)["quota"] == "operations"
    made.ask("create", type="cpu.1", tenant="free")
    made.view()


def test_what_gives_back_is_let_through_a_while_longer() -> None:
    made = pool({"operations": 1})
    first = made.attached("cpu.1")
    made.ask("detach", first.id)
    made.deliver()
    assert made.view().state is InstanceState.DELETED
    made.ask("detach", first.id)
    assert refused(made)["limit"] == "2"


def test_a_day_later_there_is_room_again() -> None:
    made = pool({"operations": 1})
    made.ask("create", type="cpu.1", op=op_id(77))
    made.view()
    made.ask("create", type="cpu.1", op=op_id(77))
    made.view()
    made.ask("create", type="cpu.1")
    assert refused(made)["quota"] == "operations"
    made.shell.now += SETTINGS.answer_kept_s + 1
    made.shell.feed(Tick(frozenset({"h1"})))
    made.ask("create", type="cpu.1")
    assert made.view().state is InstanceState.BINDABLE
    made.end()


# Several at once


def test_of_many_creates_at_once_no_more_than_the_limit_succeed(tmp_path: Path) -> None:
    async def asked() -> Counter[str]:
        made = ids()
        settings = replace(SETTINGS, quotas=Quotas({"instances": 5}))
        store = Store(tmp_path / "journal.sqlite", compact_rows=1000)
        reactor = Reactor(settings, policy_of(GRADIENT), lambda: next(made))
        pump = Pump(reactor, store, Silent(), clock=lambda: 1.0, boot_id="b")
        running = asyncio.create_task(pump.run())
        events = [
            OpRequested(OpVerb.CREATE, "acme", "box", op_id(n), type="cpu.1") for n in range(20)
        ]
        found = await asyncio.gather(*(_refusal(pump, event) for event in events))
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        pump.close()
        return Counter(found)

    assert asyncio.run(asked()) == {"": 5, "QUOTA": 15}


class Silent:
    """Nobody is told anything."""

    def send(self, host: str, command: object) -> None:
        raise AssertionError("nothing is sent")

    def publish(self, news: object) -> None:
        raise AssertionError("nobody is shown anything")


async def _refusal(pump: Pump, event: OpRequested) -> str:
    try:
        answer = await pump.request(event)
    except RemoteError as error:
        return error.reason
    return answer.failure.reason if answer.failure else ""


# The file


def read(tmp_path: Path, text: str) -> Quotas:
    file = tmp_path / "pool.toml"
    file.write_text(text)
    return read_quotas(TomlFile.read(file))


def test_the_file_says_devices_and_the_brain_hears_milli_devices(tmp_path: Path) -> None:
    quotas = read(
        tmp_path,
        """
        [quota]
        instances = 20
        operations = "unlimited"
        gpu = 1.5
        cpu = 8
        [quota.tenants.acme]
        gpu = "unlimited"
        instances = 3
        [quota.tenants."acme.two"]
        npu = 0
        weight = 3
        """,
    )
    assert quotas.of("other") == {"instances": 20, "gpu": 1500, "cpu": 8000}
    assert quotas.of("acme") == {"instances": 3, "cpu": 8000}
    assert quotas.of("acme.two") == {"instances": 20, "gpu": 1500, "cpu": 8000, "npu": 0} | {
        "weight": 3
    }


def test_without_a_word_counts_are_bounded_and_devices_are_not() -> None:
    assert read_quotas(None).of("any") == {"instances": 1000, "operations": 100_000}


def test_the_default_can_be_lifted(tmp_path: Path) -> None:
    assert read(tmp_path, '[quota]\ninstances = "unlimited"\n').of("any") == {"operations": 100_000}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[quota]\ninstance = 1", "pool.toml:2:1: [quota] has no 'instance'; known: instances, "),
        ("[quota]\ntpu = 1", "pool.toml:2:1: [quota] has no 'tpu'"),
        ("[quota]\nweight = 0", "pool.toml:2:1: weight = '0': must be a whole number, 1 to 1000"),
        ("[quota]\nweight = 'unlimited'", "must be a whole number"),
        ("[quota]\nweight = 1.5", "must be a whole number"),
        ("[quota]\ncpu = 0.3", "pool.toml:2:1: cpu = '0.3': must be devices in eighths"),
        ("[quota]\ncpu = -1", "cpu = '-1': must be devices"),
        ("[quota]\ncpu = nan", "cpu = 'nan': must be devices"),
        ("[quota]\ncpu = true", "cpu = 'True': must be devices"),
        ("[quota]\ncpu = 1e300", "must be devices"),
        ("[quota]\ninstances = 1.5", "instances = '1.5': must be a number of instances"),
        ("[quota]\ninstances = 'many'", "must be a number of instances"),
        ("[quota]\ntenants = 1", "pool.toml:2:1: quota.tenants must be a table"),
        ("[quota.tenants]\nacme = 1", "pool.toml:2:1: quota.tenants.acme must be a table"),
        ("[quota.tenants.acme]\n\nbudget = 1", "pool.toml:3:1: [quota.tenants.acme] has no"),
        ('[quota.tenants."a/b"]\ncpu = 1', "pool.toml:1:1: tenant"),
        ("quota = 7", "pool.toml:1:1: quota must be a table"),
    ],
)
def test_mistakes_are_named_by_place(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert caught.value.reason == "CONFIG"
    assert says in caught.value.message
