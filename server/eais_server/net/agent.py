"""The program: the network agent of a host. `python -m eais_server.net`.

It ends on SIGTERM or SIGINT and leaves the vNICs as they are: they outlive it, and the next agent
of the same state directory goes on with them.
"""

from __future__ import annotations

import argparse
import fcntl
import ipaddress
import logging
import os
import pwd
import secrets
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding

from eais import files, tls
from eais.errors import ConfigError, EaisError
from eais.failpoints import die_at_named_in, nowhere
from eais.identity import is_ca, pool_of_ca
from eais.net.asking import DEFAULT_SOCKET
from eais.notify import Notifier
from eais.report import error_line, exit_code
from eais_server.net.answers import Answers
from eais_server.net.books import Books
from eais_server.net.door import Door
from eais_server.net.keeper import Keeper
from eais_server.net.kernel import KernelInterfaces, KernelWall
from eais_server.net.links import netlink
from eais_server.net.links.spaces import Spaces
from eais_server.net.links.wireguard_keys import own_key

log = logging.getLogger(__name__)

DEFAULT_STATE_DIR: Final = Path("/var/lib/eais/net")
_NOTE_EVERY_S: Final = 10.0
"""How much of an interface's counters is lost at most, if it vanishes."""
_MEND_EVERY_S: Final = 1.0
"""How long vNICs are bare at most after `nft flush ruleset`."""
_TURN_S: Final = 1.0
_AGENT_BYTES: Final = 8
_NO_UID: Final = (1 << 32) - 1  # (uid_t) -1, which is nobody's


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    given = _parser().parse_args(arguments)
    try:
        run(given)
    except EaisError as error:
        sys.stderr.write(f"{error_line(error)}\n")
        return exit_code(error)
    return 0


def run(given: argparse.Namespace) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        ConfigError: what was given can't be; another agent has the state directory.
        IdentityError: a trusted CA's file isn't one of a pool's.
    """
    _check_underlay(given.underlay)
    for path in given.netns:
        if not path.exists():
            log.warning("--netns %s isn't there yet: nobody in it is served until it is", path)
    trusted = _Trusted(given.trust)
    trusted()
    files_of = _State(given.state_dir)
    spaces = Spaces(given.netns)
    interfaces = KernelInterfaces(files_of.agent, spaces, given.underlay, own_key(given.state_dir))
    if given.underlay and not interfaces.has_underlay:
        log.warning("--underlay %s is none of this host's addresses yet", given.underlay)
    keeper = Keeper(
        Books(given.state_dir),
        interfaces,
        KernelWall(files_of.agent, spaces),
        frozenset({os.geteuid(), *(_uid_of(name) for name in given.user)}),
        time.time,
        reach=die_at_named_in(given.test_failpoints) if given.test_failpoints else nowhere,
    )
    with netlink.kept_open():
        keeper.start()
        answers = Answers(files_of.agent, keeper, interfaces, trusted, time.time)
        door = Door(given.socket, answers.reply, interfaces.can_enter)
        ends = len(keeper.state.held)
        log.info("%s answers at %s; it has %d vNIC ends", files_of.agent, given.socket, ends)
        _serve(door, keeper)


def _serve(door: Door, keeper: Keeper) -> None:
    ended = _Ended()
    notifier = Notifier.from_environ(os.environ, os.getpid())
    notifier.ready()
    noted = mended = time.monotonic()
    try:
        while not ended:
            door.turn(_TURN_S)
            notifier.alive()
            now = time.monotonic()
            if now - mended > _MEND_EVERY_S:
                keeper.mend()
                mended = now
            if now - noted > _NOTE_EVERY_S:
                keeper.note()
                noted = now
    finally:
        notifier.stopping()
        door.close()
        keeper.note()


class _Ended:
    """Whether it was told to end."""

    def __init__(self) -> None:
        self._told = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._tell)

    def __bool__(self) -> bool:
        return self._told

    def _tell(self, number: int, frame: FrameType | None) -> None:
        self._told = True


class _State:
    """The state directory, locked for as long as the process lives.

    Attributes:
        agent: its name, random, made at its first start.
    """

    def __init__(self, directory: Path) -> None:
        try:
            files.private_dir(directory)
            self._lock = files.open_lock(directory / "lock")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path = directory / "agent"
            if not path.exists():
                files.create_file(path, secrets.token_hex(_AGENT_BYTES).encode())
            self.agent = files.read_private(path).decode().strip()
        except BlockingIOError:
            raise ConfigError("STATE_DIR", f"{directory} is another network agent's") from None
        except files.UnsafePath as error:
            raise ConfigError("STATE_DIR", str(error)) from None
        except (OSError, ValueError) as error:
            raise ConfigError("STATE_DIR", f"{directory}: {error}") from None


class _Trusted:
    """Reads the trusted CAs anew each time: they are rolled.

    They may be in the file of an identity, which has its pool's, and the next ones once those are
    rolled.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths

    def __call__(self) -> bytes:
        found = b""
        for path in self._paths:
            what = f"--trust {path}"
            try:
                pem = path.read_bytes()
            except OSError as error:
                raise ConfigError("CONFIG", f"{what}: {error.strerror}") from None
            authorities = [each for each in tls.load_certificates(pem, what) if is_ca(each)]
            if not authorities:
                text = f"{what}: there is no CA's certificate in it"
                raise ConfigError("CONFIG", text, hint="an identity's file has its pool's")
            for each in authorities:
                pool_of_ca(each)
                found += each.public_bytes(Encoding.PEM)
        return found


def _check_underlay(text: str) -> None:
    """Raise ADDRESS for what other machines can't reach this one at; "" is none."""
    try:
        address = ipaddress.IPv4Address(text) if text else None
    except ValueError:
        address = ipaddress.IPv4Address(0)
    if address is None:
        return
    if address.is_unspecified or address.is_loopback or address.is_multicast:
        text = f"--underlay {text[:64]!r} is no IPv4 address at which others reach this machine"
        raise ConfigError("ADDRESS", text, hint="`ip address` lists this machine's")


def _uid_of(name: str) -> int:
    try:
        if name.isdecimal() and int(name) < _NO_UID:
            return int(name)
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        raise ConfigError("CONFIG", f"--user {name}: this host has no such user") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("eais net agent", description=__doc__)
    parser.add_argument("--socket", type=Path, default=DEFAULT_SOCKET)
    parser.add_argument("--state-dir", type=Path, default=DEFAULT_STATE_DIR)
    parser.add_argument("--trust", type=Path, action="append", required=True)
    parser.add_argument("--netns", type=Path, action="append", default=[])
    parser.add_argument("--underlay", default="")
    parser.add_argument("--user", action="append", default=[])
    parser.add_argument("--test-failpoints", type=Path, help=argparse.SUPPRESS)
    return parser
