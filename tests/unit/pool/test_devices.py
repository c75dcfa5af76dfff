"""Devices as a listener tells of them, and as an operator is shown them."""

from __future__ import annotations

from dataclasses import replace

from eais.rpc.v1 import hosts_pb2
from eais_pool.admin import device_health
from eais_pool.brain.host_records import Endpoint, HostRecord
from eais_pool.reports import joined
from eais_pool.testing.brains import device
from eais_pool.wire import device_message

HOST = HostRecord("h1", "b", Endpoint("127.0.0.1", 1), 2, "", (device(),))


def test_what_is_told_of_a_device_is_what_is_shown() -> None:
    told = device_message(replace(device(), runtimes=("onnxruntime/fp32", "other/bf16")))
    (kept,) = joined("h1", hosts_pb2.Join(devices=[told])).host.devices
    assert device_message(kept) == told
    assert kept.runtimes == ("onnxruntime/fp32", "other/bf16")


def test_health_names_what_matters_most() -> None:
    away, fewer = replace(device(), present=False), replace(device(), overdrawn=True)
    assert device_health(HOST, device()) == "ok"
    assert device_health(HOST, fewer) == "overdrawn"
    assert device_health(HOST, away) == "gone"
    assert device_health(replace(HOST, reachable=False), away) == "unreachable"
