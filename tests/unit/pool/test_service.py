"""The manager's two planes over real sockets and real certificates."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc.aio as aio
import pytest

from eais import tls
from eais.errors import EaisError
from eais.identity import Identity, identity_of_leaf
from eais.rpc import verbs
from eais.rpc.client import acall, astream
from eais.rpc.hello import hello
from eais.rpc.status import error_of_rpc
from eais.rpc.v1 import common_pb2, hosts_pb2, pool_pb2
from eais.rpc.verbs import Verb
from eais_pool.brain.records import Failure
from eais_pool.testing import (
    FakeHost,
    RunningManager,
    device,
    in_process_manager,
    joined_host,
)

TIMEOUT_S = 20.0


def op() -> str:
    return str(uuid.uuid4())


def of(instance: pool_pb2.Instance | str) -> pool_pb2.InstanceRequest:
    name = instance if isinstance(instance, str) else instance.id
    return pool_pb2.InstanceRequest(op_id=op(), instance=name)


class Caller:
    """One front-end's channel to the user plane, or an operator's to the other."""

    def __init__(self, channel: aio.Channel) -> None:
        self.channel = channel

    async def ask(self, verb: Verb[Any, Any], request: Any) -> Any:
        return await acall(
            self.channel, verb, request, timeout_s=TIMEOUT_S, unreachable="POOL_UNREACHABLE"
        )

    async def attach(self, type_: str = "cpu.1", **more: Any) -> pool_pb2.Instance:
        request = pool_pb2.AttachRequest(op_id=op(), type=type_, **more)
        reply: pool_pb2.InstanceReply = await self.ask(verbs.POOL_ATTACH, request)
        return reply.instance

    async def refused(self, verb: Verb[Any, Any], request: Any) -> EaisError:
        with pytest.raises(EaisError) as error:
            await self.ask(verb, request)
        return error.value


@contextlib.asynccontextmanager
async def caller(running: RunningManager, tenant: str = "default") -> AsyncIterator[Caller]:
    async with running.channel("user", running.frontend(tenant)) as channel:
        yield Caller(channel)


Test = Callable[[RunningManager], Awaitable[None]]


def on_manager(directory: Path, test: Test, host: FakeHost | None = None) -> None:
    """Run `test` against a real manager with one host joined."""

    async def run() -> None:
        async with (
            asyncio.timeout(60),
            in_process_manager(directory) as running,
            joined_host(running, host or FakeHost()),
        ):
            await test(running)

    asyncio.run(run())


def test_the_whole_life_over_the_wire(tmp_path: Path) -> None:
    async def test(running: RunningManager) -> None:
        async with caller(running) as owner:
            made = await owner.attach("cpu.2")
            assert pool_pb2.InstanceState.Name(made.state) == "IN_USE"
            assert (made.tenant, made.frontend, made.epoch) == ("default", "owner", 1)
            assert made.listener.server_name == f"h1.listener.{running.pool}.internal"
            (worker,) = made.workers
            assert worker.endpoint.server_name == f"1.{made.id}.{running.pool}.internal"
            assert (worker.kind, worker.share_milli, worker.enforcement) == (
                "cpu",
                2000,
                "cooperative",
            )
            assert (made.vnic.driver, made.vnic.isolation) == ("loopback", "mTLS only")
            assert made.vnic.address == worker.endpoint.address
            described = await owner.ask(
                verbs.POOL_DESCRIBE, pool_pb2.DescribeRequest(instance=made.id)
            )
            assert described.instance.placement.why.startswith("gradient for cpu.2")
            described.instance.ClearField("placement")
            assert described.instance == made
            listed = await owner.ask(verbs.POOL_LIST, pool_pb2.ListRequest())
            assert list(listed.instances) == [made]
            gone = await owner.ask(verbs.POOL_DETACH, of(made))
            assert gone.instance.state == pool_pb2.DELETED
            listed = await owner.ask(verbs.POOL_LIST, pool_pb2.ListRequest())
            assert list(listed.instances) == []

    on_manager(tmp_path, test)


def test_each_verb_of_a_created_instance(tmp_path: Path) -> None:
    async def test(running: RunningManager) -> None:
        async with caller(running) as owner:
            request = pool_pb2.CreateRequest(op_id=op(), type="cpu.1")
            made = (await owner.ask(verbs.POOL_CREATE, request)).instance
            states = [made.state]
            attach = pool_pb2.AttachRequest(op_id=op(), instance=made.id, no_start=True)
            states.append((await owner.ask(verbs.POOL_ATTACH, attach)).instance.state)
            for verb in (
                verbs.POOL_START,
                verbs.POOL_STOP,
                verbs.POOL_DETACH,
                verbs.POOL_DELETE,
            ):
                states.append((await owner.ask(verb, of(made))).instance.state)
            names = [pool_pb2.InstanceState.Name(state) for state in states]
            assert names == ["BINDABLE", "BOUND", "IN_USE", "BOUND", "BINDABLE", "DELETED"]

    on_manager(tmp_path, test)


def test_a_policy_is_kept_and_one_that_is_none_refused(tmp_path: Path) -> None:
    async def test(running: RunningManager) -> None:
        async with caller(running) as owner:
            policy = pool_pb2.InstancePolicy(ring="off", slo_p99_us=50_000)
            made = await owner.attach(policy=policy)
            assert made.policy == policy
            create = pool_pb2.CreateRequest(op_id=op(), type="cpu.1")
            plain = (await owner.ask(verbs.POOL_CREATE, create)).instance
            assert plain.policy == pool_pb2.InstancePolicy(ring="auto")
            bad = pool_pb2.AttachRequest(op_id=op(), type="cpu.1")
            bad.policy.ring = "maybe"
            assert (await owner.refused(verbs.POOL_ATTACH, bad)).reason == "ARGUMENT"

    on_manager(tmp_path, test)


def test_repetitions_get_the_stored_answer(tmp_path: Path) -> None:
    async def test(running: RunningManager) -> None:
        async with caller(running) as owner:
            request = pool_pb2.AttachRequest(op_id=op(), type="cpu.1")
            both = await asyncio.gather(*(owner.ask(verbs.POOL_ATTACH, request) for _ in range(3)))
            assert both[0] == both[1] == both[2]
            request.type = "cpu.2"
            refused = await owner.refused(verbs.POOL_ATTACH, request)
            assert refused.reason == "IDEMPOTENCY_MISMATCH"

    on_manager(tmp_path, test)


def test_not_yours_is_not_there_to_the_letter(tmp_path: Path) -> None:
    async def test(running: RunningManager) -> None:
        async with caller(running) as owner, caller(running, "other") as other:
            made = await owner.attach()
            absent = "ei-" + "0" * len(made.id.removeprefix("ei-"))
            for verb in (
                verbs.POOL_START,
                verbs.POOL_STOP,
                verbs.POOL_DETACH,
                verbs.POOL_DELETE,
                verbs.POOL_DESCRIBE,
            ):
                answers = []
                for name in (made.id, absent):
                    request = of(name)
                    if verb is verbs.POOL_DESCRIBE:
                        request = pool_pb2.DescribeRequest(instance=name)  # type: ignore[assignment]
                    refused = await other.refused(verb, request)
                    answers.append((refused.reason, refused.message.replace(name, "X")))
                assert answers[0] == answers[1]
                assert answers[0][0] == "NOT_FOUND"
            listed = await other.ask(verbs.POOL_LIST, pool_pb2.ListRequest())
            assert list(listed.instances) == []

    on_manager(tmp_path, test)


def test_errors_carry_their_reason_and_when_to_ask_again(tmp_path: Path) -> None:
    async def test(running: RunningManager) -> None:
        async with caller(running) as owner:
            await owner.attach("cpu.4")
            request = pool_pb2.AttachRequest(op_id=op(), type="cpu.1")
            refused = await owner.refused(verbs.POOL_ATTACH, request)
            assert (refused.reason, refused.retryable) == ("NO_DEVICE", True)
            assert refused.metadata["push_back_ms"] == "1000"
            request = pool_pb2.AttachRequest(op_id=op(), type="cpu.64")
            refused = await owner.refused(verbs.POOL_ATTACH, request)
            assert refused.reason == "ARGUMENT"

    on_manager(tmp_path, test)


def test_a_failed_grant_is_the_stored_answer(tmp_path: Path) -> None:
    host = FakeHost()
    host.failure = Failure("ISOLATION_UNAVAILABLE", "not here")

    async def test(running: RunningManager) -> None:
        async with caller(running) as owner:
            request = pool_pb2.AttachRequest(op_id=op(), type="cpu.1")
            first = await owner.refused(verbs.POOL_ATTACH, request)
            host.failure = None
            second = await owner.refused(verbs.POOL_ATTACH, request)
            assert (first.reason, first.message) == ("ISOLATION_UNAVAILABLE", "not here")
            assert (second.reason, second.message) == (first.reason, first.message)

    on_manager(tmp_path, test, host)


# Watch


async def requests(*messages: Any, then: asyncio.Event | None = None) -> AsyncIterator[Any]:
    for message in messages:
        yield message
    if then is not None:
        await then.wait()


def test_watch_says_what_is_bound_and_then_each_change(tmp_path: Path) -> None:
    async def test(running: RunningManager) -> None:
        async with caller(running) as owner, caller(running, "other") as other:
            first = await owner.attach()
            await other.attach()
            done = asyncio.Event()
            up = requests(pool_pb2.WatchUp(hello=hello("test")), then=done)
            watching = astream(owner.channel, verbs.POOL_WATCH, up)
            replies = aiter(watching)
            assert (await anext(replies)).hello.software.startswith("eais-manager/")
            assert (await anext(replies)).instance == first
            await owner.ask(verbs.POOL_STOP, of(first))
            states: list[int] = []
            while not states or states[-1] != pool_pb2.BOUND:
                states.append((await anext(replies)).instance.state)
            # A watcher may skip what was over before it looked.
            assert states in ([pool_pb2.DRAINING, pool_pb2.BOUND], [pool_pb2.BOUND])
            await owner.ask(verbs.POOL_DETACH, of(first))
            gone = (await anext(replies)).instance
            assert (gone.id, gone.state, gone.frontend) == (first.id, pool_pb2.DELETED, "")
            done.set()
            assert [reply async for reply in replies] == []

    on_manager(tmp_path, test)


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        ([pool_pb2.WatchUp(want=pool_pb2.Want(instance="ei-1"))], "MALFORMED_MESSAGE"),
        ([], "MALFORMED_MESSAGE"),
        ([pool_pb2.WatchUp(hello=common_pb2.Hello(version=99))], "VERSION_UNSUPPORTED"),
    ],
)
def test_watch_begins_with_hello(
    tmp_path: Path, first: list[pool_pb2.WatchUp], reason: str
) -> None:
    async def test(running: RunningManager) -> None:
        async with caller(running) as owner:
            watching = astream(owner.channel, verbs.POOL_WATCH, requests(*first))
            assert await reason_of(watching) == reason

    on_manager(tmp_path, test)


async def reason_of(call: Any) -> str:
    with pytest.raises(aio.AioRpcError) as error:
        async for _ in call:
            pass
    return error_of_rpc(error.value, "POOL_UNREACHABLE").reason


# The management plane


def listener(running: RunningManager, host: str) -> tls.Bundle:
    return running.bundle(Identity.listener(running.pool, host))


def test_status_shows_devices_shares_and_hosts(tmp_path: Path) -> None:
    async def test(running: RunningManager) -> None:
        operator = running.bundle(Identity.operator(running.pool, "owner"))
        async with caller(running) as owner, running.channel("management", operator) as channel:
            made = await owner.attach("cpu.3")
            status = await Caller(channel).ask(
                verbs.POOL_ADMIN_STATUS, hosts_pb2.PoolStatusRequest()
            )
            assert (status.pool, status.instances) == (running.pool, 1)
            (use,) = status.devices
            assert (use.host, use.device.id, use.free_milli, use.reachable) == (
                "h1",
                "cpu0",
                1000,
                True,
            )
            (share,) = use.shares
            assert (share.instance, share.milli, share.state) == (made.id, 3000, "GRANTED")
            assert (share.tenant, use.health, use.device.simulated) == ("default", "ok", True)
            (host,) = status.hosts
            assert (host.host, host.isolation) == ("h1", 2)

    on_manager(tmp_path, test)


def test_a_listener_gets_leaves_for_its_own_leases_alone(tmp_path: Path) -> None:
    async def test(running: RunningManager) -> None:
        async with caller(running) as owner:
            made = await owner.attach()
        asked = {"instance": made.id, "epoch": made.epoch, "n": 1}
        wrong = [
            ("h2", asked),
            ("h1", {**asked, "epoch": 2}),
            ("h1", {**asked, "n": 2}),
            ("h1", {**asked, "instance": "ei-other"}),
        ]
        csr = tls.make_csr(tls.new_key())
        for host, fields in wrong:
            async with running.channel("management", listener(running, host)) as channel:
                request = hosts_pb2.SignWorkerRequest(csr_pem=csr, **fields)  # type: ignore[arg-type]
                refused = await Caller(channel).refused(verbs.HOSTS_SIGN_WORKER, request)
                assert refused.reason == "NOT_FOUND"
        async with running.channel("management", listener(running, "h1")) as channel:
            request = hosts_pb2.SignWorkerRequest(csr_pem=csr, **asked)  # type: ignore[arg-type]
            reply = await Caller(channel).ask(verbs.HOSTS_SIGN_WORKER, request)
            (leaf,) = tls.load_certificates(reply.leaf_pem)
            assert identity_of_leaf(leaf) == Identity.worker(running.pool, made.id, 1)
            assert reply.ca_pem == running.authority.ca_pem
            request.csr_pem = b"garbage"
            refused = await Caller(channel).refused(verbs.HOSTS_SIGN_WORKER, request)
            assert refused.reason == "CSR_REFUSED"

    on_manager(tmp_path, test)


HELLO = hosts_pb2.HostReport(hello=hello("test"))
GPU = hosts_pb2.Device(
    id="gpu0", kind="gpu", capacity_milli=1000, granularity_milli=125, share_limit_milli=1000
)
MANY_RUNTIMES = hosts_pb2.Device(
    id="gpu1",
    kind="gpu",
    capacity_milli=1000,
    granularity_milli=125,
    share_limit_milli=1000,
    runtimes=["r"] * 65,
)
JOIN = hosts_pb2.Join(devices=[GPU])
SHORT_DIGEST = hosts_pb2.HostReport(
    device_loads=hosts_pb2.DeviceLoads(
        device="gpu0", loads=hosts_pb2.Loads(models=[hosts_pb2.ModelLoad(model=b"abc")])
    )
)


def join(**fields: Any) -> hosts_pb2.HostReport:
    made = hosts_pb2.Join()
    made.CopyFrom(JOIN)
    made.MergeFrom(hosts_pb2.Join(**fields))
    return hosts_pb2.HostReport(join=made)


@pytest.mark.parametrize(
    ("reports", "reason"),
    [
        ([], "MALFORMED_MESSAGE"),
        ([join()], "MALFORMED_MESSAGE"),
        ([HELLO], "MALFORMED_MESSAGE"),
        ([HELLO, HELLO], "MALFORMED_MESSAGE"),
        ([HELLO, join(devices=[GPU])], "ARGUMENT"),
        ([HELLO, join(devices=[hosts_pb2.Device(id="x", kind="toaster")])], "ARGUMENT"),
        ([HELLO, join(devices=[hosts_pb2.Device(id="x", kind="gpu")])], "ARGUMENT"),
        ([HELLO, join(devices=[MANY_RUNTIMES])], "ARGUMENT"),
        ([HELLO, join(leases=[hosts_pb2.Granted(instance="x", epoch=1)])], "ARGUMENT"),
        ([HELLO, join(leases=[hosts_pb2.Granted(instance="ei-1", tenant="t")])], "ARGUMENT"),
        ([HELLO, join(), SHORT_DIGEST], "ARGUMENT"),
        ([HELLO, join(), join()], "MALFORMED_MESSAGE"),
        ([HELLO, join(), HELLO], "MALFORMED_MESSAGE"),
        (
            [HELLO, join(), hosts_pb2.HostReport(released=hosts_pb2.Released(instance="../x"))],
            "ARGUMENT",
        ),
    ],
)
def test_what_a_listener_may_not_say(
    tmp_path: Path, reports: list[hosts_pb2.HostReport], reason: str
) -> None:
    async def test(running: RunningManager) -> None:
        async with running.channel("management", listener(running, "h2")) as channel:
            link = astream(channel, verbs.HOSTS_LINK, requests(*reports))
            assert await reason_of(link) == reason
        async with caller(running) as owner:
            await owner.attach()

    on_manager(tmp_path, test)


def test_a_newer_link_takes_the_place_of_the_older(tmp_path: Path) -> None:
    async def test(running: RunningManager) -> None:
        bundle, done = listener(running, "h2"), asyncio.Event()
        async with (
            running.channel("management", bundle) as one,
            running.channel("management", bundle) as two,
            caller(running) as owner,
        ):
            first = astream(one, verbs.HOSTS_LINK, requests(HELLO, join(), then=done))
            await anext(aiter(first))
            second = astream(two, verbs.HOSTS_LINK, requests(HELLO, join(), then=done))
            commands = aiter(second)
            assert (await anext(commands)).WhichOneof("kind") == "hello"
            assert await reason_of(first) == "POOL_UNREACHABLE"
            attaching = asyncio.create_task(owner.attach("gpu.1"))
            grant = (await anext(commands)).grant
            assert [(share.device, share.milli) for share in grant.shares] == [("gpu0", 1000)]
            second.cancel()
            attaching.cancel()
            await asyncio.gather(attaching, return_exceptions=True)
            done.set()

    on_manager(tmp_path, test)


def test_a_host_is_lost_with_its_link_and_comes_back_with_its_leases(tmp_path: Path) -> None:
    async def run() -> None:
        host = FakeHost("gpu-box", [device("gpu0", "gpu", 1000)])
        async with asyncio.timeout(60), in_process_manager(tmp_path) as running:
            state = running.manager.pump.state
            async with joined_host(running, host), caller(running) as owner:
                made = await owner.attach("gpu.1")
            async with caller(running) as owner:
                while state.hosts["gpu-box"].reachable:  # noqa: ASYNC110 - nothing says when
                    await asyncio.sleep(0)
                described = await owner.ask(
                    verbs.POOL_DESCRIBE, pool_pb2.DescribeRequest(instance=made.id)
                )
                described.instance.ClearField("placement")
                assert described.instance == made
                async with joined_host(running, host):
                    await owner.ask(verbs.POOL_DETACH, of(made))
            assert (host.leases, state.leases) == ({}, {})

    asyncio.run(run())


def test_a_restarted_manager_is_where_it_was_and_knows_what_it_knew(tmp_path: Path) -> None:
    async def run() -> None:
        host = FakeHost()
        request = pool_pb2.AttachRequest(op_id=op(), type="cpu.1")
        async with asyncio.timeout(60):
            async with in_process_manager(tmp_path) as running, joined_host(running, host):
                ready = running.ready_file.read_text()
                async with caller(running) as owner:
                    made = await owner.ask(verbs.POOL_ATTACH, request)
            async with in_process_manager(tmp_path) as running:
                assert running.ready_file.read_text() == ready
                async with joined_host(running, host), caller(running) as owner:
                    assert await owner.ask(verbs.POOL_ATTACH, request) == made
                    listed = await owner.ask(verbs.POOL_LIST, pool_pb2.ListRequest())
                    assert list(listed.instances) == [made.instance]

    asyncio.run(run())


def test_a_stopping_manager_ends_streams_and_those_who_wait(tmp_path: Path) -> None:
    async def run() -> None:
        async with asyncio.timeout(60), in_process_manager(tmp_path) as running:
            bundle, done = listener(running, "h2"), asyncio.Event()
            async with running.channel("management", bundle) as channel, caller(running) as owner:
                link = astream(channel, verbs.HOSTS_LINK, requests(HELLO, join(), then=done))
                commands = aiter(link)
                await anext(commands)
                while "h2" not in running.manager.pump.state.hosts:  # noqa: ASYNC110
                    await asyncio.sleep(0)
                request = pool_pb2.AttachRequest(op_id=op(), type="gpu.1")
                waiting = asyncio.create_task(owner.refused(verbs.POOL_ATTACH, request))
                assert (await anext(commands)).WhichOneof("kind") == "grant"
                await running.manager.stop()
                assert await reason_of(link) == "POOL_UNREACHABLE"
                assert (await waiting).reason == "POOL_UNREACHABLE"
                done.set()

    asyncio.run(run())
