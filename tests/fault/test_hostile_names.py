"""Names that are paths, options, or nothing that can be written."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eais.rpc import client, verbs
from eais.rpc.v1 import listener_pb2, pool_pb2
from tests.fault.conftest import RecordedStack
from tests.fault.hostile_models import W
from tests.system.raw import open_session, refusal
from tests.system.stack import Stack, op
from tests.unit.server.runtime import models

NAMES = {
    "above": "../x",
    "below": "a/b",
    "blank above": " ..",
    "nul": "a\0b",
    "300 characters": "a" * 300,
    "emoji": "🙂",
    "option": "-rf",
    "device of DOS": "CON",
    "dots": "..",
    "an instance's, and above": "ei-1/../ei-2",
    "an instance's, in another script": "ei-\u0661",
    "an instance's, too long": "ei-" + "a" * 62,
    "a new line": "ei-1\n",
}
Ask = Callable[[Stack, pool_pb2.Instance, str], Any]


def on_manager(verb: Any, message: Any) -> Ask:
    def ask(stack: Stack, at: pool_pb2.Instance, name: str) -> None:
        about = {} if message is pool_pb2.DescribeRequest else {"op_id": op()}
        stack.ask(verb, message(instance=name, **about))

    return ask


def on_listener(stack: Stack, at: pool_pb2.Instance, name: str) -> None:
    with stack.dial(at.listener, stack.frontend()) as line:
        request = listener_pb2.LocateRequest(instance=name, epoch=1)
        client.call(line, verbs.LISTENER_LOCATE, request, timeout_s=30, unreachable="X")


def pushed(stack: Stack, at: pool_pb2.Instance, name: str) -> None:
    with stack.dial(at.listener, stack.frontend()) as line:
        sent = [listener_pb2.PushChunk(instance=name, epoch=1, sha256=bytes(32), size=1)]
        client.upload(line, verbs.LISTENER_PUSH, sent, timeout_s=30, unreachable="X")


def as_location(stack: Stack, at: pool_pb2.Instance, name: str) -> None:
    open_session(stack, at, models.relu(), {name: W})


PLACES: dict[str, Ask] = {
    "describe": on_manager(verbs.POOL_DESCRIBE, pool_pb2.DescribeRequest),
    "attach": on_manager(verbs.POOL_ATTACH, pool_pb2.AttachRequest),
    "start": on_manager(verbs.POOL_START, pool_pb2.InstanceRequest),
    "stop": on_manager(verbs.POOL_STOP, pool_pb2.InstanceRequest),
    "resize": on_manager(verbs.POOL_RESIZE, pool_pb2.ResizeRequest),
    "detach": on_manager(verbs.POOL_DETACH, pool_pb2.InstanceRequest),
    "delete": on_manager(verbs.POOL_DELETE, pool_pb2.InstanceRequest),
    "locate": on_listener,
    "push": pushed,
    "location": as_location,
}
# A model's files may be called so, and are by some exporters.
LEGAL_LOCATIONS = {"below", "blank above", "emoji", "option", "device of DOS"}
LEGAL_LOCATIONS |= {"an instance's, in another script", "an instance's, too long"}


def command_line(config: Path, name: str) -> list[tuple[int, str]]:
    """What commands that take a name say: exit code and standard error."""
    commands = [
        ["describe", f"--context={name}", "ei-1"],
        ["describe", "--", name],
        ["context", "use", "--", name],
        ["pool", "status", f"--name={name}"],
    ]
    said = []
    for words in commands:
        done = subprocess.run(
            [str(Path(sys.executable).with_name("eais")), *words],
            env=os.environ | {"EAIS_CONFIG_DIR": str(config)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        said.append((done.returncode, done.stderr + done.stdout))
    return said


COMMAND_LINE = "command line"
CASES = [(place, name) for place in PLACES for name in NAMES]
# A process a word is slow; the other words are tried in one process by the unit tests.
CASES += [(COMMAND_LINE, name) for name in ("above", "emoji", "option")]


@pytest.mark.hostile("names")
@pytest.mark.parametrize(("place", "name"), CASES)
def test_a_name_that_cant_be(
    stack: RecordedStack,
    instance: pool_pb2.Instance,
    client_home: Path,
    place: str,
    name: str,
) -> None:
    if place == "location" and name in LEGAL_LOCATIONS:
        assert open_session(stack, instance, models.relu(), {NAMES[name]: W}).id
    elif place != COMMAND_LINE:
        error = refusal(PLACES[place], stack, instance, NAMES[name])
        assert error.reason == "NAME"
        assert len(error.message) < 512
        assert error.message.isprintable()
    else:
        for code, text in command_line(client_home, NAMES[name]):
            stack.heard.say(text)
            assert (code, text.count("\n")) == (2, 1), text
            assert text.startswith("error: NAME: ")
