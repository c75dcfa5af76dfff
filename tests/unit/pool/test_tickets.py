"""Where a host that is granted an instance gets its models: sources and tickets."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from eais import tls
from eais.channel import MAX_MESSAGE_BYTES, MAX_SESSIONS_BYTES
from eais.errors import IdentityError, UsageError
from eais.identity import Identity
from eais.rpc.v1 import hosts_pb2, listener_pb2
from eais.ticket import read_ticket
from eais_pool.authority import Authority
from eais_pool.brain.actions import Grant
from eais_pool.brain.events import SessionsChanged
from eais_pool.brain.host_records import Endpoint, HostRecord
from eais_pool.reports import reported
from eais_pool.tickets import TICKET_LIFE, Tickets
from eais_pool.wire import command_message

POOL = "pool-0a0b0c0d"
NOW = datetime(2026, 5, 1, tzinfo=UTC)
SPEC_OVERHEAD = 64


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.create(tmp_path / "ca", POOL, NOW)


def host(name: str) -> HostRecord:
    plane = Endpoint("127.0.0.1", 5000)
    return HostRecord(name, "boot", plane, 2, "", (), management_plane=plane)


def tickets(authority: Authority) -> Tickets:
    bundle = authority.bundle(Identity.manager(POOL), NOW)
    hosts = {name: host(name) for name in (f"h{n}" for n in range(10))}
    return Tickets(POOL, lambda: bundle, lambda: NOW, lambda: hosts)


def spec(files: int, first: int = 0) -> listener_pb2.SessionSpec:
    digests = (sha256(str(first + n).encode()).digest() for n in range(files))
    return listener_pb2.SessionSpec(
        files=[listener_pb2.ModelFile(sha256=digest, size=1) for digest in digests]
    )


def grant(*specs: listener_pb2.SessionSpec, sources: int = 2) -> Grant:
    texts = (base64.b64encode(each.SerializeToString()).decode() for each in specs)
    names = tuple(f"h{n}" for n in range(1, 1 + sources))
    shape = ("ei-1", "acme", 3, (), "127.64.0.16", "loopback", 600, "exact")
    return Grant(*shape, sessions=tuple(texts), sources=names)


def test_each_source_has_a_ticket_of_its_own(authority: Authority) -> None:
    asked = grant(spec(2), spec(1))
    found = tickets(authority).sources(asked, "h9")
    assert [each.listener.server_name for each in found] == [
        f"h1.listener.{POOL}.internal",
        f"h2.listener.{POOL}.internal",
    ]
    for source, name in zip(found, ("h1", "h2"), strict=True):
        ticket = read_ticket(source.ticket, POOL, authority.ca_pem, NOW)
        assert (getattr(ticket, "from"), ticket.to, ticket.tenant) == (name, "h9", "acme")
        assert set(ticket.sha256) == {file.sha256 for file in spec(2).files}
        assert ticket.not_after_unix_s == int((NOW + TICKET_LIFE).timestamp())
    message = command_message(asked, found).grant
    assert list(message.specs) == [spec(2), spec(1)]


def test_without_sessions_there_are_no_sources(authority: Authority) -> None:
    assert tickets(authority).sources(grant(), "h9") == []


def test_a_manager_whose_identity_cannot_be_read_names_no_sources(authority: Authority) -> None:
    def unreadable() -> tls.Bundle:
        raise IdentityError("CERT_UNREADABLE", "the disk")

    made = Tickets(POOL, unreadable, lambda: NOW, lambda: {"h1": host("h1"), "h2": host("h2")})
    assert made.sources(grant(spec(1)), "h9") == []


def test_as_many_sessions_as_there_may_be_fit_in_one_command(authority: Authority) -> None:
    file = spec(1).ByteSize()
    per_spec = 4096
    count = (MAX_SESSIONS_BYTES - SPEC_OVERHEAD) // (per_spec * file + SPEC_OVERHEAD)
    specs = [spec(per_spec, per_spec * n) for n in range(count)]
    report = hosts_pb2.SessionsChanged(instance="ei-1", epoch=3, specs=specs)
    heard = reported("h1", hosts_pb2.HostReport(sessions=report))
    assert isinstance(heard, SessionsChanged)
    asked = grant(*specs, sources=8)
    found = tickets(authority).sources(asked, "h9")
    assert found
    assert command_message(asked, found).ByteSize() < MAX_MESSAGE_BYTES


def test_more_sessions_than_there_may_be_are_refused() -> None:
    report = hosts_pb2.SessionsChanged(instance="ei-1", epoch=3, specs=[spec(200_000)])
    assert report.ByteSize() > MAX_SESSIONS_BYTES
    with pytest.raises(UsageError, match="session specs"):
        reported("h1", hosts_pb2.HostReport(sessions=report))


def test_a_ticket_ends(authority: Authority) -> None:
    (source,) = tickets(authority).sources(grant(spec(1), sources=1), "h9")
    late = NOW + TICKET_LIFE + timedelta(minutes=6)
    with pytest.raises(IdentityError):
        read_ticket(source.ticket, POOL, authority.ca_pem, late)
