"""`eais doctor` against real servers, files and sockets: each cause is made, and named."""

from __future__ import annotations

import socket
import ssl
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from eais import tls
from eais.errors import make_error
from eais.identity import Identity
from eais.instance import InstanceState
from eais.rpc import server, verbs
from eais.rpc.v1 import common_pb2, hosts_pb2, listener_pb2, pool_pb2
from eais_client.context import Context, ContextStore, enrolment_file
from eais_client.doctor.checks import CHECKS, look
from eais_client.doctor.findings import Check, Finding, Verdict, examine, exit_code_of, ok, problem
from eais_client.doctor.judgement import refusal, span
from eais_client.doctor.path_judging import Measured
from eais_client.doctor.scene import Scene
from eais_client.instances import Address
from eais_pool.authority import ENROLMENT_LIFE, Authority
from tests.unit.client.served import POOL, Rig, now, rig

ADA = Identity.frontend(POOL, "acme", "ada")
ADMIN = Identity.operator(POOL, "ada")
EI = "ei-0001"
DAY = timedelta(days=1)


@dataclass
class Manager:
    """A manager's planes, as far as a doctor looks."""

    authority: Authority
    version: int = 1
    instances: list[pool_pb2.Instance] = field(default_factory=list)
    hosts: list[hosts_pb2.HostUse] = field(default_factory=list)
    tenants: list[hosts_pb2.Tenant] = field(default_factory=list)
    devices: list[hosts_pb2.DeviceUse] = field(default_factory=list)
    sessions: list[listener_pb2.SessionState] = field(default_factory=list)

    async def greet(self, hello: common_pb2.Hello, caller: server.Caller) -> common_pb2.HelloReply:
        return common_pb2.HelloReply(version=self.version, software="eais-manager/9.9")

    async def renew(
        self, request: common_pb2.RenewRequest, caller: server.Caller
    ) -> common_pb2.RenewReply:
        leaf = self.authority.issue(
            caller.identity.enrolled, request.csr_pem, now(), timedelta(hours=1)
        )
        return common_pb2.RenewReply(leaf_pem=leaf, ca_pem=self.authority.ca_pem)

    async def listed(
        self, request: pool_pb2.ListRequest, caller: server.Caller
    ) -> pool_pb2.ListReply:
        return pool_pb2.ListReply(instances=self.instances)

    async def status(
        self, request: hosts_pb2.PoolStatusRequest, caller: server.Caller
    ) -> hosts_pb2.PoolStatusReply:
        return hosts_pb2.PoolStatusReply(pool=POOL, hosts=self.hosts, devices=self.devices)

    async def list_tenants(
        self, request: hosts_pb2.ListTenantsRequest, caller: server.Caller
    ) -> hosts_pb2.ListTenantsReply:
        return hosts_pb2.ListTenantsReply(tenants=self.tenants)

    async def locate(
        self, request: listener_pb2.LocateRequest, caller: server.Caller
    ) -> listener_pb2.LocateReply:
        return listener_pb2.LocateReply(sessions=self.sessions)

    def listener(self) -> list[server.Binding]:
        return [
            server.unary(verbs.LISTENER_GREET, self.greet),
            server.unary(verbs.LISTENER_LOCATE, self.locate),
        ]

    def user_plane(self) -> list[server.Binding]:
        return [
            server.unary(verbs.POOL_GREET, self.greet),
            server.unary(verbs.POOL_RENEW, self.renew),
            server.unary(verbs.POOL_LIST, self.listed),
        ]

    def management_plane(self) -> list[server.Binding]:
        return [
            server.unary(verbs.POOL_ADMIN_GREET, self.greet),
            server.unary(verbs.POOL_ADMIN_STATUS, self.status),
            server.unary(verbs.POOL_ADMIN_LIST_TENANTS, self.list_tenants),
            server.unary(verbs.POOL_ADMIN_RENEW, self.renew),
        ]


@dataclass
class Ward:
    """A user who has joined, with one instance in use; the test breaks something of it."""

    rig: Rig
    manager: Manager
    scene: Scene
    context: Context

    @property
    def store(self) -> ContextStore:
        return self.scene.store

    @property
    def file(self) -> Path:
        return self.store.frontend_file("team")

    def look(self) -> dict[str, Finding]:
        """The findings by check; of the two of the clock the last."""
        old = self.scene
        self.scene = Scene(
            old.store,
            old.environ,
            old.context_name,
            old.runs,
            old.installed,
            old.wall,
            old.cpuinfo,
            old.measure,
        )
        self.findings = look(self.scene)
        return {finding.check: finding for finding in self.findings}

    def cause(self) -> tuple[str, str]:
        """Check and reason of the only problem."""
        self.look()
        (found,) = [one for one in self.findings if one.verdict is Verdict.PROBLEM]
        assert found.remedy
        assert exit_code_of(self.findings) in (2, 3, 4, 5)
        return found.check, found.reason

    def of(self, check: str) -> Finding:
        return next(one for one in reversed(self.findings) if one.check == check)

    def move(self, **to: str) -> None:
        """Change the context."""
        self.context = replace(self.context, **to)
        self.store.set(self.context)

    def bundle(self, identity: Identity = ADA, ago: timedelta = timedelta(0)) -> tls.Bundle:
        return self.rig.authority.bundle(identity, now() - ago)

    def enrol(self, ago: timedelta = timedelta(0), identity: Identity = ADA.enrolment) -> None:
        enrolled = self.rig.authority.bundle(identity, now() - ago, ENROLMENT_LIFE)
        tls.save_bundle(enrolment_file(self.file), enrolled)

    def become_operator(self) -> None:
        where = self.rig.serve(Identity.manager(POOL), *self.manager.management_plane())
        self.move(management=str(where))
        tls.save_bundle(self.store.operator_file("team"), self.bundle(ADMIN))
        self.manager.hosts = [hosts_pb2.HostUse(host="host-1", reachable=True, isolation=2)]


def endpoint(address: Address) -> common_pb2.Endpoint:
    return common_pb2.Endpoint(
        address=address.address, port=address.port, server_name=address.server_name
    )


def in_use(listener: Address, worker: Address) -> pool_pb2.Instance:
    made = pool_pb2.Instance(
        id=EI, tenant="acme", type="cpu.1", state=pool_pb2.IN_USE, frontend="ada", epoch=1
    )
    made.listener.CopyFrom(endpoint(listener))
    made.host = "host-1"
    made.vnic.driver, made.vnic.address = "host", "127.0.0.1"
    made.workers.add(n=1, endpoint=endpoint(worker), device="cpu0", isolation=2, serving=True)
    return made


@pytest.fixture
def ward(tmp_path: Path) -> Iterator[Ward]:
    with rig(tmp_path / "pool") as made:
        manager = Manager(made.authority)
        user = made.serve(Identity.manager(POOL), *manager.user_plane())
        listener = made.serve(Identity.listener(POOL, "host-1"), *manager.listener())
        at = listener_pb2.SessionAt(n=1, runtime="openvino/fp32")
        manager.sessions = [listener_pb2.SessionState(id="s", workers=[at])]
        worker = made.serve(Identity.worker(POOL, EI, 1))
        manager.instances = [in_use(listener, worker)]
        store = ContextStore(tmp_path / "config")
        context = Context("team", POOL, str(user))
        store.set(context)
        scene = Scene(
            store,
            {},
            "",
            runs=lambda path: False,
            installed=lambda module: True,
            measure=lambda scene: Measured((0.001,), 1e9, 1e9),
        )
        found = Ward(made, manager, scene, context)
        tls.save_bundle(found.file, found.bundle())
        found.enrol()
        yield found


def test_all_is_well(ward: Ward) -> None:
    found = ward.look()
    assert {finding.verdict for finding in ward.findings} == {Verdict.OK}
    assert exit_code_of(ward.findings) == 0
    assert set(found) == {check.name for check in CHECKS} - {
        *("fall-back", "pool", "operator", "hosts", "quota", "vnic")
    }
    assert found["version"].text == "wire version 1, eais-manager/9.9"
    assert "of the pool's" in found["clock"].text
    assert "enrolment until" in found["renewal"].text
    assert [path.name for path in ward.file.parent.iterdir() if path.suffix == ".part"] == []


# the machine


def test_no_context(ward: Ward) -> None:
    ward.store.delete("team")
    assert ward.cause() == ("context", "NOT_ATTACHED")
    assert all(one.because == "context" for one in ward.findings if one.verdict is Verdict.UNKNOWN)


def test_a_context_that_there_isnt(ward: Ward) -> None:
    ward.scene.context_name = "nowhere"
    ward.look()
    assert ward.of("context").reason == "NOT_FOUND"
    assert "known: team" in ward.of("context").text


@pytest.mark.parametrize("text", ["current = ", "[client]\nunavailable_timeout_s = -1\n"])
def test_settings_that_cannot_be_read(ward: Ward, text: str) -> None:
    ward.store.file.write_text(text)
    ward.look()
    assert ward.of("config").reason == "CONFIG"
    assert str(ward.store.file) in ward.of("config").text
    assert exit_code_of(ward.findings) == 2


def test_no_onnxruntime_to_fall_back_on(ward: Ward) -> None:
    ward.scene.environ = {"EAIS_FALLBACK": "local"}
    assert ward.look()["fall-back"].verdict is Verdict.OK
    ward.scene.installed = lambda module: module != "onnxruntime"
    assert ward.cause() == ("fall-back", "NOT_INSTALLED")
    assert ward.of("worker").verdict is Verdict.OK


def test_this_machines_pool_isnt_running(ward: Ward, tmp_path: Path) -> None:
    ward.move(state_dir=str(tmp_path))
    assert ward.cause() == ("pool", "POOL_NOT_RUNNING")
    assert ward.of("pool").remedy == "eais pool up --name team"


def test_why_this_machines_pool_doesnt_run(ward: Ward, tmp_path: Path) -> None:
    ward.move(state_dir=str(tmp_path))
    log = tmp_path / "manager.log"
    log.write_text("serving\nerror: PORT: 127.0.0.1:7443 is taken: Address already in use\n")
    assert ward.cause() == ("pool", "PORT")
    assert "Address already in use" in ward.of("pool").text
    log.write_text("error: PORT: as it was\nserving\nended\n")
    assert ward.cause() == ("pool", "POOL_NOT_RUNNING")


def test_a_local_manager_that_doesnt_stay_up(ward: Ward, tmp_path: Path) -> None:
    ward.move(state_dir=str(tmp_path), manager=f"127.0.0.1:{closed_port()}")
    ward.scene.runs = lambda path: path == tmp_path
    assert ward.cause() == ("address", "POOL_UNREACHABLE")
    (tmp_path / "manager.log").write_text("error: JOURNAL_CORRUPT: row 7\n")
    assert ward.cause() == ("address", "JOURNAL_CORRUPT")


# the identity's file


def missing(ward: Ward) -> None:
    ward.file.unlink()


def unreadable(ward: Ward) -> None:
    ward.file.write_bytes(b"no key at all")


def open_to_others(ward: Ward) -> None:
    ward.file.chmod(0o644)


def of_another_key(ward: Ward) -> None:
    mixed = tls.key_to_pem(tls.new_key()) + ward.bundle().leaf_pem + ward.bundle().ca_pem
    ward.file.write_bytes(mixed)


def of_no_ca_in_it(ward: Ward) -> None:
    other = Authority.create(ward.rig.folder / "other", POOL, now())
    own = ward.bundle()
    ward.file.write_bytes(own.key_pem + own.leaf_pem + other.ca_pem)


def of_another_pool(ward: Ward) -> None:
    other = Authority.create(ward.rig.folder / "other", "other-0001", now())
    tls.save_bundle(ward.file, other.bundle(Identity.frontend("other-0001", "acme", "ada"), now()))


def of_an_operator(ward: Ward) -> None:
    tls.save_bundle(ward.file, ward.bundle(ADMIN))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (missing, "CERT_MISSING"),
        (unreadable, "CERT_UNREADABLE"),
        (open_to_others, "KEY_MODE"),
        (of_another_key, "CERT_KEY_MISMATCH"),
        (of_no_ca_in_it, "CERT_UNTRUSTED"),
        (of_another_pool, "CERT_IDENTITY"),
        (of_an_operator, "CERT_IDENTITY"),
    ],
)
def test_the_identitys_file(ward: Ward, spoil: Callable[[Ward], None], reason: str) -> None:
    spoil(ward)
    assert ward.cause() == ("certificate", reason)
    assert exit_code_of(ward.findings) == 3
    remedy = ward.of("certificate").remedy
    assert ("chmod 600" if reason == "KEY_MODE" else "eais join ADDR < token") in remedy
    assert ward.of("address").verdict is Verdict.OK, "the pool is no part of it"
    hidden = {one.check for one in ward.findings if one.because == "certificate"}
    assert {"accepted", "version", "instance", "worker", "renewal"} <= hidden


# times


def test_an_identity_that_has_ended_for_good(ward: Ward) -> None:
    tls.save_bundle(ward.file, ward.bundle(ago=40 * DAY))
    ward.enrol(ago=40 * DAY)
    assert ward.cause() == ("validity", "CERT_EXPIRED")
    assert "eais join" in ward.of("validity").remedy


def test_an_identity_that_has_ended_is_renewed_by_its_enrolment(ward: Ward) -> None:
    tls.save_bundle(ward.file, ward.bundle(ago=DAY))
    assert "renewed by the enrolment" in ward.look()["validity"].text
    assert exit_code_of(ward.findings) == 0
    assert tls.load_bundle(ward.file).not_after > now()


def test_an_identity_whose_time_has_not_come(ward: Ward) -> None:
    tls.save_bundle(ward.file, ward.bundle(ago=-DAY))
    assert ward.cause() == ("validity", "CERT_NOT_YET_VALID")


@pytest.mark.parametrize(
    ("off", "where"), [(DAY, "ahead of"), (-DAY, "behind"), (3 * DAY, "ahead of")]
)
def test_a_clock_that_is_far_off(ward: Ward, off: timedelta, where: str) -> None:
    ward.scene.wall = lambda: now() + off
    assert ward.cause() == ("clock", "CLOCK")
    assert f"or more {where} the pool's" in ward.of("clock").text
    assert "chrony" in ward.of("clock").remedy


@pytest.mark.parametrize("minutes", [-20, 20, 8])
def test_a_clock_that_is_off_by_minutes(ward: Ward, minutes: int) -> None:
    tls.save_bundle(ward.file, ward.bundle(ago=timedelta(minutes=20)))
    ward.scene.wall = lambda: now() + timedelta(minutes=minutes)
    assert ward.cause() == ("clock", "CLOCK")
    assert f"or more {'ahead of' if minutes > 0 else 'behind'} the pool's" in ward.of("clock").text


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (timedelta(0), "0 s"),
        (timedelta(seconds=59), "59 s"),
        (timedelta(minutes=41, seconds=5), "41 min 5 s"),
        (-timedelta(days=2, hours=3, minutes=4), "2 d 3 h"),
    ],
)
def test_durations_in_words(length: timedelta, text: str) -> None:
    assert span(length) == text


# what ends when


def test_no_enrolment(ward: Ward) -> None:
    enrolment_file(ward.file).unlink()
    assert ward.cause() == ("renewal", "CERT_MISSING")
    assert "ends for good" in ward.of("renewal").text


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda ward: ward.enrol(ago=40 * DAY), "CERT_EXPIRED"),
        (lambda ward: enrolment_file(ward.file).write_bytes(b"x"), "CERT_UNREADABLE"),
        (lambda ward: enrolment_file(ward.file).chmod(0o640), "KEY_MODE"),
        (
            lambda ward: ward.enrol(identity=Identity.frontend(POOL, "globex", "ada").enrolment),
            "CERT_IDENTITY",
        ),
    ],
)
def test_an_enrolment_that_is_no_use(
    ward: Ward, spoil: Callable[[Ward], None], reason: str
) -> None:
    spoil(ward)
    assert ward.cause() == ("renewal", reason)
    assert "unless it is renewed before" in ward.of("renewal").text


def test_an_enrolment_of_a_ca_that_signs_no_more(ward: Ward) -> None:
    authority = ward.rig.authority
    authority.set_leaf_life(timedelta(hours=1), now() - 2 * DAY)
    authority.begin_roll(now() - timedelta(hours=1, minutes=30))
    assert authority.advance(now())
    tls.save_bundle(ward.file, ward.bundle())
    ward.look()
    found = ward.of("renewal")
    assert (found.verdict, found.reason) == (Verdict.PROBLEM, "CERT_UNTRUSTED")
    assert "of a CA that signs no more" in found.text


# the way to the manager


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def listening(backlog: int = 8) -> Iterator[socket.socket]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(backlog)
        yield server


def test_nobody_listens(ward: Ward) -> None:
    ward.move(manager=f"127.0.0.1:{closed_port()}")
    assert ward.cause() == ("address", "POOL_UNREACHABLE")
    assert "refused" in ward.of("address").text
    assert exit_code_of(ward.findings) == 4


def test_nobody_answers(ward: Ward) -> None:
    with listening(0) as server:
        # The queue is full, so that the kernel drops whoever else comes.
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(server.getsockname())
        ward.move(manager=f"127.0.0.1:{server.getsockname()[1]}")
        assert ward.cause() == ("address", "POOL_UNREACHABLE")
        assert "doesn't answer within 3 s" in ward.of("address").text
        for each in waiting:
            each.close()


def test_who_answers_says_nothing(ward: Ward) -> None:
    with listening() as server:
        ward.move(manager=f"127.0.0.1:{server.getsockname()[1]}")
        assert ward.cause() == ("address", "POOL_UNREACHABLE")
        assert "says nothing" in ward.of("address").text


def test_there_is_no_way(ward: Ward) -> None:
    ward.move(manager="[fe80::1]:7443")  # link-local, and no link is named
    assert ward.cause() == ("address", "POOL_UNREACHABLE")
    assert "there is no way to [fe80::1]:7443" in ward.of("address").text


def test_a_name_that_dns_doesnt_know(ward: Ward) -> None:
    ward.move(manager="manager.invalid:7443")
    assert ward.cause() == ("address", "POOL_UNREACHABLE")
    assert "can't be looked up" in ward.of("address").text


def test_an_ended_leaf_while_the_pool_is_away_is_no_cause_of_its_own(ward: Ward) -> None:
    tls.save_bundle(ward.file, ward.bundle(ago=DAY))
    ward.move(manager=f"127.0.0.1:{closed_port()}")
    assert ward.cause() == ("address", "POOL_UNREACHABLE")
    assert "is renewed when the pool answers" in ward.of("validity").text


def shake(context: ssl.SSLContext, line: socket.socket) -> None:
    """Shake hands as a server, and hear what the other says."""
    with context.wrap_socket(line, server_side=True) as shaken:
        shaken.recv(1)


@contextmanager
def serving(handle: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server that is no pool's: each connection is handled by the test."""
    with listening() as server:

        def run() -> None:
            while True:
                try:
                    line, _ = server.accept()
                except OSError:
                    return
                with line:
                    try:
                        handle(line)
                    except OSError:
                        continue

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield int(server.getsockname()[1])
        server.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def test_who_answers_speaks_no_tls(ward: Ward) -> None:
    with serving(lambda line: line.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as port:
        ward.move(manager=f"127.0.0.1:{port}")
        assert ward.cause() == ("address", "SERVER_UNTRUSTED")


def test_a_server_of_another_ca(ward: Ward) -> None:
    other = Authority.create(ward.rig.folder / "other", POOL, now())
    where = ward.rig.serve_with(
        replace(other.bundle(Identity.manager(POOL), now()), ca_pem=other.ca_pem)
    )
    ward.move(manager=str(where))
    assert ward.cause() == ("server", "SERVER_UNTRUSTED")
    assert "of no CA that your identity trusts" in ward.of("server").text


@pytest.mark.parametrize("ago", [DAY, 500 * DAY])
def test_a_web_server_at_the_managers_address(ward: Ward, tmp_path: Path, ago: timedelta) -> None:
    """Whose certificate names nobody, and says nothing of the clock when it has ended."""
    key, name = tls.new_key(), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "web")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now() - ago)
        .not_valid_after(now() - ago + 365 * DAY)
        .sign(key, hashes.SHA256())
    )
    identity = tmp_path / "web.pem"
    identity.write_bytes(tls.key_to_pem(key) + made.public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity)

    with serving(partial(shake, context)) as port:
        ward.move(manager=f"127.0.0.1:{port}")
        assert ward.cause() == ("server", "SERVER_UNTRUSTED")
        assert "nobody that it names" in ward.of("server").text


def test_another_server_of_the_pool(ward: Ward) -> None:
    where = ward.rig.serve(Identity.listener(POOL, "host-9"))
    ward.move(manager=str(where))
    assert ward.cause() == ("server", "SERVER_UNTRUSTED")
    assert "host-9.listener" in ward.of("server").text


def test_a_server_that_refuses_without_a_word(ward: Ward) -> None:
    """As gRPC's do: the leaf is of a CA that the server doesn't know."""
    other = Authority.create(ward.rig.folder / "other", POOL, now())
    both = other.ca_pem + ward.rig.authority.ca_pem
    tls.save_bundle(ward.file, replace(other.bundle(ADA, now()), ca_pem=both))
    enrolment_file(ward.file).unlink()
    ward.look()
    found = ward.of("accepted")
    assert (found.verdict, found.reason) == (Verdict.PROBLEM, "CERT_UNTRUSTED")
    assert "of another CA than the server's" in found.text
    assert ward.of("instance").because == "accepted"


def test_a_server_that_says_why_it_refuses(ward: Ward, tmp_path: Path) -> None:
    """By TLS's alert, which gRPC would not pass on."""
    other = Authority.create(ward.rig.folder / "other", POOL, now())
    identity = tmp_path / "server.pem"
    tls.save_bundle(identity, ward.bundle(Identity.manager(POOL)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity)
    context.load_verify_locations(cadata=other.ca_pem.decode())
    context.verify_mode = ssl.CERT_OPTIONAL

    with serving(partial(shake, context)) as port:
        ward.move(manager=f"127.0.0.1:{port}")
        assert ward.cause() == ("accepted", "CERT_UNTRUSTED")
        assert "UNKNOWN_CA" in ward.of("accepted").text


@pytest.mark.parametrize(
    ("alert", "reason"),
    [
        ("SSLV3_ALERT_CERTIFICATE_EXPIRED", "CERT_EXPIRED"),
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "CERT_MISSING"),
        ("SSLV3_ALERT_UNSUPPORTED_CERTIFICATE", "CERT_USAGE"),
        ("TLSV1_ALERT_ACCESS_DENIED", "UNAUTHENTICATED"),
        ("", "UNAUTHENTICATED"),
    ],
)
def test_what_an_alert_means(ward: Ward, alert: str, reason: str) -> None:
    manager = tls.load_certificates(ward.bundle(Identity.manager(POOL)).leaf_pem)[0]
    found = refusal(alert, ward.bundle(), manager)
    assert (found.reason, alert in found.message) == (reason, True)


def test_another_version(ward: Ward) -> None:
    ward.manager.version = 2
    assert ward.cause() == ("version", "VERSION_UNSUPPORTED")
    assert "eais-manager/9.9: wire version 2" in ward.of("version").text


# what the pool gives


def test_nothing_is_attached(ward: Ward) -> None:
    ward.manager.instances.clear()
    assert ward.cause() == ("instance", "NOT_ATTACHED")
    assert ward.of("worker").because == "instance"
    assert ward.of("quota").verdict is Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("state", "reason"),
    [(InstanceState.BOUND, "INSTANCE_STOPPED"), (InstanceState.FAILED, "NOT_ATTACHED")],
)
def test_an_instance_that_cannot_be_called(ward: Ward, state: InstanceState, reason: str) -> None:
    ward.manager.instances[0].state = pool_pb2.InstanceState.Value(state.value)  # type: ignore[assignment]
    assert ward.cause() == ("instance", reason)


def test_a_worker_on_a_simulated_device(ward: Ward) -> None:
    ward.look()
    assert "simulated" not in ward.of("worker").text
    ward.manager.instances[0].workers[0].simulated = True
    ward.look()
    assert ward.of("worker").text.endswith("on cpu0 (simulated)")


def test_no_worker_serves(ward: Ward) -> None:
    ward.manager.instances[0].workers[0].serving = False
    assert ward.cause() == ("worker", "NO_WORKER")
    ward.manager.instances[0].ClearField("workers")
    assert ward.cause() == ("worker", "NO_WORKER")


def test_the_listener_isnt_reached_by_the_vnic(ward: Ward) -> None:
    ward.manager.instances[0].listener.port = closed_port()
    assert ward.cause() == ("listener", "HOST_UNREACHABLE")
    assert f"the listener of {EI}, by its vNIC (host)" in ward.of("listener").text
    assert ward.of("worker").because == "listener"


def test_a_worker_isnt_reached_by_the_vnic(ward: Ward) -> None:
    ward.manager.instances[0].workers[0].endpoint.port = closed_port()
    assert ward.cause() == ("worker", "HOST_UNREACHABLE")


def test_a_pool_on_loopback_that_is_another_machines(ward: Ward) -> None:
    instance = ward.manager.instances[0]
    instance.vnic.driver = "loopback"
    instance.listener.port = closed_port()
    ward.look()
    assert "eais pool up --bind ADDRESS" in ward.of("listener").remedy


def test_somebody_else_at_a_workers_address(ward: Ward) -> None:
    instance = ward.manager.instances[0]
    instance.workers[0].endpoint.port = instance.listener.port
    assert ward.cause() == ("worker", "SERVER_UNTRUSTED")


def test_no_landlock(ward: Ward) -> None:
    ward.manager.instances[0].workers[0].isolation = 1
    assert ward.cause() == ("isolation", "ISOLATION_UNAVAILABLE")
    assert "its back-end's operator sees why" in ward.of("isolation").text
    ward.become_operator()
    ward.manager.hosts[0].isolation = 1
    ward.manager.hosts[0].isolation_reason = "the kernel has no Landlock, or it is switched off"
    assert ward.cause() == ("isolation", "ISOLATION_UNAVAILABLE")
    assert "the kernel has no Landlock" in ward.of("isolation").text


# for operators


def test_an_operator_sees_hosts_and_quotas(ward: Ward) -> None:
    ward.become_operator()
    found = ward.look()
    assert exit_code_of(ward.findings) == 0
    assert found["hosts"].text == "host-1"


def test_a_quota_that_is_used_up(ward: Ward) -> None:
    ward.become_operator()
    tenant = hosts_pb2.Tenant(name="acme")
    tenant.quotas.add(what="instances", limit=2)
    tenant.quotas.add(what="cpu")
    tenant.used.add(what="instances", limit=2)
    ward.manager.tenants = [tenant]
    ward.look()
    assert exit_code_of(ward.findings) == 0, "it is in use"
    ward.manager.instances.clear()
    ward.look()
    found = ward.of("quota")
    assert (found.verdict, found.reason) == (Verdict.PROBLEM, "QUOTA")
    assert "all that it may have of instances" in found.text


def test_a_back_end_that_the_manager_doesnt_reach(ward: Ward) -> None:
    ward.become_operator()
    ward.manager.hosts[0].reachable = False
    assert ward.cause() == ("hosts", "HOST_UNREACHABLE")
    ward.manager.hosts.clear()
    assert ward.cause() == ("hosts", "HOST_UNREACHABLE")
    assert ward.of("hosts").text == "no host has joined"


def test_an_operator_whose_identity_is_gone(ward: Ward) -> None:
    ward.become_operator()
    ward.store.operator_file("team").unlink()
    assert ward.cause() == ("operator", "CERT_MISSING")
    assert ward.of("worker").verdict is Verdict.OK


def test_files_stay_as_they_were(ward: Ward) -> None:
    before = {path.name: path.read_bytes() for path in ward.file.parent.glob("*.pem")}
    ward.look()
    assert before == {path.name: path.read_bytes() for path in ward.file.parent.glob("*.pem")}
    assert all(stat.S_IMODE(p.stat().st_mode) == 0o600 for p in ward.file.parent.iterdir())


# what explains what


def failing(reason: str) -> Callable[[None], Finding]:
    return lambda scene: problem(make_error(reason, "no"))


def fine(scene: None) -> Finding:
    return ok("yes")


def test_one_cause_hides_what_it_explains_and_no_more() -> None:
    checks = [
        Check("a", failing("CONFIG")),
        Check("b", fine, ("a",)),
        Check("c", fine, ("b",)),
        Check("d", fine),
        Check("e", failing("BUG"), ("d",)),
    ]
    found = examine(checks, None)
    assert [(one.check, one.verdict.name, one.because) for one in found] == [
        ("a", "PROBLEM", ""),
        ("b", "UNKNOWN", "a"),
        ("c", "UNKNOWN", "a"),
        ("d", "OK", ""),
        ("e", "PROBLEM", ""),
    ]
    assert exit_code_of(found) == 2


def test_every_need_is_a_check_that_comes_before() -> None:
    seen: set[str] = set()
    for check in CHECKS:
        assert set(check.needs) <= seen
        seen.add(check.name)


# what models run on


def test_a_user_sees_what_their_sessions_run_on(ward: Ward) -> None:
    assert ward.look()["runtimes"].text == f"the sessions of {EI} run on openvino/fp32"
    ward.manager.sessions = []
    found = ward.look()["runtimes"]
    assert (found.verdict, found.text) == (
        Verdict.UNKNOWN,
        "only an operator sees what devices run models with",
    )
    assert exit_code_of(ward.findings) == 0
    ward.manager.instances[0].ClearField("listener")
    assert ward.look()["runtimes"].verdict is Verdict.UNKNOWN


def device(host: str, kind: str, *runtimes: str, simulated: bool = False) -> hosts_pb2.DeviceUse:
    made = hosts_pb2.Device(id=f"{kind}0", kind=kind, runtimes=runtimes, simulated=simulated)
    return hosts_pb2.DeviceUse(host=host, device=made, reachable=True)


def test_an_operator_sees_what_devices_run_models_with(ward: Ward) -> None:
    ward.become_operator()
    both = ("onnxruntime/fp32", "openvino/fp32")
    ward.manager.devices = [
        device("host-1", "cpu", *both),
        device("host-2", "cpu", *both),
        device("host-1", "gpu", "onnxruntime/fp32", simulated=True),
    ]
    found = ward.look()["runtimes"]
    assert found.text == (
        "cpu: onnxruntime/fp32, openvino/fp32 on host-1, host-2; "
        "gpu (simulated): onnxruntime/fp32 on host-1"
    )
    assert (found.verdict, found.remedy) == (Verdict.OK, "")


def test_an_operator_is_told_of_a_faster_runtime_that_isnt_installed(ward: Ward) -> None:
    ward.become_operator()
    ward.manager.devices = [device(f"host-{n}", "cpu", "onnxruntime/fp32") for n in range(4)]
    found = ward.look()["runtimes"]
    assert found.text == "cpu: onnxruntime/fp32 on 4 hosts"
    assert "`pip install 'eais[openvino]'` for the listener on 4 hosts" in found.remedy
    assert "where its CPU has AVX512-BF16 or AMX" in found.remedy
    assert exit_code_of(ward.findings) == 0


@pytest.mark.parametrize(
    ("flags", "fast"), [("fpu avx512_bf16", True), ("fpu amx_bf16", True), ("fpu avx512f", False)]
)
def test_this_machines_own_pool_is_told_whether_bf16_is_fast(
    ward: Ward, tmp_path: Path, flags: str, fast: bool
) -> None:
    ward.become_operator()
    ward.manager.devices = [device("local", "cpu", "onnxruntime/fp32")]
    ward.scene.runs = lambda path: True
    ward.scene.cpuinfo = tmp_path / "cpuinfo"
    ward.scene.cpuinfo.write_text(f"processor\t: 0\nflags\t\t: {flags}\n")
    ward.move(state_dir=str(tmp_path))
    remedy = ward.look()["runtimes"].remedy
    assert "pip install 'eais[openvino]'" in remedy
    assert ("at which this CPU is fast" in remedy) is fast
