"""A confined worker can still do its work: load a model, and serve it over mutual TLS."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
import onnx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from onnx import TensorProto, helper, numpy_helper

from eais_server.isolation import probe_level

PROGRAM = Path(__file__).with_name("isolation_runtime.py")
ENVIRONMENT = {"LANG": "C.UTF-8", "ORT_DISABLE_TELEMETRY": "1"}
WEIGHTS = np.arange(12, dtype=np.float32).reshape(4, 3)
SERVER_NAME = "1.ei-test.pool.internal"

needs_level_2 = pytest.mark.skipif(
    probe_level().level < 2, reason=f"this host is level 1: {probe_level().reason}"
)


def save_model(folder: Path) -> None:
    """The model of x @ WEIGHTS, with the weights in a file of their own."""
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
        [numpy_helper.from_array(WEIGHTS, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(
        model,
        str(folder / "model"),
        save_as_external_data=True,
        location="weights",
        size_threshold=0,
    )


@dataclass(frozen=True, slots=True)
class Pair:
    """A private key and a certificate, in PEM."""

    key: bytes
    leaf: bytes


@dataclass(frozen=True, slots=True)
class Authority:
    """A throw-away CA."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def make(cls) -> Authority:
        key = ec.generate_private_key(ec.SECP256R1())
        basic = x509.BasicConstraints(ca=True, path_length=0)
        return cls(key, certificate("CA", key.public_key(), key, basic))

    def issue(self, name: str) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        san = x509.SubjectAlternativeName([x509.DNSName(name)])
        return Pair(pem_key(key), pem(certificate("leaf", key.public_key(), self.key, san)))


def certificate(
    subject: str,
    public: ec.EllipticCurvePublicKey,
    signer: ec.EllipticCurvePrivateKey,
    extension: x509.ExtensionType,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(
        issuer_name=named("CA"),
        subject_name=named(subject),
        public_key=public,
        serial_number=x509.random_serial_number(),
        not_valid_before=now - datetime.timedelta(hours=1),
        not_valid_after=now + datetime.timedelta(hours=1),
    )
    return builder.add_extension(extension, critical=True).sign(signer, hashes.SHA256())


def named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])


def pem(found: x509.Certificate) -> bytes:
    return found.public_bytes(serialization.Encoding.PEM)


def pem_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def call(address: str, ca: bytes, client: Pair, request: bytes) -> bytes:
    credentials = grpc.ssl_channel_credentials(ca, client.key, client.leaf)
    options = [("grpc.ssl_target_name_override", SERVER_NAME)]
    with grpc.secure_channel(address, credentials, options) as channel:
        method = channel.unary_unary("/test.Worker/Run", bytes, bytes)
        return bytes(method(request, timeout=30, wait_for_ready=True))


def link_model(store: Path, own: Path) -> None:
    for name in ("model", "weights"):
        os.link(store / name, own / name)


@pytest.mark.parametrize("level", [1, pytest.param(2, marks=needs_level_2)])
def test_a_confined_worker_loads_a_model_and_serves_it(level: int, tmp_path: Path) -> None:
    store, own = tmp_path / "store", tmp_path / "w1"
    store.mkdir()
    own.mkdir()
    save_model(store)
    authority = Authority.make()
    ca, server = pem(authority.certificate), authority.issue(SERVER_NAME)
    secrets = {"ca": ca.decode(), "key": server.key.decode(), "leaf": server.leaf.decode()}
    arguments = [str(level), str(os.getpid()), str(own), str(tmp_path), "127.64.9.1"]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-I", str(PROGRAM), *arguments],
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        env=ENVIRONMENT,
        text=True,
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == f"{level} {own}\n"
        link_model(store, own)
        child.stdin.write(json.dumps(secrets) + "\n")
        child.stdin.flush()
        port = int(child.stdout.readline() or child.communicate()[1])
        x = np.ones((2, 4), np.float32)
        answer = call(f"127.64.9.1:{port}", ca, authority.issue("client"), x.tobytes())
        assert answer == (x @ WEIGHTS).tobytes()
        assert child.communicate() == ("", "")
    assert child.returncode == 0
