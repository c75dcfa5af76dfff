"""Who has no right to join, or asks for more than the token gives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from eais import tls
from eais.errors import EaisError
from eais.identity import Identity
from eais.join_token import JoinToken
from eais.rpc import client, verbs
from eais.rpc.hello import hello
from eais.rpc.status import error_of_rpc
from eais.rpc.v1 import enrolment_pb2, hosts_pb2, pool_pb2, worker_pb2
from tests.system.raw import refusal
from tests.system.stack import Stack, op

UNREACHABLE = "POOL_UNREACHABLE"
GUESSES = 3_000
NEVER = JoinToken(bytes(32), b"\xaa" * 20).secret_text


def secret_of(stack: Stack, purpose: str = "frontend") -> str:
    """The secret of a new token."""
    request = hosts_pb2.CreateTokenRequest(
        op_id=op(), purpose=purpose, tenant="default" if purpose == "frontend" else "", name="box"
    )
    operator = stack.bundle(Identity.operator(stack.pool, "test"))
    with stack.dial(stack.endpoint("management"), operator) as line:
        reply = client.call(
            line, verbs.POOL_ADMIN_CREATE_TOKEN, request, timeout_s=30, unreachable=UNREACHABLE
        )
    return JoinToken.parse(reply.token).secret_text


def asking(secret: str, purpose: str = "frontend", **changes: Any) -> enrolment_pb2.SignCsrRequest:
    csrs: dict[str, bytes] = {
        "csr_pem": tls.make_csr(tls.new_key()),
        "enrolment_csr_pem": tls.make_csr(tls.new_key()),
        **changes,
    }
    return enrolment_pb2.SignCsrRequest(
        hello=hello("eais-test"), secret=secret, purpose=purpose, **csrs
    )


def sign(line: grpc.Channel, request: Any) -> enrolment_pb2.SignCsrReply:
    return client.call(
        line, verbs.ENROLMENT_SIGN_CSR, request, timeout_s=30, unreachable=UNREACHABLE
    )


def sign_at(stack: Stack, request: Any) -> enrolment_pb2.SignCsrReply:
    """As a machine that has no certificate yet."""
    with stack.dial(stack.endpoint("enrolment"), None) as line:
        return sign(line, request)


@pytest.mark.hostile("join-token")
def test_a_token_that_is_not_good(stack: Stack) -> None:
    used, operators = secret_of(stack), secret_of(stack, "operator")
    sign_at(stack, asking(used))
    wrong = {
        "stolen after its use": asking(used),
        "of another purpose": asking(operators),
        "of no purpose": asking(operators, "manager"),
        "never made": asking(NEVER),
        "empty": asking(""),
        "endless": asking("A" * 100_000),
        "not of this alphabet": asking("é" * 40),
    }
    said = {what: refusal(sign_at, stack, request) for what, request in wrong.items()}
    assert {(error.reason, error.message, error.hint) for error in said.values()} == {
        ("TOKEN", said["never made"].message, said["never made"].hint)
    }
    # What was tried in vain is as good as before.
    assert sign_at(stack, asking(operators, "operator")).pool == stack.pool


def csr(key: Any = None, *names: x509.GeneralName, ca: bool = False, subject: str = "") -> bytes:
    attributes = [x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)] if subject else []
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(attributes))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if ca:
        builder = builder.add_extension(x509.BasicConstraints(True, None), critical=True)
    return builder.sign(key or tls.new_key(), hashes.SHA256()).public_bytes(Encoding.PEM)


def foreign(stack: Stack) -> x509.GeneralName:
    return x509.UniformResourceIdentifier(Identity.frontend(stack.pool, "another", "owner").uri)


ASKED: dict[str, Callable[[Stack], bytes]] = {
    "to be an authority": lambda stack: csr(ca=True),
    "a wildcard": lambda stack: csr(None, x509.DNSName("*.internal")),
    "a wildcard as its subject": lambda stack: csr(subject="*.internal"),
    "a weak key": lambda stack: csr(rsa.generate_private_key(65537, 1024)),  # noqa: S505
    "another tenant": lambda stack: csr(None, foreign(stack)),
    "the manager's name": lambda stack: csr(
        None, x509.DNSName(Identity.manager(stack.pool).dns_name or "")
    ),
    "nothing": lambda stack: b"",
    "garbage": lambda stack: b"\xff" * 4096,
}


@pytest.mark.hostile("join-csr")
@pytest.mark.parametrize("what", ASKED)
def test_a_signing_request_that_asks_for_more(stack: Stack, what: str) -> None:
    secret, wrong = secret_of(stack), ASKED[what](stack)
    for field in ("csr_pem", "enrolment_csr_pem"):
        asked: dict[str, Any] = {field: wrong}
        error = refusal(sign_at, stack, asking(secret, **asked))
        assert error.reason == "CSR_REFUSED"
    reply = sign_at(stack, asking(secret))
    (leaf,) = tls.load_certificates(reply.leaf_pem)
    assert len(leaf.subject) == 0


@pytest.mark.hostile("join-replay")
def test_a_signing_request_that_was_seen_before(stack: Stack) -> None:
    first, second = secret_of(stack), secret_of(stack)
    seen = asking(first)
    sign_at(stack, seen)
    for again in (
        asking(second, csr_pem=seen.csr_pem),
        asking(second, enrolment_csr_pem=seen.enrolment_csr_pem),
        asking(second, csr_pem=seen.enrolment_csr_pem, enrolment_csr_pem=seen.csr_pem),
    ):
        assert refusal(sign_at, stack, again).reason == "CSR_REFUSED"
    one = tls.make_csr(tls.new_key())
    both = asking(second, csr_pem=one, enrolment_csr_pem=one)
    assert refusal(sign_at, stack, both).reason == "CSR_REFUSED"
    sign_at(stack, asking(second))


def stream_as(stack: Stack, worker: pool_pb2.WorkerEndpoint, shown: tls.Bundle) -> None:
    with stack.dial(worker.endpoint, shown) as line:
        first = worker_pb2.ToWorker(hello=hello("eais-test"))
        try:
            next(client.stream(line, verbs.WORKER_STREAM, [first]))
        except grpc.RpcError as error:
            raise error_of_rpc(error, "HOST_UNREACHABLE") from None


def greet_as(stack: Stack, plane: str, verb: Any, shown: tls.Bundle) -> None:
    with stack.dial(stack.endpoint(plane), shown) as line:
        client.call(line, verb, hello("eais-test"), timeout_s=30, unreachable=UNREACHABLE)


@pytest.mark.hostile("enrolment-misused")
def test_an_enrolment_is_good_for_the_next_leaf_alone(
    stack: Stack, instance: pool_pb2.Instance
) -> None:
    owner = Identity.frontend(stack.pool, "default", "owner").enrolment
    shown = stack.bundle(owner)
    assert refusal(stream_as, stack, instance.workers[0], shown).reason == "PERMISSION_DENIED"
    assert refusal(greet_as, stack, "user", verbs.POOL_GREET, shown).reason == "PERMISSION_DENIED"
    host = stack.bundle(Identity.listener(stack.pool, "local").enrolment)
    operator = stack.bundle(Identity.operator(stack.pool, "op").enrolment)
    for bundle in (shown, host, operator):
        for verb in (verbs.HOSTS_GREET, verbs.POOL_ADMIN_GREET):
            assert refusal(greet_as, stack, "management", verb, bundle).reason == (
                "PERMISSION_DENIED"
            )


# The last: this machine's address has to wait from then on.
@pytest.mark.hostile("join-guesses")
def test_guesses_by_the_thousand(stack: Stack) -> None:
    found: Counter[str] = Counter()

    def guess(line: grpc.Channel, n: int) -> EaisError:
        return refusal(
            sign, line, asking(NEVER[:-4] + f"{n:04d}", csr_pem=b"", enrolment_csr_pem=b"")
        )

    with (
        stack.dial(stack.endpoint("enrolment"), None) as line,
        ThreadPoolExecutor(8) as threads,
    ):
        for error in threads.map(lambda n: guess(line, n), range(GUESSES)):
            found[error.reason] += 1
            assert error.reason != "BUSY" or int(error.metadata["push_back_ms"]) > 0
    assert set(found) == {"TOKEN", "BUSY"}
    assert found["TOKEN"] <= GUESSES // 20
    # Nobody else waits for it: operators, front-ends.
    secret_of(stack)
    greet_as(stack, "user", verbs.POOL_GREET, stack.frontend())
