"""What an agent holds, on disk: a file each, whole or not there, in its state directory."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from google.protobuf.message import DecodeError

from eais import files
from eais.errors import ConfigError, EaisError
from eais.net.messages import plan_message, plan_of
from eais.net.plan import Side, VnicKey
from eais.net.traffic import Traffic
from eais.rpc.v1 import net_pb2
from eais_server.net.brain.actions import Write, after
from eais_server.net.brain.records import (
    Counted,
    Held,
    Place,
    Record,
    State,
    Tombstone,
)

_SUFFIX: Final = ".end.json"
_NAME_HEX: Final = 32


class Books:
    """The records of an agent, one process's at a time.

    Args:
        directory: of mode 0700, the agent's alone.
    """

    def __init__(self, directory: Path, disk: files.DiskOps = files.DISK) -> None:
        self._directory = directory
        self._disk = disk

    def read(self) -> State:
        """All that is held.

        Raises:
            ConfigError: STATE_DIR, a file can't be read, or isn't what an agent writes.
        """
        state = State()
        with _said_of(self._directory):
            files.private_dir(self._directory, self._disk)
            files.remove_leftovers(self._directory)
            paths = sorted(self._directory.glob(f"*{_SUFFIX}"))
        for path in paths:
            state = after(state, Write(_read(path)))
        return state

    def write(self, record: Record) -> None:
        """Put a record in the place of the one of its name, durably. ConfigError STATE_DIR."""
        path = self._path(record.key)
        text = json.dumps(_as_json(record), indent=1)
        with _said_of(path):
            files.replace_file(path, text.encode(), disk=self._disk)

    def drop(self, key: VnicKey) -> None:
        """Take a record away, durably; none is nothing. ConfigError STATE_DIR."""
        path = self._path(key)
        with _said_of(path):
            files.remove_file(path, self._disk)

    def _path(self, key: VnicKey) -> Path:
        digest = sha256("\0".join(_words(key)).encode()).hexdigest()
        return self._directory / f"{digest[:_NAME_HEX]}{_SUFFIX}"


def _read(path: Path) -> Record:
    with _said_of(path):
        text = files.read_private(path)
    try:
        return _of_json(json.loads(text))
    except (ValueError, KeyError, TypeError, DecodeError, EaisError) as error:
        hint = "it isn't what a network agent writes: take it away, and plans bring it again"
        raise ConfigError("STATE_DIR", f"{path} can't be read", hint=hint) from error


def _words(key: VnicKey) -> list[str]:
    return [key.pool, key.instance, key.host, key.side.value]


def _as_json(record: Record) -> dict[str, Any]:
    if isinstance(record, Tombstone):
        said = {"uid": record.uid, "least": record.least, "until_s": record.until_s}
        return {"tombstone": _words(record.key), **said}
    plan = plan_message(record.plan).SerializeToString(deterministic=True)
    return {
        "held": record.key.instance,  # for who looks into the file
        "plan": b64encode(plan).decode(),
        "uid": record.uid,
        "place": list(record.place),
        "ports": list(record.ports),
        "cap_bytes_per_s": record.cap_bytes_per_s,
        "leaving": record.leaving,
        "over": record.over,
        "passed": asdict(record.passed),
        "seen": {"index": record.seen.index, "traffic": asdict(record.seen.traffic)},
    }


def _of_json(said: dict[str, Any]) -> Record:
    if "tombstone" in said:
        pool, instance, host, side = said["tombstone"]
        key = VnicKey(pool, instance, host, Side(side))
        return Tombstone(key, int(said["uid"]), int(said["least"]), int(said["until_s"]))
    plan = net_pb2.NetPlan.FromString(b64decode(said["plan"], validate=True))
    namespace, interface = said["place"]
    return Held(
        plan_of(plan),
        int(said["uid"]),
        Place(int(namespace), str(interface)),
        tuple(int(port) for port in said["ports"]),
        int(said["cap_bytes_per_s"]),
        bool(said["leaving"]),
        int(said["over"]),
        Traffic(**said["passed"]),
        Counted(int(said["seen"]["index"]), Traffic(**said["seen"]["traffic"])),
    )


@contextmanager
def _said_of(path: Path) -> Iterator[None]:
    try:
        yield
    except files.UnsafePath as error:
        raise ConfigError("STATE_DIR", str(error)) from None
    except OSError as error:
        raise ConfigError("STATE_DIR", f"{path}: {error.strerror or error}") from error
