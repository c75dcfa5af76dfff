"""The open inference protocol's client against a real server of it."""

from __future__ import annotations

import asyncio
import ipaddress
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import onnx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from onnx import TensorProto, helper

from eais.errors import EaisError, UsageError
from eais_client.load.brain.plan import ModelLoad
from eais_client.load.target import RequestFailed, TargetKind, TargetSpec
from eais_client.load.targets.open_protocol import OpenProtocolTarget
from eais_client.load.testing.open_protocol_server import Behaviour, open_protocol_server

X = np.arange(6, dtype=np.float32).reshape(2, 3)
WORDS = np.array(["a", "ü", ""], object)
FEEDS = {"x": X, "words": WORDS}
MODEL = ModelLoad("two", "")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Gives back numbers doubled, and texts as they are."""
    graph = helper.make_graph(
        [
            helper.make_node("Add", ["x", "x"], ["y"]),
            helper.make_node("Identity", ["words"], ["w"]),
        ],
        "two",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3]),
            helper.make_tensor_value_info("words", TensorProto.STRING, [3]),
        ],
        [
            helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3]),
            helper.make_tensor_value_info("w", TensorProto.STRING, [3]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path_factory.mktemp("model") / "two.onnx"
    onnx.save(model, path)
    return path


@contextmanager
def target(port: int, scheme: str = "grpc", **settings: str) -> Iterator[OpenProtocolTarget]:
    spec = TargetSpec(TargetKind.SERVER, "server", f"{scheme}://127.0.0.1:{port}", settings)
    with closing(OpenProtocolTarget(spec)) as made:
        yield made


def assert_right(answer: Any) -> None:
    numbers, words = answer
    np.testing.assert_array_equal(numbers, X * 2)
    assert words.tolist() == WORDS.tolist()


@pytest.mark.parametrize("typed", [True, False])
def test_answers_are_the_models(file: Path, typed: bool) -> None:
    behaviour = Behaviour({"two": file}, typed=typed)
    with open_protocol_server(behaviour) as port, target(port, channels="3") as made:
        caller = made.open(MODEL, 10.0)
        for _ in range(4):
            assert_right(caller.call(FEEDS, 10.0))
        assert_right(asyncio.run(caller.call_async(FEEDS, 10.0)))
        assert [(each.name, each.type, each.shape) for each in caller.signature.inputs] == [
            ("x", "tensor(float)", [None, 3]),
            ("words", "tensor(string)", [3]),
        ]
        assert made.about() == {"server": "open", "version": "1.0", "tls": "no"}
        assert made.server_times(MODEL) is None
        assert caller.last_split() is None


def test_what_a_server_says_of_its_times_grows_with_its_runs(file: Path) -> None:
    behaviour = Behaviour({"two": file}, statistics=True)
    with open_protocol_server(behaviour) as port, target(port) as made:
        caller = made.open(MODEL, 10.0)
        before = made.server_times(MODEL)
        caller.call(FEEDS, 10.0)
        after = made.server_times(MODEL)
    assert before is not None
    assert after is not None
    assert (before.requests, after.requests, after.executions) == (0, 1, 1)
    assert after.compute_s > before.compute_s == 0.0


def test_failures_are_counted_under_grpcs_status(file: Path) -> None:
    behaviour = Behaviour({"two": file}, fails_with=grpc.StatusCode.RESOURCE_EXHAUSTED)
    with open_protocol_server(behaviour) as port, target(port) as made:
        caller = made.open(MODEL, 10.0)
        with pytest.raises(RequestFailed, match="as its behaviour says") as failed:
            caller.call(FEEDS, 10.0)
        with pytest.raises(RequestFailed) as failed_async:
            asyncio.run(caller.call_async(FEEDS, 10.0))
    assert failed.value.reason == failed_async.value.reason == "RESOURCE_EXHAUSTED"


@pytest.mark.parametrize("answer", [b"\xff\xff\xff", b""])
def test_an_answer_that_is_none_is_a_failure(file: Path, answer: bytes) -> None:
    behaviour = Behaviour({"two": file}, answers=answer)
    with open_protocol_server(behaviour) as port, target(port) as made:
        caller = made.open(MODEL, 10.0)
        with pytest.raises(RequestFailed) as failed:
            caller.call(FEEDS, 10.0)
        with pytest.raises(RequestFailed) as failed_async:
            asyncio.run(caller.call_async(FEEDS, 10.0))
    assert failed.value.reason in ("INTERNAL", "MALFORMED_ANSWER")
    assert failed_async.value.reason in ("INTERNAL", "MALFORMED_ANSWER")


def test_a_server_that_has_ended_is_unavailable(file: Path) -> None:
    with open_protocol_server(Behaviour({"two": file})) as port:
        spec = TargetSpec(TargetKind.SERVER, "server", f"grpc://127.0.0.1:{port}")
        made = OpenProtocolTarget(spec)
        caller = made.open(MODEL, 10.0)
    with closing(made), pytest.raises(RequestFailed) as failed:
        caller.call(FEEDS, 10.0)
    assert failed.value.reason in ("UNAVAILABLE", "CANCELLED")
    with pytest.raises(EaisError, match="server doesn't answer") as refused, target(port):
        pytest.fail("it was opened")
    assert refused.value.reason == "HOST_UNREACHABLE"


def test_a_model_that_there_isnt_is_named_with_those_that_there_are(file: Path) -> None:
    with open_protocol_server(Behaviour({"two": file})) as port, target(port) as made:
        with pytest.raises(
            UsageError, match=r"server: no model 'tow': unknown model tow"
        ) as failed:
            made.open(ModelLoad("tow", ""), 10.0)
        assert (failed.value.reason, failed.value.hint) == ("NOT_FOUND", "there are two")


def test_a_model_that_isnt_ready_is_said_to_be_so(file: Path) -> None:
    behaviour = Behaviour({"two": file}, unready=frozenset({"two"}))
    with (
        open_protocol_server(behaviour) as port,
        target(port) as made,
        pytest.raises(EaisError, match="'two' isn't ready"),
    ):
        made.open(MODEL, 10.0)


def test_a_server_that_lets_nobody_in_isnt_said_to_lack_the_model(file: Path) -> None:
    behaviour = Behaviour({"two": file})
    with open_protocol_server(behaviour) as port, target(port) as made:
        behaviour.refuses_with = grpc.StatusCode.PERMISSION_DENIED
        with pytest.raises(EaisError, match="PERMISSION_DENIED: nobody is let in") as failed:
            made.open(MODEL, 10.0)
    assert failed.value.reason == "RUN_FAILED"


def test_another_grpc_server_is_none_of_the_protocol() -> None:
    from concurrent.futures import ThreadPoolExecutor

    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with (
        pytest.raises(UsageError, match="doesn't speak the open inference") as failed,
        target(port),
    ):
        pytest.fail("it was opened")
    server.stop(None).wait()
    assert "gRPC port" in failed.value.hint


def test_a_web_server_is_none_either() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        with pytest.raises(EaisError, match="doesn't answer") as failed, target(server.server_port):
            pytest.fail("it was opened")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert failed.value.reason == "HOST_UNREACHABLE"


@pytest.fixture(scope="module")
def pems(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes, Path]:
    """A key, its certificate for 127.0.0.1, and a file with that."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "server")])
    now = datetime.now(UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    ca = tmp_path_factory.mktemp("tls") / "ca.pem"
    ca.write_bytes(certificate)
    return private, certificate, ca


def test_tls_is_spoken_where_it_is_asked_for(file: Path, pems: tuple[bytes, bytes, Path]) -> None:
    key, certificate, ca = pems
    with (
        open_protocol_server(Behaviour({"two": file}), (key, certificate)) as port,
        target(port, "grpcs", tls_ca=str(ca)) as made,
    ):
        caller = made.open(MODEL, 10.0)
        assert_right(caller.call(FEEDS, 10.0))
        assert_right(asyncio.run(caller.call_async(FEEDS, 10.0)))
        assert made.about()["tls"] == "yes"


@pytest.mark.parametrize(("with_tls", "scheme"), [(True, "grpc"), (False, "grpcs")])
def test_tls_on_one_side_alone_is_no_way_to_talk(
    file: Path, pems: tuple[bytes, bytes, Path], with_tls: bool, scheme: str
) -> None:
    tls = pems[:2] if with_tls else None
    with (
        open_protocol_server(Behaviour({"two": file}), tls) as port,
        pytest.raises(EaisError, match="doesn't answer") as failed,
        target(port, scheme),
    ):
        pytest.fail("it was opened")
    assert "grpcs:// speaks TLS" in failed.value.hint


@pytest.mark.parametrize(
    "place",
    [
        "127.0.0.1:8001",
        "http://h:1",
        "grpc://h",
        "grpc://h:no",
        "grpc://h:99999",
        "grpc://h:1/v2",
        "grpc://[::1",
    ],
)
def test_a_place_that_is_none_is_said_to_be_so(place: str) -> None:
    with pytest.raises(UsageError, match="not as grpc://HOST:PORT"):
        OpenProtocolTarget(TargetSpec(TargetKind.SERVER, "server", place))


@pytest.mark.parametrize(
    ("scheme", "settings", "said"),
    [
        ("grpc", {"channels": "0"}, "channels=0: not a number of connections"),
        ("grpc", {"channels": "-1"}, "channels=-1"),
        ("grpc", {"tls_ca": "x"}, "tls_ca is of no use with grpc://"),
        ("grpcs", {"tls_ca": "/nowhere/ca.pem"}, "tls_ca=/nowhere/ca.pem: No such file"),
        ("grpc", {"channels": "65"}, "channels=65: not a number of connections, 1 to 64"),
        ("grpcs", {"tls_ca": "/dev/null"}, "tls_ca=/dev/null: nothing in PEM is in it"),
        # This file has what PEM begins with: -----BEGIN here.
        ("grpcs", {"tls_cert": __file__}, "tls_cert and tls_key are of use together only"),
    ],
)
def test_settings_that_are_none_are_said_to_be_so(
    scheme: str, settings: dict[str, str], said: str
) -> None:
    with pytest.raises(UsageError, match=said), target(1, scheme, **settings):
        pytest.fail("it was opened")
