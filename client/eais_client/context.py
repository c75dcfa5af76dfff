"""Contexts: which pool this user speaks to, in one file shared by the CLI and programs.

    current = "local"

    [contexts.local]
    pool = "local-5f3a9c1e"
    manager = "127.64.16.1:40117"
    management = "127.64.16.1:40118"
    state_dir = "/home/ada/.local/state/eais/pools/local"

Beside it, `contexts/<name>/` holds the identities: `frontend.pem`, `operator.pem`, and where
this machine has joined the pool their enrolments, `frontend-enrolment.pem`, and so on. Other
tables and comments in the file are the user's and are kept, but for those that a pool's file has,
which nobody would read here.
"""

from __future__ import annotations

import contextlib
import fcntl
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from eais import files
from eais.config import POOL_TABLES
from eais.errors import ConfigError, IdentityError, UsageError
from eais.identity import Identity, Role
from eais.paths import config_dir
from eais.toml_file import TomlFile
from eais_client.instances import Address

_NAME = re.compile(r"(?!.*\.\.)[a-z0-9][a-z0-9_.-]{0,63}")
_HEADER = re.compile(r"\s*\[")
_OURS = re.compile(r"\s*\[\s*contexts\b")
_CURRENT = re.compile(r"\s*current\s*=")
_NO_POOL_HINT = (
    "`eais pool up` starts one on this machine, `eais join ADDR < token` joins another's; "
    "then `eais attach --type cpu`"
)


@dataclass(frozen=True, slots=True)
class Context:
    """One pool as one user of this machine reaches it.

    Attributes:
        name: the user's word for it, 1 to 64 of a-z 0-9 _ . -.
        pool: the pool's name, which its servers' certificates carry.
        manager: "ADDRESS:PORT" of the manager's user plane.
        management: the same of its management plane, "" if this user is no operator.
        state_dir: where the pool's state is, if it runs embedded on this machine.

    Raises `UsageError` NAME, and `ConfigError` CONFIG for other values that don't fit.
    """

    name: str
    pool: str
    manager: str
    management: str = ""
    state_dir: str = ""

    def __post_init__(self) -> None:
        check_name(self.name)
        try:
            Identity.manager(self.pool)
        except ValueError as error:
            raise ConfigError("CONFIG", f"pool: {error}") from None
        for field_name in ("manager", "management"):
            if text := getattr(self, field_name):
                _parse(field_name, text)
        if not self.manager:
            raise ConfigError("CONFIG", "manager: an address and a port is needed")

    def manager_address(self) -> Address:
        """The manager's user plane."""
        return Address.parse(self.manager, self._server_name())

    def management_address(self) -> Address:
        """The manager's management plane; `IdentityError` CERT_MISSING if this is no operator."""
        if not self.management:
            raise IdentityError(
                "CERT_MISSING",
                f"context {self.name} has no operator's identity",
                hint="an operator can make you one: eais token create --for operator, "
                "then `eais join ADDR --as operator`",
            )
        return Address.parse(self.management, self._server_name())

    def _server_name(self) -> str:
        name = Identity.manager(self.pool).dns_name
        assert name is not None  # the manager serves
        return name


@dataclass(frozen=True, slots=True)
class ContextList:
    """What the file says: all contexts by name, and the current one's name ("": none)."""

    current: str = ""
    contexts: Mapping[str, Context] = field(default_factory=dict)

    def get(self, name: str) -> Context:
        """The context called `name`; `UsageError` NAME, or NOT_FOUND naming those there are."""
        if check_name(name) not in self.contexts:
            known = ", ".join(sorted(self.contexts)) or "none"
            raise UsageError("NOT_FOUND", f"there is no context {name!r}; known: {known}")
        return self.contexts[name]


class ContextStore:
    """The contexts' file and the identities beside it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.file = directory / "config.toml"

    @classmethod
    def of_environ(cls, environ: Mapping[str, str]) -> ContextStore:
        """The store of this user: `EAIS_CONFIG_DIR`, else the XDG place."""
        return cls(config_dir(environ))

    def folder(self, name: str) -> Path:
        """Where the identities of the context called `name` are."""
        return self.directory / "contexts" / check_name(name)

    def frontend_file(self, name: str) -> Path:
        """The front-end identity of the context called `name`."""
        return self.folder(name) / "frontend.pem"

    def operator_file(self, name: str) -> Path:
        """The operator identity of the context called `name`."""
        return self.folder(name) / "operator.pem"

    def identity_file(self, name: str, role: Role) -> Path:
        """The identity of that role: FRONTEND or OPERATOR."""
        return self.operator_file(name) if role is Role.OPERATOR else self.frontend_file(name)

    def read(self) -> ContextList:
        """All contexts; `ConfigError` CONFIG names the line and column of a fault."""
        found = TomlFile.read(self.file)
        try:
            return _contexts_of(found.data)
        except _Fault as fault:
            text = f"{found.place(*fault.path)}: {fault.text}"
            raise ConfigError(fault.reason, text) from None

    def current(self, environ: Mapping[str, str], flag: str | None = None) -> Context:
        """The context in force: `flag`, else `EAIS_CONTEXT`, else the file's current.

        `UsageError` NOT_ATTACHED if there is none, NOT_FOUND if it isn't in the file.
        """
        listed = self.read()
        name = flag or environ.get("EAIS_CONTEXT") or listed.current
        if not name:
            raise UsageError("NOT_ATTACHED", "no pool is known here", hint=_NO_POOL_HINT)
        return listed.get(name)

    def set(self, context: Context, *, make_current: bool = False) -> None:
        """Write `context`, in the place of one with its name; the first becomes current."""
        with self._changing() as listed:
            contexts = {**listed.contexts, context.name: context}
            current = context.name if make_current or not listed.current else listed.current
            self._write(ContextList(current, contexts))

    def use(self, name: str) -> Context:
        """Make the context called `name` the current one; NOT_FOUND if there is none."""
        with self._changing() as listed:
            context = listed.get(name)
            self._write(replace(listed, current=name))
            return context

    def delete(self, name: str) -> None:
        """Forget the context called `name`, not its identities; NOT_FOUND if there is none."""
        with self._changing() as listed:
            listed.get(name)
            contexts = {key: value for key, value in listed.contexts.items() if key != name}
            current = "" if listed.current == name else listed.current
            self._write(ContextList(current, contexts))

    @contextlib.contextmanager
    def _changing(self) -> Iterator[ContextList]:
        """The list, which no other process changes meanwhile.

        The directory may be the user's own and readable; only the identities'
        folders below it must not be.
        """
        self.directory.mkdir(mode=files.PRIVATE_DIR, parents=True, exist_ok=True)
        with (self.directory / ".config.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield self.read()

    def _write(self, listed: ContextList) -> None:
        head, tail = _kept(self._text())
        text = _toml_of(listed, head, tail)
        files.replace_file(self.file, text.encode())

    def _text(self) -> str:
        return self.file.read_text() if self.file.exists() else ""


def enrolment_file(leaf: Path) -> Path:
    """Where the enrolment of the identity at `leaf` is, if this machine has joined."""
    return leaf.with_name(f"{leaf.stem}-enrolment.pem")


def check_name(name: str) -> str:
    """`name` if it can be a context's; `UsageError` NAME if it can't."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            "NAME",
            f"context {name[:80]!a}: 1 to 64 of a-z 0-9 _ . -, a letter or digit first, no '..'",
        )
    return name


class _Fault(Exception):
    """A value of the file that won't do, and where it stands."""

    def __init__(self, text: str, *path: str, reason: str = "CONFIG") -> None:
        super().__init__(text)
        self.text, self.path, self.reason = text, path, reason


def _contexts_of(found: Mapping[str, Any]) -> ContextList:
    for name in POOL_TABLES:
        if name in found:
            text = f"[{name}] is of a pool's file, which `eais pool up --config FILE` reads"
            raise _Fault(text, name)
    current, tables = found.get("current", ""), found.get("contexts", {})
    if not isinstance(current, str):
        raise _Fault("current must be the name of a context", "current")
    if not isinstance(tables, dict):
        raise _Fault("contexts must be a table", "contexts")
    contexts = {name: _context_of(name, table) for name, table in tables.items()}
    if current and current not in contexts:
        raise _Fault(f"current = {current!r}, but there is no [contexts.{current}]", "current")
    return ContextList(current, contexts)


def _context_of(name: str, table: object) -> Context:
    here = ("contexts", name)
    if not isinstance(table, dict):
        raise _Fault(f"contexts.{name} must be a table", *here)
    known = [item.name for item in fields(Context) if item.name != "name"]
    for key, value in table.items():
        if key not in known:
            raise _Fault(f"{key!r} is not known; known: {', '.join(known)}", *here, key)
        if not isinstance(value, str):
            raise _Fault(f"{key} must be a string", *here, key)
    for key in ("pool", "manager"):
        if key not in table:
            raise _Fault(f"[contexts.{name}] needs {key}", *here)
    try:
        return Context(name=name, **table)
    except UsageError as error:
        key = error.message.partition(":")[0]
        reason = error.reason if isinstance(error, ConfigError) else "CONFIG"
        raise _Fault(error.message, *here, key, reason=reason) from None


def _parse(field_name: str, text: str) -> None:
    try:
        Address.parse(text, "")
    except ConfigError as error:
        raise ConfigError(error.reason, f"{field_name}: {error.message}") from None


def _kept(text: str) -> tuple[str, str]:
    """The user's own lines: those before the first table, and the tables that aren't ours."""
    head: list[str] = []
    tail: list[str] = []
    table = ours = False
    # TOML's lines end with "\n" alone; `splitlines` knows more ends, which values may hold.
    for line in text.split("\n"):
        if _HEADER.match(line):
            table, ours = True, bool(_OURS.match(line))
        if not table and not _CURRENT.match(line):
            head.append(line)
        elif table and not ours:
            tail.append(line)
    return "\n".join(head).strip("\n"), "\n".join(tail).strip("\n")


def _toml_of(listed: ContextList, head: str, tail: str) -> str:
    parts = [head, f"current = {_quoted(listed.current)}", tail]
    for name in sorted(listed.contexts):
        context = listed.contexts[name]
        values = [(item.name, getattr(context, item.name)) for item in fields(Context)]
        lines = [f"{key} = {_quoted(value)}" for key, value in values if value and key != "name"]
        key = _quoted(name) if "." in name else name
        parts.append("\n".join([f"[contexts.{key}]", *lines]))
    return "\n\n".join(part for part in parts if part) + "\n"


def _quoted(text: str) -> str:
    """`text` as a TOML basic string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda m: f"\\u{ord(m[0]):04x}", escaped) + '"'
