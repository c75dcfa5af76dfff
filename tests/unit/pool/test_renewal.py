"""Renew and RollCa over the wire: who gets which leaf, and who none."""

from __future__ import annotations

import asyncio
import shutil
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc.aio as aio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from eais import tls
from eais.errors import EaisError
from eais.identity import Identity, Role
from eais.rpc import verbs
from eais.rpc.client import acall
from eais.rpc.v1 import common_pb2, hosts_pb2, pool_pb2
from eais_pool.authority import Authority
from eais_pool.testing import FakeHost, RunningManager, in_process_manager, joined_host
from eais_pool.world import World

# Tests set the clock ahead by several lives: in all less than what leaves begin before now.
LIFE = timedelta(seconds=40)
RENEWERS = {
    Role.FRONTEND: ("user", verbs.POOL_RENEW),
    Role.LISTENER: ("management", verbs.HOSTS_RENEW),
    Role.OPERATOR: ("management", verbs.POOL_ADMIN_RENEW),
}
Test = Callable[[RunningManager], Awaitable[None]]


class Wall:
    """The time of day, and what the test has it jump ahead."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


def on_manager(directory: Path, test: Test, wall: Wall | None = None) -> None:
    """Run `test` against a real manager whose leaves live 40 seconds."""

    async def run() -> None:
        world = World(boot_id="boot", wall=wall or Wall())
        async with (
            asyncio.timeout(60),
            in_process_manager(directory, leaf_life=LIFE, world=world) as running,
        ):
            await test(running)

    asyncio.run(run())


def identity(running: RunningManager, role: Role) -> Identity:
    pool = running.pool
    return {
        Role.FRONTEND: Identity.frontend(pool, "acme", "box"),
        Role.LISTENER: Identity.listener(pool, "h7"),
        Role.OPERATOR: Identity.operator(pool, "op"),
    }[role]


async def ask(channel: aio.Channel, verb: Any, request: Any) -> Any:
    return await acall(channel, verb, request, timeout_s=20, unreachable="POOL_UNREACHABLE")


def renew(csr_pem: bytes) -> common_pb2.RenewRequest:
    return common_pb2.RenewRequest(csr_pem=csr_pem)


@pytest.mark.parametrize("role", RENEWERS, ids=str)
def test_a_valid_leaf_gets_the_next_of_the_same_name(tmp_path: Path, role: Role) -> None:
    async def test(running: RunningManager) -> None:
        plane, verb = RENEWERS[role]
        bundle = running.bundle(identity(running, role))
        key = tls.new_key()
        async with running.channel(plane, bundle) as channel:
            reply = await ask(channel, verb, renew(tls.make_csr(key)))
        made = tls.make_bundle(tls.key_to_pem(key), reply.leaf_pem, reply.ca_pem)
        assert made.identity == bundle.identity
        assert made.ca_pem == running.authority.ca_pem
        assert timedelta(0) < made.not_after - datetime.now(UTC) <= LIFE
        async with running.channel(plane, made) as channel:
            again = await ask(channel, verb, renew(tls.make_csr(key)))
        assert again.leaf_pem != reply.leaf_pem

    on_manager(tmp_path, test)


def wishing(*names: x509.GeneralName, subject: x509.Name | None = None) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject or x509.Name([]))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(tls.new_key(), hashes.SHA256()).public_bytes(Encoding.PEM)


@pytest.mark.parametrize(
    "csr",
    [
        wishing(x509.UniformResourceIdentifier("spiffe://pool/tenant/other/frontend/box")),
        wishing(x509.DNSName("manager.pool.internal")),
        b"",
        b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
        b"x" * 100_000,
    ],
    ids=["tenant", "server", "empty", "garbage", "huge"],
)
def test_what_is_asked_for_beside_a_signature_is_refused(tmp_path: Path, csr: bytes) -> None:
    async def test(running: RunningManager) -> None:
        async with running.channel("user", running.frontend()) as channel:
            with pytest.raises(EaisError) as error:
                await ask(channel, verbs.POOL_RENEW, renew(csr))
        assert error.value.reason == "CSR_REFUSED"
        assert str(tmp_path) not in str(error.value)

    on_manager(tmp_path, test)


def test_a_requests_subject_is_not_taken_over(tmp_path: Path) -> None:
    async def test(running: RunningManager) -> None:
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "manager")])
        async with running.channel("user", running.frontend()) as channel:
            reply = await ask(channel, verbs.POOL_RENEW, renew(wishing(subject=name)))
        (leaf,) = tls.load_certificates(reply.leaf_pem)
        assert len(leaf.subject) == 0

    on_manager(tmp_path, test)


@pytest.mark.parametrize("role", RENEWERS, ids=str)
def test_a_leaf_that_ended_on_an_open_connection_gets_none(tmp_path: Path, role: Role) -> None:
    wall = Wall()

    async def test(running: RunningManager) -> None:
        plane, verb = RENEWERS[role]
        bundle = running.authority.bundle(identity(running, role), wall(), LIFE)
        async with running.channel(plane, bundle) as channel:
            await ask(channel, verb, renew(tls.make_csr(tls.new_key())))
            wall.ahead = LIFE
            with pytest.raises(EaisError) as error:
                await ask(channel, verb, renew(tls.make_csr(tls.new_key())))
            assert error.value.reason == "CERT_EXPIRED"

    on_manager(tmp_path, test, wall)


def test_a_listener_whose_leaf_has_ended_gets_none_for_its_workers(tmp_path: Path) -> None:
    wall = Wall()

    async def test(running: RunningManager) -> None:
        async with joined_host(running, FakeHost()):
            async with running.channel("user", running.frontend()) as channel:
                request = pool_pb2.AttachRequest(op_id=str(uuid.uuid4()), type="cpu.1")
                made = (await ask(channel, verbs.POOL_ATTACH, request)).instance
            listener = running.authority.bundle(Identity.listener(running.pool, "h1"), wall(), LIFE)
            asked = hosts_pb2.SignWorkerRequest(
                instance=made.id, epoch=made.epoch, n=1, csr_pem=tls.make_csr(tls.new_key())
            )
            async with running.channel("management", listener) as channel:
                await ask(channel, verbs.HOSTS_SIGN_WORKER, asked)
                wall.ahead = LIFE
                with pytest.raises(EaisError) as error:
                    await ask(channel, verbs.HOSTS_SIGN_WORKER, asked)
            assert error.value.reason == "CERT_EXPIRED"

    on_manager(tmp_path, test, wall)


def test_a_leaf_that_has_ended_reaches_nobody(tmp_path: Path) -> None:
    async def test(running: RunningManager) -> None:
        ended = datetime.now(UTC) - timedelta(minutes=2)
        bundle = running.authority.bundle(
            Identity.frontend(running.pool, "acme", "box"), ended, timedelta(minutes=1)
        )
        async with running.channel("user", bundle) as channel:
            with pytest.raises(EaisError) as error:
                await ask(channel, verbs.POOL_RENEW, renew(tls.make_csr(tls.new_key())))
        assert error.value.reason == "POOL_UNREACHABLE"

    on_manager(tmp_path, test)


def test_the_leaf_of_another_pool_of_the_same_name_gets_none(tmp_path: Path) -> None:
    async def test(running: RunningManager) -> None:
        other = Authority.create(tmp_path / "other", running.pool, datetime.now(UTC))
        made = other.bundle(Identity.frontend(running.pool, "a", "b"), datetime.now(UTC))
        bundle = replace(made, ca_pem=running.authority.ca_pem)
        async with running.channel("user", bundle) as channel:
            with pytest.raises(EaisError) as error:
                await ask(channel, verbs.POOL_RENEW, renew(tls.make_csr(tls.new_key())))
        assert error.value.reason == "POOL_UNREACHABLE"

    on_manager(tmp_path, test)


# The CA


async def status(running: RunningManager) -> hosts_pb2.CaState:
    operator = running.bundle(Identity.operator(running.pool, "op"))
    async with running.channel("management", operator) as channel:
        reply = await ask(channel, verbs.POOL_ADMIN_STATUS, hosts_pb2.PoolStatusRequest())
    ca: hosts_pb2.CaState = reply.ca
    return ca


async def roll(running: RunningManager) -> hosts_pb2.RollCaReply:
    operator = running.bundle(Identity.operator(running.pool, "op"))
    async with running.channel("management", operator) as channel:
        reply: hosts_pb2.RollCaReply = await ask(
            channel, verbs.POOL_ADMIN_ROLL_CA, hosts_pb2.RollCaRequest()
        )
    return reply


async def until(running: RunningManager, phase: str) -> hosts_pb2.CaState:
    while (state := await status(running)).phase != phase:  # noqa: ASYNC110
        await asyncio.sleep(0.02)  # a status is all that is said of it
    return state


def test_a_roll_over_the_wire(tmp_path: Path) -> None:
    wall = Wall()

    async def test(running: RunningManager) -> None:
        steady = await status(running)
        assert (steady.phase, steady.phase_left_s, steady.roll_left_s) == ("STEADY", 0, 0)
        assert steady.ca_left_s > 3600 * 24 * 3650
        before = running.frontend()
        reply = await roll(running)
        assert (reply.begun, reply.ca.phase) == (True, "ANNOUNCED")
        assert 1 <= reply.ca.phase_left_s <= 40
        assert 41 <= reply.ca.roll_left_s <= 80
        assert reply.ca.ca_sha256 == steady.ca_sha256
        again = await roll(running)
        assert (again.begun, again.ca.phase) == (False, "ANNOUNCED")
        both = running.frontend()
        assert len(tls.load_certificates(both.ca_pem)) == 2
        wall.ahead += LIFE
        retiring = await until(running, "RETIRING")
        assert retiring.ca_sha256 != steady.ca_sha256
        for bundle in (both, running.frontend()):
            await listing(running, bundle)
        wall.ahead += LIFE
        steady = await until(running, "STEADY")
        assert steady.ca_sha256 == retiring.ca_sha256
        await one_ca_trusted(running)
        await listing(running, running.frontend())
        for bundle in (before, both):
            with pytest.raises(EaisError):
                await listing(running, bundle)

    on_manager(tmp_path, test, wall)


async def one_ca_trusted(running: RunningManager) -> None:
    """The manager's own leaf is made anew on a thread, after the phase has ended."""
    own = running.state_dir / "manager" / "identity.pem"
    while len(tls.load_certificates(tls.load_bundle(own).ca_pem)) > 1:  # noqa: ASYNC110
        await asyncio.sleep(0.02)


async def listing(running: RunningManager, bundle: tls.Bundle) -> None:
    async with running.channel("user", bundle) as channel:
        await ask(channel, verbs.POOL_LIST, pool_pb2.ListRequest())


def test_the_managers_sockets_trust_the_new_ca_from_its_announcement_on(tmp_path: Path) -> None:
    async def test(running: RunningManager) -> None:
        await roll(running)
        kept = tls.load_bundle(running.state_dir / "manager" / "identity.pem")
        assert kept.ca_pem == running.authority.ca_pem
        assert len(tls.load_certificates(kept.ca_pem)) == 2
        # Signed by the new one before its time, as by a manager whose clock is ahead.
        shutil.copytree(running.state_dir / "ca", tmp_path / "ahead")
        ahead = Authority.load(tmp_path / "ahead")
        assert ahead.roll.phase_ends is not None
        assert ahead.advance(ahead.roll.phase_ends)
        who = Identity.frontend(running.pool, "acme", "box")
        await listing(running, ahead.bundle(who, datetime.now(UTC)))

    on_manager(tmp_path, test)


def test_a_roll_outlives_the_manager(tmp_path: Path) -> None:
    wall = Wall()

    async def begin(running: RunningManager) -> None:
        await roll(running)

    async def go_on(running: RunningManager) -> None:
        assert (await status(running)).phase == "RETIRING"
        assert not (await roll(running)).begun

    async def end(running: RunningManager) -> None:
        assert (await status(running)).phase == "STEADY"

    on_manager(tmp_path, begin, wall)
    wall.ahead += 5 * LIFE
    on_manager(tmp_path, go_on, wall)
    wall.ahead += LIFE
    on_manager(tmp_path, end, wall)
