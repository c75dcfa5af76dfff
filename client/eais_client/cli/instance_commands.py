"""The verbs of instances: create, attach, start, stop, resize, detach, delete, describe, list."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from eais_client.cli.command import Call, Group, outside_of
from eais_client.cli.limit_options import BudgetOption, IdleOption, TtlOption, limits_of
from eais_client.cli.neighbour_options import (
    NearOption,
    SpreadOption,
    StrictOption,
    neighbours_of,
)
from eais_client.cli.policy_options import (
    PriceCapOption,
    RateOption,
    RingOption,
    SloOption,
    ToleranceOption,
    policy_of,
)
from eais_client.cli.ratio_options import (
    KindsOption,
    LateTargetOption,
    LeastOption,
    MostOption,
    RatioOption,
    ratio_of,
)
from eais_client.cli.vnic_options import VnicCapOption, VnicOption, driver_of

if TYPE_CHECKING:
    from eais_client.instances import Instance
    from eais_client.pool_client import PoolClient, Waits


def instance_ids(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Completion of instance ids, with type and state."""
    from eais_client.cli.completion import complete_instances

    name = ctx.params.get("context") or ""
    return complete_instances(outside_of(ctx), str(name), incomplete)


InstanceArgument = Annotated[
    str,
    typer.Argument(metavar="EI", help="The instance, ei-….", autocompletion=instance_ids),
]
OptionalInstance = Annotated[
    str,
    typer.Argument(
        metavar="EI",
        help="The instance, ei-…; without one: see above.",
        autocompletion=instance_ids,
        show_default=False,
    ),
]
_TYPES = "cpu, cpu.2, gpu.1-8, ... or auto"


WaitOption = Annotated[
    str,
    typer.Option(
        "--wait",
        metavar="TIME",
        help="While there is no room, wait in line for so long at most: 30s, 10m, 2h.",
        show_default=False,
    ),
]


def add_to(group: Group) -> None:
    """Register the commands."""
    verb = group.command
    verb("create", examples=["eais create cpu.2", "eais create auto -o json"])(create)
    verb(
        "attach",
        examples=[
            "eais attach --type cpu.1",
            "eais attach ei-7f3a",
            "eais attach --type gpu.1-8 --no-start",
            "eais attach --type auto --slo-p99 50ms",
            "eais attach --type auto --slo-p99 50ms --rate 5 --price-cap 0.5",
            "eais attach --type cpu.2 --tolerance bf16",
            "eais attach --type gpu.1 --wait 10m",
            "eais attach --type gpu.1 --ttl 8h --budget 20 --idle-detach 15m",
            "eais attach --ratio auto --slo-p99 50ms --max 4",
            "eais attach --ratio 4:0.25",
            "eais attach --type gpu.1 --spread web",
            "eais attach --type cpu.1 --near ei-7f3a --strict",
            "eais attach --type gpu.1 --vnic wireguard",
            "eais attach --type gpu.1 --vnic-cap 100Mbit",
        ],
    )(attach)
    verb("start", examples=["eais start ei-7f3a", "eais start ei-7f3a --wait 10m"])(start)
    verb("stop", examples=["eais stop ei-7f3a"])(stop)
    verb("resize", examples=["eais resize ei-7f3a gpu.1-2", "eais resize ei-7f3a cpu.4"])(resize)
    verb("detach", examples=["eais detach ei-7f3a"])(detach)
    verb("delete", examples=["eais delete ei-7f3a"])(delete)
    verb("describe", examples=["eais describe ei-7f3a", "eais describe ei-7f3a -o yaml"])(describe)
    verb("explain", examples=["eais explain ei-7f3a", "eais explain ei-7f3a -o json"])(explain)
    verb("list", examples=["eais list", "eais list -o wide", "eais list --all-tenants"])(list_)


def create(
    call: Call,
    type: Annotated[str, typer.Argument(metavar="TYPE", help=f"What it asks for: {_TYPES}.")],
    ring: RingOption = "",
    slo_p99: SloOption = "",
    tolerance: ToleranceOption = "",
    rate: RateOption = 0.0,
    price_cap: PriceCapOption = 0.0,
    ratio: RatioOption = "",
    min: LeastOption = 0,
    max: MostOption = 0,
    kinds: KindsOption = "",
    late_target: LateTargetOption = "",
    spread: SpreadOption = "",
    near: NearOption = "",
    strict: StrictOption = False,
    vnic_cap: VnicCapOption = "",
) -> None:
    """Create an instance: BINDABLE, holding nothing yet."""
    wanted = ratio_of(ratio, min, max, kinds, late_target)
    beside = neighbours_of(spread, near, strict)
    policy = policy_of(ring, slo_p99, tolerance, rate, price_cap, wanted, beside, vnic_cap)
    _do(call, f"creating {type}", lambda pool: pool.create(type, policy))


def attach(
    call: Call,
    instance: OptionalInstance = "",
    type: Annotated[
        str,
        typer.Option(
            "--type", metavar="TYPE", help=f"Create one of this type: {_TYPES}.", show_default=False
        ),
    ] = "",
    no_start: Annotated[
        bool, typer.Option("--no-start", help="Stop at BOUND.", show_default=False)
    ] = False,
    ring: RingOption = "",
    slo_p99: SloOption = "",
    tolerance: ToleranceOption = "",
    rate: RateOption = 0.0,
    price_cap: PriceCapOption = 0.0,
    wait: WaitOption = "",
    ratio: RatioOption = "",
    min: LeastOption = 0,
    max: MostOption = 0,
    kinds: KindsOption = "",
    late_target: LateTargetOption = "",
    spread: SpreadOption = "",
    near: NearOption = "",
    strict: StrictOption = False,
    ttl: TtlOption = "",
    budget: BudgetOption = 0.0,
    idle_detach: IdleOption = "",
    vnic: VnicOption = "",
    vnic_cap: VnicCapOption = "",
) -> None:
    """Bind an instance to this front-end and start it.

    With --type a new instance is created first; with neither an instance nor a
    type the first bindable one is taken. `eais detach` undoes all that this did.
    --ring, --slo-p99, --tolerance, --rate, --price-cap, --ratio, --min, --max,
    --kinds, --late-target, --spread, --near, --strict and --vnic-cap are of the
    instance that is created; --ratio makes one of type auto. `eais explain` says why an instance
    is where it is, and `eais ratio` what it had when.

    With --wait what has no room now waits in line, and how it stands is said
    on standard error. Tenants that hold less go first; Ctrl-C leaves the line.

    --ttl, --budget and --idle-detach end the attachment as `eais detach` would,
    whichever comes first, and count from when it is granted; said for what is
    attached already, they take the place of those that it had.

    --vnic says how it is reached. veth (on one host), vxlan and wireguard (between
    hosts) need `eais net agent` on both hosts; auto takes what there is. Only these
    keep a cap: with --vnic-cap, auto takes no other.
    """
    if instance:
        _expect_no_type(instance)
    limits = limits_of(ttl, budget, idle_detach)
    wanted = ratio_of(ratio, min, max, kinds, late_target)
    type = type or ("auto" if wanted.text and not instance else "")
    driver = driver_of(vnic)
    what, wait_s = instance or type or "the first bindable instance", _seconds(wait)
    beside = neighbours_of(spread, near, strict)
    policy = policy_of(ring, slo_p99, tolerance, rate, price_cap, wanted, beside, vnic_cap)
    _do_in_line(
        call,
        f"attaching {what}",
        lambda pool, waits: pool.attach(
            instance=instance,
            type=type,
            start=not no_start,
            policy=policy,
            wait_s=wait_s,
            waits=waits,
            limits=limits,
            vnic=driver,
        ),
        tidy=True,
    )


def _expect_no_type(instance: str) -> None:
    """Types look so unlike instances that it can be said what was meant."""
    from eais.device_type import DeviceType
    from eais.errors import UsageError

    try:
        DeviceType.parse(instance)
    except UsageError:
        return
    hint = f"eais attach --type {instance}"
    raise UsageError("ARGUMENT", f"{instance!r} is a type, not an instance", hint=hint)


def start(call: Call, instance: InstanceArgument, wait: WaitOption = "") -> None:
    """Start a bound instance: a lease, under a new epoch."""
    wait_s = _seconds(wait)
    _do_in_line(
        call,
        f"starting {instance}",
        lambda pool, waits: pool.start(instance, wait_s=wait_s, waits=waits),
    )


def _seconds(text: str) -> float:
    from eais_client.cli.log_lines import duration_s

    return duration_s(text) if text else 0.0


def stop(call: Call, instance: InstanceArgument) -> None:
    """Stop an instance: gives its shares back, keeps its models."""
    _do(call, f"stopping {instance}", lambda pool: pool.stop(instance))


def resize(
    call: Call,
    instance: InstanceArgument,
    type: Annotated[str, typer.Argument(metavar="TYPE", help=f"What it is to be: {_TYPES}.")],
) -> None:
    """Give a started instance another type, under live calls.

    The new workers have its models before they take calls, and the old ones finish theirs. If the
    new ones can't serve, the instance stays as it is.
    """
    _do(call, f"resizing {instance} to {type}", lambda pool: pool.resize(instance, type))


def detach(call: Call, instance: InstanceArgument) -> None:
    """Undo attach: stop, unbind, delete what attach had created."""
    _do_in_line(call, f"detaching {instance}", lambda pool, _: pool.detach(instance), tidy=True)


def delete(call: Call, instance: InstanceArgument) -> None:
    """Delete an instance that is bound to nobody."""
    _do(call, f"deleting {instance}", lambda pool: pool.delete(instance))


def describe(call: Call, instance: InstanceArgument) -> None:
    """Say all about an instance: workers, shares, sessions."""
    from eais_client.cli.instance_view import description, explained_data
    from eais_client.cli.vnic_view import vnic_data

    with call.pool() as pool:
        found = pool.describe(instance)
        here = pool.vnic_here(found)
    data, lines = _sessions(call, found)
    shown, printer = explained_data(found), call.printer
    answer = {**shown, "vnic": vnic_data(found.vnic, here), **data}
    printer.answer(answer, [*description(found, printer, here), *lines])


def _sessions(call: Call, instance: Instance) -> tuple[dict[str, object], list[str]]:
    """What runs its sessions, for programs and for people; or why that can't be told from here."""
    from eais.errors import EaisError
    from eais_client.cli.session_view import session_data, session_lines

    if instance.listener is None:
        return {"sessions": None, "sessions_unknown": None}, []
    try:
        found = call.sessions(instance)
    except EaisError as error:
        why = f"{error.reason}: {error.message}"
        return {"sessions": None, "sessions_unknown": why}, [f"Sessions:   unknown: {why}"]
    lines = session_lines(found, instance, call.printer)
    return {"sessions": session_data(found, instance), "sessions_unknown": None}, lines


def explain(call: Call, instance: InstanceArgument) -> None:
    """Say why an instance is where it is.

    Of an auto instance: each share that could have been taken, the cheapest first, with its
    forecast by what `eais profile` measured, and why it was taken or not.
    """
    from eais.device_type import devices_text
    from eais_client.cli.instance_view import has_failed

    with call.pool() as pool:
        found = pool.describe(instance)
    shares = (f"{devices_text(each.share_milli)} of {each.device}" for each in found.workers)
    placed = ", ".join(shares) or None
    data: dict[str, object] = {
        "id": found.id,
        "type": found.type,
        "host": found.host or None,
        "placed": placed,
        "why": found.why or None,
        "weighed": list(found.weighed),
    }
    last = found.ratio.decisions[-1] if found.ratio and found.ratio.decisions else None
    taken = f"{found.reason}: {found.detail}" if has_failed(found) else ""
    nothing = taken or "it has no share of a device now"
    why = found.why or (last.why if last and not taken else "") or nothing
    lines = [f"{found.id}  {found.type}: {why}"]
    if placed:
        lines.append(f"  on {found.host}: {placed}")
    if last is not None:
        data["ratio"] = {"why": last.why, "requested": last.requested, "age_s": last.age_s}
        lines.append(f"  ratio, {last.age_s:.0f} s ago: {last.why}")
    call.printer.answer(data, [*lines, *(f"  {each}" for each in found.weighed)])


def list_(
    call: Call,
    all_tenants: Annotated[
        bool,
        typer.Option("--all-tenants", "-A", help="Those of all; operators.", show_default=False),
    ] = False,
) -> None:
    """List the tenant's instances."""
    from eais_client.cli.instance_view import instance_data, instance_table

    if all_tenants:
        with call.operator() as operator:
            found = operator.instances()
    else:
        with call.pool() as pool:
            pool.tidy()
            found = pool.list()
    lines = ["No instances."]
    if found:
        lines = instance_table(found, call.printer, tenants=all_tenants)
    call.printer.answer({"instances": [instance_data(one) for one in found]}, lines)


def _do(call: Call, text: str, verb: Callable[[PoolClient], Instance]) -> None:
    """Ask the pool, show how it goes, and print what became of the instance."""
    _do_in_line(call, text, lambda pool, _: verb(pool))


def _do_in_line(
    call: Call, text: str, verb: Callable[[PoolClient, Waits], Instance], *, tidy: bool = False
) -> None:
    """The same, of what may wait in line for a while; `tidy`: this host's vNICs, before it."""
    from eais_client.cli.instance_view import explained_data, line, why_lines
    from eais_client.cli.line_view import LineShown
    from eais_client.cli.states import shown_states

    with (
        call.pool() as pool,
        call.progress(text) as progress,
        shown_states(pool, progress, text),
    ):
        if tidy:
            pool.tidy()
        instance = _explained(pool, verb(pool, LineShown(call.printer, progress)))
    lines = [line(instance, call.printer), *why_lines(instance)]
    call.printer.answer(explained_data(instance), lines)


def _explained(pool: PoolClient, instance: Instance) -> Instance:
    """With why it is where it is, if it has anything."""
    from eais.errors import EaisError

    if not instance.workers:
        return instance
    try:
        return pool.describe(instance.id)
    except EaisError:  # What was asked for is done.
        return instance
