"""A listener lends models to another on the pool's ticket, and is granted what another has."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import grpc
import pytest

from eais.identity import Identity, Role
from eais.rpc.v1 import common_pb2, hosts_pb2
from eais.rpc.verbs import MODELS_FETCH
from eais.ticket import sign_ticket
from eais_pool.authority import Authority
from eais_server.listener.config import ListenerConfig
from eais_server.testing.listener import CRASHES, REFUSED
from eais_server.testing.listener_bench import EI, POOL, ListenerBench, refusal, spec

Run = Callable[[Coroutine[Any, Any, None]], None]
MODEL = b"a model of some bytes"
OTHER = b"another one"
LISTENER = Identity.listener(POOL, "h2")


def ticket(bench: ListenerBench, *models: bytes, **changes: Any) -> hosts_pb2.SignedTicket:
    """What the pool signs, by default for h2 at the bench's listener."""
    fields: dict[str, Any] = {
        "pool": POOL,
        "tenant": "acme",
        "instance": EI,
        "from": "local",
        "to": "h2",
        "sha256": [sha256(model).digest() for model in models],
        "not_after_unix_s": int((datetime.now(UTC) + timedelta(hours=1)).timestamp()),
    } | changes
    made = hosts_pb2.Ticket(**fields)
    return sign_ticket(made, bench.bundle(Identity.manager(POOL)))


async def fetch(
    bench: ListenerBench,
    signed: hosts_pb2.SignedTicket,
    model: bytes = MODEL,
    *,
    who: Identity = LISTENER,
    offset: int = 0,
) -> hosts_pb2.FetchReply:
    request = hosts_pb2.FetchRequest(ticket=signed, sha256=sha256(model).digest(), offset=offset)
    reply: hosts_pb2.FetchReply = await bench.call(MODELS_FETCH, request, who, management=True)
    return reply


async def reason_of(work: Coroutine[Any, Any, Any]) -> str:
    return (await refusal(work)).reason


def test_a_model_is_lent_in_pieces(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        async with bench.granted():
            await bench.opened(MODEL)
            signed = ticket(bench, MODEL)
            assert await fetch(bench, signed) == hosts_pb2.FetchReply(size=len(MODEL), data=MODEL)
            assert (await fetch(bench, signed, offset=5)).data == MODEL[5:]
            for offset in (len(MODEL), (1 << 64) - 1):
                assert (await fetch(bench, signed, offset=offset)).data == b""

    run(test())


def test_a_ticket_is_for_its_files_between_its_hosts_and_for_its_tenant(
    bench: ListenerBench, run: Run
) -> None:
    async def test() -> None:
        async with bench.granted():
            await bench.opened(MODEL)
            wrong = {
                "files": ticket(bench, OTHER),
                "to": ticket(bench, MODEL, to="h3"),
                "from": ticket(bench, MODEL, **{"from": "h3"}),
                "pool": ticket(bench, MODEL, pool="pool-ffffffff"),
                "ended": ticket(bench, MODEL, not_after_unix_s=1_700_000_000),
                "unsigned": hosts_pb2.SignedTicket(ticket=ticket(bench, MODEL).ticket),
            }
            for what, signed in wrong.items():
                assert (what, await reason_of(fetch(bench, signed))) == (what, "TICKET")
            stolen = ticket(bench, MODEL)
            thief = Identity.listener(POOL, "h3")
            assert await reason_of(fetch(bench, stolen, who=thief)) == "TICKET"
            # The store keeps tenants apart: what another has is not there.
            assert (
                await reason_of(fetch(bench, ticket(bench, MODEL, tenant="other"))) == "MODEL_LOST"
            )

    run(test())


@pytest.mark.parametrize(
    "who",
    [
        Identity.frontend(POOL, "acme", "box"),
        Identity.operator(POOL, "ops"),
        Identity.manager(POOL),
        Identity.listener(POOL, "h2").enrolment,
    ],
    ids=lambda who: str(who.role),
)
def test_only_listeners_fetch(bench: ListenerBench, run: Run, who: Identity) -> None:
    async def test() -> None:
        async with bench.granted():
            await bench.opened(MODEL)
            lent = fetch(bench, ticket(bench, MODEL), who=who)
            assert await reason_of(lent) == "PERMISSION_DENIED"
            assert who.role is not Role.LISTENER

    run(test())


def test_what_is_lent_is_not_evicted(bench: ListenerBench, run: Run) -> None:
    bench.set(store_limit_bytes=len(MODEL) + 5)

    async def test() -> None:
        async with bench.granted():
            session = await bench.opened(MODEL)
            await fetch(bench, ticket(bench, MODEL))
            bench.listener.host.store.unpin(session.id)
            with pytest.raises(grpc.RpcError, match="STORE_FULL"):
                await bench.opened(OTHER)

    run(test())


def test_what_was_lent_is_let_go_in_time(bench: ListenerBench, run: Run) -> None:
    bench.set(store_limit_bytes=len(MODEL) + 5, chunk_timeout_s=0.2)

    async def test() -> None:
        async with bench.granted():
            session = await bench.opened(MODEL)
            signed = ticket(bench, MODEL)
            await asyncio.gather(*(fetch(bench, signed) for _ in range(3)))
            bench.listener.host.store.unpin(session.id)
            while True:
                try:
                    await bench.opened(OTHER)
                    return
                except grpc.RpcError as error:
                    if "STORE_FULL" not in str(error):
                        raise

    run(test())


# The host that is granted


def other(tmp_path: Path, authority: Authority) -> ListenerBench:
    """A second listener of that pool; both are called "local"."""
    root = tmp_path / "other"
    root.mkdir()
    return ListenerBench(root, authority, config=ListenerConfig.for_test())


def source(holder: ListenerBench, *models: bytes) -> hosts_pb2.ModelSource:
    place = holder.listener.planes.place
    endpoint = common_pb2.Endpoint(
        address=place.address,
        port=place.management_port,
        server_name=f"local.listener.{POOL}.internal",
    )
    return hosts_pb2.ModelSource(
        listener=endpoint, ticket=ticket(holder, *models, to="local", **{"from": "local"})
    )


def nobody() -> hosts_pb2.ModelSource:
    """A source that is gone."""
    return hosts_pb2.ModelSource(
        listener=common_pb2.Endpoint(address="127.0.0.1", port=9, server_name="h9")
    )


def test_a_grant_brings_sessions_whose_models_are_elsewhere(
    bench: ListenerBench, tmp_path: Path, authority: Authority, run: Run
) -> None:
    holder = other(tmp_path, authority)

    async def test() -> None:
        async with holder.granted(), bench.pool(), bench.running():
            for model in (MODEL, OTHER):
                await holder.opened(model)
            specs = [spec(model) for model in (MODEL, OTHER)]
            sources = [nobody(), source(holder, MODEL, OTHER)]
            bench.grant(epoch=6, specs=specs, sources=sources)
            granted = await bench.manager.heard("granted")
            assert (granted.epoch, granted.specs_missing) == (6, 0)
            assert [worker.serving for worker in granted.workers] == [True]
            reply = await bench.open(MODEL, epoch=6)
            assert reply.session.signature.metadata.graph_name == MODEL.decode()
            assert len(bench.spawner.of(EI)[0].loaded) == 2
            # Said again it is answered again, and nothing is fetched.
            bench.grant(epoch=6, specs=specs)
            assert (await bench.manager.heard("granted")).specs_missing == 0

    run(test())


def test_what_nobody_has_is_missing_and_may_be_brought_by_the_client(
    bench: ListenerBench, run: Run
) -> None:
    async def test() -> None:
        async with bench.pool(), bench.running():
            bench.grant(epoch=5, specs=[spec(MODEL)], sources=[nobody()])
            granted = await bench.manager.heard("granted")
            assert granted.specs_missing == 1
            await bench.opened(MODEL)
            told = await bench.manager.heard("sessions")
            assert [each.files[0].size for each in told.specs] == [len(MODEL)]

    run(test())


def test_a_source_that_sends_something_else_is_left_for_the_next(
    bench: ListenerBench, tmp_path: Path, authority: Authority, run: Run
) -> None:
    holder = other(tmp_path, authority)

    async def test() -> None:
        async with holder.granted(), bench.pool(), bench.running():
            await holder.opened(MODEL)
            good = source(holder, MODEL)
            lying = hosts_pb2.ModelSource()
            lying.CopyFrom(good)
            lying.ticket.ticket += b"\x08"
            bench.grant(specs=[spec(MODEL)], sources=[lying, good])
            assert (await bench.manager.heard("granted")).specs_missing == 0

    run(test())


@pytest.mark.parametrize(
    ("model", "reason"), [(REFUSED, "MODEL_INVALID"), (CRASHES, "MODEL_CRASHED")]
)
def test_a_model_that_does_not_load_here_fails_the_grant(
    bench: ListenerBench,
    tmp_path: Path,
    authority: Authority,
    run: Run,
    model: bytes,
    reason: str,
) -> None:
    holder = other(tmp_path, authority)

    async def test() -> None:
        async with holder.granted(), bench.pool(), bench.running():
            await holder.push(model)
            bench.grant(specs=[spec(model)], sources=[source(holder, model)])
            failed = await bench.manager.heard("grant_failed")
            assert (failed.epoch, failed.error.reason) == (5, reason)
            assert bench.listener.host.admission.leases == {}

    run(test())


def test_a_store_without_room_fails_the_grant(
    bench: ListenerBench, tmp_path: Path, authority: Authority, run: Run
) -> None:
    holder = other(tmp_path, authority)
    bench.set(store_limit_bytes=len(MODEL) - 1)

    async def test() -> None:
        async with holder.granted(), bench.pool(), bench.running():
            await holder.opened(MODEL)
            bench.grant(specs=[spec(MODEL)], sources=[source(holder, MODEL)])
            assert (await bench.manager.heard("grant_failed")).error.reason == "STORE_FULL"

    run(test())


def test_a_listener_that_restarts_meanwhile_answers_when_it_is_granted_again(
    bench: ListenerBench, run: Run
) -> None:
    async def test() -> None:
        async with bench.pool():
            async with bench.running():
                bench.grant()
                await bench.manager.heard("granted")
                host = bench.listener.host
                lease = replace(host.admission.leases[EI], granted=False, moving=True)
                host.files.save_lease(lease)
            async with bench.running():
                host = bench.listener.host
                await bench.until(lambda: host.state.leases[EI].granted)
                assert not host.admission.leases[EI].granted
                bench.grant(specs=[spec(MODEL)])
                assert (await bench.manager.heard("granted")).specs_missing == 1

    run(test())


def test_a_grant_that_is_revoked_meanwhile_is_released(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        async with bench.pool(), bench.running():
            bench.grant(specs=[spec(b"hangs")], sources=[nobody()])
            await bench.until(lambda: EI in bench.listener.host.admission.leases)
            bench.revoke(grace_ms=0)
            assert (await bench.manager.heard("released")).epoch == 5
            assert bench.listener.host.admission.leases == {}

    run(test())


def test_a_model_that_is_measured_here_comes_from_elsewhere(
    bench: ListenerBench, tmp_path: Path, authority: Authority, run: Run
) -> None:
    holder = other(tmp_path, authority)

    async def test() -> None:
        async with holder.granted(), bench.pool(), bench.running():
            await holder.opened(MODEL)
            batch = hosts_pb2.RunBatch(
                study="s1",
                number=1,
                tenant="acme",
                spec=spec(MODEL),
                sources=[nobody(), source(holder, MODEL)],
                device="cpu0",
                milli=1000,
                runtime="onnxruntime/fp32",
                batch=1,
                runs=1,
                within_ms=100,
            )
            bench.manager.command(run_batch=batch)
            assert (await bench.manager.heard("measured")).study == "s1"

    run(test())
