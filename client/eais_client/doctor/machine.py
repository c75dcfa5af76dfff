"""Checks of this machine: settings, context, an embedded pool, the identity's file."""

from __future__ import annotations

import re
from pathlib import Path

from eais.errors import EaisError, IdentityError, make_error
from eais_client.config import ClientConfig
from eais_client.context import Context
from eais_client.doctor.findings import Finding, ok
from eais_client.doctor.scene import Scene
from eais_client.own_identity import frontend_identity

_ERROR = re.compile(r"^error: ([A-Z][A-Z0-9_]*): (.*)$")
_LOG_END = 16 << 10
_PROGRAMS = ("manager", "supervisor", "listener")


def config(scene: Scene) -> Finding:
    """Whether the contexts' file can be read, and says what is known."""
    scene.config = ClientConfig.of_environ(scene.environ, scene.store.file)
    listed = scene.store.read()
    number = len(listed.contexts)
    return ok(f"{scene.store.file}: {number} context{'' if number == 1 else 's'}")


def fallback(scene: Scene) -> Finding | None:
    """Whether programs could run in process, if they're told to when the pool is away."""
    if scene.config.fallback != "local":
        return None
    if not scene.installed("onnxruntime"):
        raise make_error(
            "NOT_INSTALLED",
            'fallback = "local" is set, and onnxruntime isn\'t installed in this Python',
            hint="pip install onnxruntime, or leave the fall-back out",
        )
    return ok("onnxruntime is there to run in process while the pool is away")


def context(scene: Scene) -> Finding:
    """Whether a pool is known here."""
    found = scene.store.current(scene.environ, scene.context_name or None)
    scene.found_context = found
    where = "this machine's own pool" if found.state_dir else f"pool {found.pool}"
    return ok(f"{found.name}: {where}, at {found.manager}")


def pool(scene: Scene) -> Finding | None:
    """Whether the embedded pool of this machine runs, and what it last said if it doesn't."""
    if not scene.context.state_dir:
        return None
    state_dir = Path(scene.context.state_dir)
    if scene.runs(state_dir):
        return ok("the supervisor of this machine's pool runs")
    for program in _PROGRAMS:
        last = last_error(state_dir, program)
        if last is not None:
            last.message = f"the pool isn't running: its {program} ended with: {last.message}"
            raise last
    flag = "" if scene.context.name == "local" else f" --name {scene.context.name}"
    raise make_error(
        "POOL_NOT_RUNNING",
        f"pool {scene.context.name!r} isn't running on this machine",
        hint=f"eais pool up{flag}",
    )


def last_error(state_dir: Path, program: str) -> EaisError | None:
    """The error that a program of the embedded pool ended with, if that was the last it said."""
    try:
        with (state_dir / f"{program}.log").open("rb") as log:
            log.seek(max(0, log.seek(0, 2) - _LOG_END))
            lines = log.read().decode(errors="replace").splitlines()
    except OSError:
        return None
    found = _ERROR.match(lines[-1]) if lines else None
    hint = f"mend that, then `eais pool up`; {program}.log in {state_dir} says more"
    return make_error(found[1], found[2], hint=hint) if found else None


def certificate(scene: Scene) -> Finding:
    """Whether the identity's file is there, whole, this user's alone and of this pool."""
    own = frontend_identity(scene.store, scene.context, scene.wall)
    scene.found_own = own
    try:
        scene.found_bundle = own.dialer.identity()
    except IdentityError as error:
        error.hint = _remedy(scene.context, own.leaf.path, error)
        raise
    return ok(scene.bundle.identity.uri)


def _remedy(context: Context, file: Path, error: IdentityError) -> str:
    if error.reason == "KEY_MODE":
        return f"look who could read it, then: chmod 600 {file}; chmod 700 {file.parent}"
    if context.state_dir:
        return f"remove {file}: the manager of this machine's pool writes a new one at its start"
    return "join again with a token of an operator's: `eais join ADDR < token`"
