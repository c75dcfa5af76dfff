"""The listener of this machine as a host of its own: joined, started, found, ended.

`up` joins the pool with a token the first time, starts the supervisor
(`python -m eais_server.listener.supervisor`) in the background, and waits until the pool has
taken the listener. A pool that is away for a while is waited for by the listener itself.
"""

from __future__ import annotations

import ipaddress
import json
import os
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from eais.bind_fault import not_ours
from eais.errors import ConfigError, EaisError, Unavailable, UsageError, make_error
from eais.identity import Identity
from eais.paths import state_dir as state_root
from eais_client.cli.coming_up import (
    LOOK_EVERY_S,
    ComingUp,
    LogMark,
    brought_up,
    devices_environ,
)
from eais_client.cli.ending import stop
from eais_client.cli.local_pool import check_installed
from eais_client.cli.membership import MemberFiles, Membership
from eais_client.cli.outside import Outside
from eais_client.cli.processes import Process
from eais_client.cli.progress import Progress
from eais_client.dialer import utc_now

STATUS_FILE: Final = "status.json"
# How long a listener must have had its line to be taken for joined, and is waited for.
STAYS_S: Final = 1.0
JOINED_WITHIN_S: Final = 10.0
# No waiting helps against these.
_HOPELESS = frozenset(
    {"NAME_TAKEN", "SERVER_UNTRUSTED", "PERMISSION_DENIED", "VERSION_UNSUPPORTED"}
)


@dataclass(frozen=True, slots=True)
class ListenerOptions:
    """How to bring a listener up; "": as it was.

    Attributes:
        pool: where to join.
        address: of this host's instances.
        name: that this host must have.
        join_again: though it is a member already.
        bound: it ends when this process does, however that ends.
        simulate: devices to offer beside those that are here.
    """

    pool: str = ""
    address: str = ""
    name: str = ""
    config: Path | None = None
    cpu_cores: int | None = None
    join_again: bool = False
    bound: bool = False
    simulate: str | None = None

    def flags(self) -> list[str]:
        """Those that a listener which is up already takes no notice of."""
        given = {
            "--address": bool(self.address),
            "--config": self.config is not None,
            "--cpu-cores": self.cpu_cores is not None,
            "--join-again": self.join_again,
            "--simulate": self.simulate is not None,
        }
        return [flag for flag, is_given in given.items() if is_given]


@dataclass(frozen=True, slots=True)
class RunningListener:
    """A listener that serves.

    Attributes:
        said: what it says of itself.
        started: it did not run before.
        fault: why the pool hasn't taken it yet, None if it has.
    """

    membership: Membership
    said: Mapping[str, Any]
    process: Process
    started: bool
    fault: EaisError | None


class HostListener:
    """The shell around one listener's processes."""

    def __init__(
        self, directory: Path, outside: Outside, read_token: Callable[[Outside], str]
    ) -> None:
        self.directory = directory
        self.members = MemberFiles(directory, utc_now)
        self._outside = outside
        self._read_token = read_token
        self._processes = outside.processes()

    @classmethod
    def find(
        cls,
        outside: Outside,
        read_token: Callable[[Outside], str],
        name: str,
        state_dir: Path | None,
    ) -> HostListener:
        """The listener at `state_dir`, or at the XDG place; a name has one of its own there.

        Raises UsageError NAME for what no host can be called.
        """
        if name:
            _check_name(name)
        root = state_root(outside.environ)
        place = root / "listeners" / name if name else root / "listener"
        return cls((state_dir or place).absolute(), outside, read_token)

    def log(self, program: str) -> Path:
        """The log of "supervisor" or "listener"."""
        return self.directory / f"{program}.log"

    def running(self) -> Process | None:
        """The supervisor, if it runs."""
        return self._processes.supervisor_of(self.directory)

    def join(self, options: ListenerOptions) -> Membership:
        """Be a member of the pool: as before, or by a token that is read now.

        Raises:
            UsageError: ARGUMENT, something must be said; WRONG_STATE, NAME.
            ConfigError: NOT_INSTALLED, ADDRESS, STATE_DIR, ...
            IdentityError, Unavailable: as `eais.joining.join`.
        """
        check_installed("listener")
        member = None if options.join_again else self.members.read()
        if member is None or self.members.must_join_again():
            return self._joined(options)
        _check_same(member, options)
        if options.address and options.address != member.address:
            _check_address(options.address, member.management)
            self.members.move(options.address)
        return self.members.read() or member

    def _joined(self, options: ListenerOptions) -> Membership:
        before = self.members.read() if self.members.path.exists() else None
        at = options.pool or (before.joined_at if before else "")
        address = options.address or (before.address if before else "")
        if not at or not address:
            raise UsageError(
                "ARGUMENT",
                "this machine is no host of a pool yet: say --pool and --address",
                hint="and give a token on standard input: `eais token create --for listener`",
            )
        _check_address(address, at)
        token = self._read_token(self._outside)
        return self.members.join(self._outside.join, at, token, address, options.name)

    def up(self, options: ListenerOptions, progress: Progress) -> RunningListener:
        """Join if need be, and bring the listener up unless it runs.

        Raises the error that kept it from coming up; nothing that was started is left.
        """
        found = self.running()
        if found is not None:
            return self._wait(found, None, progress)
        self.join(options)
        mark = LogMark(self.directory / STATUS_FILE, self.log, ("listener",))
        return brought_up(
            lambda: self._spawn(options),
            lambda process: self._wait(process, mark, progress),
            self.running,
            lambda other: self._wait(other, None, progress),
        )

    def down(self) -> bool:
        """Stop the listener and wait until it has ended; False if it didn't run."""
        found = self.running()
        if found is None:
            return False
        stop(found, self.log("supervisor"))
        return True

    def status(self) -> RunningListener:
        """The running listener as it is now.

        Raises:
            Unavailable: POOL_NOT_RUNNING, it isn't up.
        """
        process, member = self.running(), self.members.read()
        if process is None or member is None:
            raise Unavailable(
                "POOL_NOT_RUNNING", "no listener runs on this machine", hint="eais listener up"
            )
        said = self._said() or {}
        return RunningListener(member, said, process, False, _fault(said))

    def _spawn(self, options: ListenerOptions) -> Process:
        command = [sys.executable, "-m", "eais_server.listener.supervisor"]
        command += ["--state-dir", str(self.directory)]
        command += ["--config", str(options.config.absolute())] if options.config else []
        command += ["--parent-pid", str(os.getpid())] if options.bound else []
        given = self._outside.environ
        environ = devices_environ(given, options.cpu_cores, options.simulate)
        return self._processes.spawn(command, self.log("supervisor"), environ)

    def _wait(self, process: Process, mark: LogMark | None, progress: Progress) -> RunningListener:
        """Until it serves, and then for a while until the pool has taken it."""
        outside = self._outside
        coming = ComingUp(process, "host", self.log, mark, outside.clock, outside.sleep)
        progress.step("starting the listener", 0, 2)
        while (mark and not mark.ready_is_new()) or self._said() is None:
            coming.wait("listener")
        progress.step("waiting for the pool", 1, 2)
        fault = self._await_line(coming)
        if fault is not None and fault.reason in _HOPELESS:
            raise fault
        if process.wait(0):  # another command's supervisor was first, and serves
            raise coming.failure("supervisor", "ended")
        member = self.members.read()
        if member is None:
            raise AssertionError("a listener runs that never joined")
        return RunningListener(member, self._said() or {}, process, mark is not None, fault)

    def _await_line(self, coming: ComingUp) -> EaisError | None:
        """What keeps the pool from taking it, after a while; None once it has."""
        clock, since = self._outside.clock, None
        until = clock() + JOINED_WITHIN_S
        while True:
            said = self._said() or {}
            fault = _fault(said)
            since = (since if since is not None else clock()) if fault is None else None
            if since is not None and clock() - since >= STAYS_S:
                return None
            hopeless = fault is not None and fault.reason in _HOPELESS
            if since is None and (hopeless or clock() >= until):
                return fault
            coming.check("listener")
            self._outside.sleep(LOOK_EVERY_S)

    def _said(self) -> dict[str, Any] | None:
        try:
            found = json.loads((self.directory / STATUS_FILE).read_bytes())
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None


def _fault(said: Mapping[str, Any]) -> EaisError | None:
    """What a listener says of its line to the pool; None while that is there."""
    if said.get("joined"):
        return None
    found = said.get("fault") or {}
    reason = str(found.get("reason", "POOL_UNREACHABLE"))
    text = str(found.get("text", "the listener hasn't reached the pool yet"))
    return make_error(reason, text, hint=str(found.get("hint", "")))


def _check_name(name: str) -> None:
    try:
        Identity.listener("pool", name)
    except ValueError as error:
        raise UsageError("NAME", str(error)) from None


def _check_same(member: Membership, options: ListenerOptions) -> None:
    """A member is started again as what it is; to be another's takes a token, and saying so."""
    if options.name and options.name != member.host:
        raise UsageError(
            "NAME", f"this host is {member.host!r} of pool {member.pool}, not {options.name!r}"
        )
    if options.pool and options.pool != member.joined_at:
        raise UsageError(
            "WRONG_STATE",
            f"this host is in pool {member.pool}, which it joined at {member.joined_at}",
            hint="leave --pool out; --join-again joins anew",
        )


def _check_address(address: str, pool: str) -> None:
    """Whether instances can be at `address`, and be reached by whoever reaches the pool.

    Raises:
        ConfigError: ADDRESS.
    """
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        raise ConfigError(
            "ADDRESS", f"{address[:80]!r} is no address of a machine, such as 10.1.2.4"
        ) from None
    if found.is_unspecified or found.is_multicast:
        raise ConfigError("ADDRESS", f"{address}: nobody can be told to come there")
    if found.is_loopback and not _is_loopback(pool):
        raise ConfigError(
            "ADDRESS",
            f"{address} is this machine's alone, and the pool at {pool} is reached from others",
            hint="say the address by which front-ends reach this machine",
        )
    family = socket.AF_INET6 if found.version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            raise not_ours(address) from None


def _is_loopback(pool: str) -> bool:
    """Whether a pool's address is one of this machine alone; names are taken for others'."""
    from eais.joining import parse_address

    host, _ = parse_address(pool)
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
