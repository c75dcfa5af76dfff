"""Checks of what the pool gives: the operator's view, instance, listener, worker, quotas."""

from __future__ import annotations

from pathlib import Path

from eais.errors import EaisError, IdentityError, make_error
from eais_client.brain.choose import check_usable, choose
from eais_client.doctor import judgement
from eais_client.doctor.findings import Finding, ok, unknown
from eais_client.doctor.handshake import shown_by
from eais_client.doctor.machine import last_error
from eais_client.doctor.path_judging import Pings, Way, silence
from eais_client.doctor.pinging import answered
from eais_client.doctor.scene import Scene
from eais_client.instances import Address, Instance, Worker
from eais_client.operator_client import OperatorClient
from eais_client.pool_client import PoolClient
from eais_client.pool_status import HostUse
from eais_client.tenants import Tenant

PATIENCE_S = 2.0
_LOOPBACK = "loopback"
_SMALL_PING = 64
"""Bytes, as ping(8) has it, or so: they pass wherever anything does."""


def operator(scene: Scene) -> Finding | None:
    """Whether the management plane takes this user's operator, if they are one."""
    if not scene.context.management:
        return None
    with OperatorClient.of_context(scene.store, scene.context, patience_s=PATIENCE_S) as client:
        scene.status = client.status()
        scene.tenants = client.tenants()
    return ok(f"the pool has {_count(scene.status.instances, 'instance')} in all")


def hosts(scene: Scene) -> Finding | None:
    """Whether all back-ends are reached by the manager; for operators."""
    if scene.status is None:
        return None
    away = [host.host for host in scene.status.hosts if not host.reachable]
    if scene.status.hosts and not away:
        return ok(", ".join(host.host for host in scene.status.hosts))
    if scene.context.state_dir:
        said = last_error(Path(scene.context.state_dir), "listener")
        if said is not None:
            raise said
    text = f"the manager doesn't reach {', '.join(away)}" if away else "no host has joined"
    hint = "there: `eais listener up`, or its unit's state and log"
    raise make_error("HOST_UNREACHABLE", text, hint=hint)


def instance(scene: Scene) -> Finding:
    """Whether a session of this user's would find its instance."""
    with PoolClient.of_context(scene.store, scene.context, patience_s=PATIENCE_S) as client:
        frontend, name = scene.bundle.identity.name, scene.environ.get("EAIS_INSTANCE")
        if name:
            scene.instance = check_usable(client.describe(name), frontend)
        else:
            scene.instance = choose(client.list(), frontend)
    return ok(f"{scene.instance.id}: {scene.instance.type}, {scene.instance.state}")


def listener(scene: Scene) -> Finding:
    """Whether the instance's listener answers through the instance's vNIC."""
    found = _instance(scene)
    if found.listener is None:
        return ok("none needed: the instance holds no lease")
    _reach(scene, found, found.listener, "listener")
    return ok(f"{found.listener} ({found.vnic.driver})")


def worker(scene: Scene) -> Finding:
    """Whether a worker serves, and answers at its address."""
    found = _instance(scene)
    serving = [worker for worker in found.workers if worker.serving]
    if not serving:
        raise make_error(
            "NO_WORKER",
            f"no worker of {found.id} serves; it has {_count(len(found.workers), 'worker')}",
            hint="a worker that died is replaced within a second: look again; "
            "`eais describe` and the listener's log say more",
        )
    for each in serving:
        _reach(scene, found, each.address, f"worker {each.n}")
    return ok(", ".join(f"{each.address} on {_device(each)}" for each in serving))


def _device(worker: Worker) -> str:
    return worker.device + (" (simulated)" if worker.simulated else "")


def isolation(scene: Scene) -> Finding | None:
    """Whether workers are confined as far as they can be: Landlock and seccomp."""
    found = _instance(scene)
    level = min((each.isolation for each in found.workers), default=2)
    if level >= 2:
        return ok(f"L{level}: workers are confined by Landlock and seccomp")
    reasons = [host.isolation_reason for host in _hosts_of(scene, found)]
    why = next(iter(reasons), "") or "its back-end's operator sees why: `eais host list`"
    raise make_error(
        "ISOLATION_UNAVAILABLE",
        f"workers of {found.id} run at L{level}, without Landlock: {why}",
        hint="a back-end with Linux 6.12 or newer, and Landlock switched on",
    )


def quota(scene: Scene) -> Finding | None:
    """Whether what the tenant may have is used up, when nothing is attached."""
    if scene.instance is not None:
        return None
    name = scene.bundle.identity.tenant
    if scene.status is None:
        return unknown("only an operator sees quotas", "ask one for `eais tenant list`")
    for tenant in scene.tenants:
        full = _full(tenant) if tenant.name == name else []
        if full:
            raise make_error(
                "QUOTA",
                f"tenant {name} has all that it may have of {', '.join(full)}",
                hint=f"delete what isn't needed, or `eais tenant quota {name} {full[0]}=...`",
            )
    return ok(f"tenant {name} may have more")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _full(tenant: Tenant) -> list[str]:
    limits = tenant.quotas.items()
    return [
        what for what, limit in limits if limit is not None and tenant.used.get(what, 0) >= limit
    ]


def _hosts_of(scene: Scene, found: Instance) -> list[HostUse]:
    known = scene.status.hosts if scene.status is not None else ()
    return [host for host in known if host.host == found.host or not found.host]


def _instance(scene: Scene) -> Instance:
    assert scene.instance is not None  # what asks for it needs `instance`
    return scene.instance


def _reach(scene: Scene, found: Instance, where: Address, who: str) -> None:
    """Raise what keeps this machine from `who`: HOST_UNREACHABLE, SERVER_UNTRUSTED."""
    try:
        shown = shown_by(where, "HOST_UNREACHABLE")
        judgement.check_server(shown, where.server_name, scene.bundle.ca_pem, scene.wall())
    except IdentityError as error:
        error.hint = "ask an operator: the back-end's address may be another machine's now"
        raise
    except EaisError as error:
        error.message = (
            f"the {who} of {found.id}, by its vNIC ({found.vnic.driver}): {error.message}"
        )
        if found.vnic.driver == _LOOPBACK and not scene.context.state_dir:
            error.hint = (
                "a pool on loopback serves its own machine alone: "
                "its operator brings it up with `eais pool up --bind ADDRESS`"
            )
        if found.vnic.is_kernels and (cut := _cut(scene, found, error.message)) is not None:
            raise cut from None
        raise


def _cut(scene: Scene, found: Instance, what: str) -> EaisError | None:
    """Whether it is the vNIC's way that keeps silent, by pings, which it lets pass."""
    way = Way(found.vnic.driver, scene.end.mtu if scene.end else 0)
    small = answered(found.vnic.address, _SMALL_PING)
    full = answered(found.vnic.address, way.mtu) if small and way.mtu else None
    return silence(way, what, Pings(small, full))
