"""Which transport a session's calls go by: who says so, and what comes of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import eais
import eais.aio
from eais.errors import ConfigError, UsageError
from eais.instance_policy import RingPolicy
from eais_client.brain.transport import Transport, transport_of
from eais_client.config import ClientConfig
from eais_client.frontend import FrontEnd
from eais_client.instances import Address
from eais_client.testing import FakeWire, fake_instance
from eais_client.testing.conformance import own_models
from eais_client.testing.fake_tools import FakeTools
from eais_client.testing.fake_wire import FakeStream
from eais_client.wire import StreamEvents
from tests.unit.client.ort_host import OrtHost

MUL = own_models()["mul_1"]
FEED = {"X": np.ones((3, 2), np.float32)}


class Noted(FakeWire):
    """A wire that notes by what its streams are to go."""

    def __init__(self) -> None:
        super().__init__(OrtHost(), fake_instance())
        self.by: list[Transport] = []

    def stream(
        self,
        number: int,
        worker: Address,
        events: StreamEvents,
        transport: Transport = Transport.AUTO,
        ring: RingPolicy = RingPolicy.AUTO,
    ) -> FakeStream:
        self.by.append(transport)
        return super().stream(number, worker, events, transport, ring)


@pytest.fixture
def wire() -> Noted:
    return Noted()


@pytest.fixture
def frontend(wire: Noted, monkeypatch: pytest.MonkeyPatch) -> Iterator[FrontEnd]:
    monkeypatch.delenv("EAIS_TRANSPORT", raising=False)
    made = FrontEnd(wire, ClientConfig(transport="grpcio"), FakeTools().tools())
    yield made
    made.close()


def options(transport: str) -> eais.SessionOptions:
    made = eais.SessionOptions()
    made.add_session_config_entry("eais.transport", transport)
    return made


@pytest.mark.parametrize(
    ("argument", "entry", "variable", "by"),
    [
        (None, None, None, "grpcio"),
        (None, None, "h2", "h2"),
        (None, "auto", "h2", "auto"),
        ("ring", "auto", "h2", "ring"),
    ],
)
def test_the_nearest_word_counts(
    frontend: FrontEnd,
    wire: Noted,
    monkeypatch: pytest.MonkeyPatch,
    argument: str | None,
    entry: str | None,
    variable: str | None,
    by: str,
) -> None:
    if variable is not None:
        monkeypatch.setenv("EAIS_TRANSPORT", variable)
    given = None if entry is None else options(entry)
    session = eais.InferenceSession(MUL, given, transport=argument, frontend=frontend)
    session.run(None, FEED)
    assert wire.by == [by]


def test_where_a_session_is_awaited_it_may_be_said_too(frontend: FrontEnd) -> None:
    assert "h2" in repr(eais.aio.InferenceSession(MUL, transport="h2", frontend=frontend)._make)


def test_workers_dont_hear_of_it(frontend: FrontEnd, wire: Noted) -> None:
    eais.InferenceSession(MUL, frontend=frontend)
    eais.InferenceSession(MUL, options("h2"), frontend=frontend)
    assert len(wire.sessions) == 1


@pytest.mark.parametrize("value", ["", "H2", "tcp", 5])
def test_what_is_no_transport_is_refused(frontend: FrontEnd, wire: Noted, value: Any) -> None:
    with pytest.raises(UsageError, match="auto, ring, h2, grpcio") as caught:
        eais.InferenceSession(MUL, transport=value, frontend=frontend)
    assert caught.value.reason == "ARGUMENT"
    assert wire.said == []


def test_settings_that_name_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="transport must be one of"):
        ClientConfig.of_environ({"EAIS_TRANSPORT": "tcp"}, tmp_path / "config.toml")
    with pytest.raises(UsageError):
        transport_of(None, {"eais.transport": "x"}, "auto")


def test_sessions_of_two_transports_share_the_instance_and_its_news(
    frontend: FrontEnd, wire: Noted
) -> None:
    sessions = [
        eais.InferenceSession(MUL, transport=name, frontend=frontend) for name in ("h2", "grpcio")
    ]
    for session in (*sessions, sessions[0]):
        session.run(None, FEED)
    assert wire.by == [Transport.H2, Transport.GRPCIO]
    (load,) = wire.watches[0].loads()
    assert (load.instance, load.waiting, load.answered) == ("ei-1", 0, 3)
    wire.change("ei-1", workers=())
    assert not any(stream.open for stream in wire.streams)
