"""A back-end's membership of a pool, in its listener's directory.

`joined.json` says where the manager is and at which address this host's instances are;
`identity.pem` and `enrolment.pem` are the listener's. What is written last makes it a member:
whoever is killed on the way has spent a token, and nothing else.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from eais import files, tls
from eais.errors import ConfigError, IdentityError, UsageError
from eais.identity import Role

if TYPE_CHECKING:
    from eais.joining import Joined
    from eais_client.joining import Join

JOINED_FILE: Final = "joined.json"
_NO_GRACE = timedelta(0)
_ROOM_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Membership:
    """What a host keeps of the pool that it is in.

    Attributes:
        host: its name there.
        joined_at: where it joined, as that was typed.
        address: of its instances.
        management: the manager's address and port for listeners.
    """

    pool: str
    host: str
    joined_at: str
    address: str
    management: str


@dataclass(frozen=True, slots=True)
class Certificate:
    """One of a host's two certificates; `fault` says why it is no use, "" if it is."""

    ends: datetime | None
    fault: str


class MemberFiles:
    """The membership below one directory."""

    def __init__(self, directory: Path, wall: Callable[[], datetime]) -> None:
        self.directory = directory
        self._wall = wall

    @property
    def path(self) -> Path:
        """What says where the manager is."""
        return self.directory / JOINED_FILE

    def read(self) -> Membership | None:
        """The membership; None if this host has joined no pool.

        Raises:
            ConfigError: STATE_DIR, the file isn't what joining wrote.
        """
        try:
            data = json.loads(files.read_private(self.path))
            plane = data["management"]
            where = f"{plane['address']}:{plane['port']}"
            return Membership(data["pool"], data["host"], data["joined_at"], data["address"], where)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            why = error.strerror if isinstance(error, OSError) else "not what joining wrote"
            hint = "join again: `eais listener up --join-again`, with a new token"
            raise ConfigError("STATE_DIR", f"{self.path}: {why}", hint=hint) from None

    def leaf(self) -> Certificate:
        """The listener's leaf, which it renews every hour."""
        return self._certificate("identity.pem")

    def enrolment(self) -> Certificate:
        """What the next leaf is asked for with when that has ended."""
        return self._certificate("enrolment.pem")

    def must_join_again(self) -> bool:
        """Whether no certificate is left that could be renewed."""
        return bool(self.leaf().fault and self.enrolment().fault)

    def _certificate(self, name: str) -> Certificate:
        try:
            bundle = tls.load_bundle(self.directory / name)
            tls.check_validity(bundle, self._wall(), _NO_GRACE)
        except IdentityError as error:
            return Certificate(None, str(error))
        return Certificate(bundle.not_after, "")

    def join(self, join: Join, at: str, token: str, address: str, name: str) -> Membership:
        """Join the pool at `at`, as host `name` ("": as the token says).

        Raises:
            UsageError: NAME, the token is another host's: nothing is kept.
            ConfigError: STATE_DIR; CONFIG, PORT.
            IdentityError, Unavailable: as `eais.joining.join`.
        """
        before = self.read()
        self._make_room()
        joined = join(at, token, Role.LISTENER, check_pool=lambda pool: _check_pool(before, pool))
        found, wanted = joined.leaf.identity.name, name or (before.host if before else "")
        if wanted and found != wanted:
            raise UsageError(
                "NAME",
                f"the token is for host {found!r}, and this is {wanted!r}",
                hint=f"ask for another: `eais token create --for listener --name {wanted}`",
            )
        return self._keep(joined, at, address)

    def _make_room(self) -> None:
        """Find out before the token is used whether what it yields can be written."""
        try:
            files.private_dir(self.directory)
            with tempfile.TemporaryFile(dir=self.directory) as probe:
                os.posix_fallocate(probe.fileno(), 0, _ROOM_BYTES)
        except OSError as error:
            raise _unusable(self.directory, error) from None

    def _keep(self, joined: Joined, at: str, address: str) -> Membership:
        try:
            tls.save_bundle(self.directory / "enrolment.pem", joined.enrolment)
            tls.save_bundle(self.directory / "identity.pem", joined.leaf)
            self._write(_record(joined, at, address))
        except OSError as error:
            raise _unusable(self.directory, error) from None
        found = self.read()
        if found is None:
            raise AssertionError(f"{self.path} was written, and isn't there")
        return found

    def move(self, address: str) -> None:
        """Have this host's instances at another address from the listener's next start on."""
        record = json.loads(files.read_private(self.path))
        try:
            self._write({**record, "address": address})
        except OSError as error:
            raise _unusable(self.directory, error) from None

    def _write(self, record: dict[str, Any]) -> None:
        files.replace_file(self.path, json.dumps(record).encode())


def _record(joined: Joined, at: str, address: str) -> dict[str, Any]:
    planes = {"user": joined.user_plane, "management": joined.management_plane}
    return {
        "pool": joined.pool,
        "host": joined.leaf.identity.name,
        "joined_at": at,
        "address": address,
        **{
            name: {"address": p.address, "port": p.port, "server_name": joined.server_name}
            for name, p in planes.items()
        },
    }


def _check_pool(before: Membership | None, pool: str) -> None:
    """Raise UsageError WRONG_STATE, the token unused, if this host is in another pool."""
    if before is not None and before.pool != pool:
        raise UsageError(
            "WRONG_STATE",
            f"this host is in pool {before.pool}, and the token is one of {pool}",
            hint="a host in two pools has two listeners: give this one a --state-dir of its own",
        )


def _unusable(directory: Path, error: OSError) -> ConfigError:
    text = f"{directory}: {error.strerror}" if error.strerror else str(error)
    return ConfigError("STATE_DIR", text)
