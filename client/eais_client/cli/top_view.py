"""What `eais top` shows, as tables: which columns there is room for, and data for programs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Generic, TypeVar

from eais.device_type import devices_text
from eais.instance import InstanceState
from eais_client.cli.host_view import host_data
from eais_client.cli.instance_view import instance_data, type_text
from eais_client.cli.pool_view import device_data
from eais_client.cli.table import GAP, text_width
from eais_client.cli.top_model import InstanceRow, Ratio, TopView, host_state
from eais_client.instances import Activity
from eais_client.pool_status import DeviceUse, HostUse

Row = TypeVar("Row")

_BAR_CELLS: Final = 10
_STATE_COLOURS = {InstanceState.IN_USE: "green", InstanceState.FAILED: "red"}
_HOST_COLOURS = {"unreachable": "red", "ready": "green"}


@dataclass(frozen=True, slots=True)
class Cell:
    """What stands in a table; `colour`: "" or a name of ANSI's."""

    text: str
    colour: str = ""


@dataclass(frozen=True, slots=True)
class Column(Generic[Row]):
    """A column; the ones of the highest `rank` are left out first where there is no room."""

    heading: str
    cell: Callable[[Row], Cell]
    rank: int = 0
    right: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """A table: headings, which of them stand to the right, and rows."""

    headings: tuple[str, ...]
    right: tuple[bool, ...]
    rows: tuple[tuple[Cell, ...], ...]
    left_out: int = 0
    """Rows that there is no room for."""


def sections(view: TopView, width: int | None = None) -> list[Section]:
    """The tables that have rows, with the columns that `width` cells have room for."""
    made = [
        _section(_HOSTS, view.hosts, width),
        _section(_DEVICES, view.devices, width),
        _section(_INSTANCES, view.instances, width),
    ]
    return [section for section in made if section.rows]


def fitted(tables: Sequence[Section], height: int) -> list[Section]:
    """The tables with as many rows as `height` lines have room for, a blank line before each."""
    made: list[Section] = []
    room = height - 2 * len(tables)
    for number, table in enumerate(tables):
        most = max(0, room // (len(tables) - number))
        made.append(_cut(table, most))
        room -= min(most, len(table.rows))
    return made


def _cut(table: Section, most: int) -> Section:
    if len(table.rows) <= most:
        return table
    kept = table.rows[: max(0, most - 1)]  # the last line says how many are left out
    return replace(table, rows=kept, left_out=len(table.rows) - len(kept))


def headline(view: TopView) -> str:
    """The pool as one, in a line."""
    totals = view.totals
    return (
        f"{view.pool}   {totals.in_use} of {totals.instances} in use   "
        f"{totals.calls_per_s:.1f} calls/s   p99 {_ms(totals.slowest_p99_ms)}   "
        f"{totals.waiting_calls} waiting   ratio {ratio_text(totals.ratio)}"
    )


def ratio_text(ratio: Ratio) -> str:
    """ "1.8 : 0.5": CPU cores at work, and accelerators in devices."""
    return f"{ratio.cpu_cores:.1f} : {ratio.accelerators:g}"


def top_data(view: TopView) -> dict[str, object]:
    """All of it for `-o json` and `-o yaml`."""
    totals = view.totals
    return {
        "pool": view.pool,
        "totals": {
            "instances": totals.instances,
            "in_use": totals.in_use,
            "calls_per_s": totals.calls_per_s,
            "waiting_calls": totals.waiting_calls,
            "slowest_p99_ms": totals.slowest_p99_ms,
            "ratio": _ratio_data(totals.ratio),
        },
        "hosts": [host_data(host) | {"state": host_state(host)} for host in view.hosts],
        "devices": [device_data(device) for device in view.devices],
        "instances": [
            instance_data(row.instance)
            | {"activity": _activity_data(row.activity), "ratio": _ratio_data(row.ratio)}
            for row in view.instances
        ],
    }


def _activity_data(activity: Activity) -> dict[str, object]:
    return {
        "calls_per_s": activity.calls_per_s,
        "p50_ms": activity.p50_ms,
        "p99_ms": activity.p99_ms,
        "busy_cores": activity.busy_cores,
        "waiting_calls": activity.waiting_calls,
        "frontend_cpu": activity.frontend_cpu,
        "frontend_busy_cores": activity.frontend_busy_cores,
    }


def _ratio_data(ratio: Ratio) -> dict[str, object]:
    return {"cpu_cores": ratio.cpu_cores, "accelerators": ratio.accelerators}


def _section(columns: Sequence[Column[Row]], rows: Sequence[Row], width: int | None) -> Section:
    cells = {column.heading: [column.cell(row) for row in rows] for column in columns}
    kept = list(columns)
    while width is not None and len(kept) > 1 and _width(kept, cells) > width:
        # The last of the least needed ones.
        kept.remove(max(reversed(kept), key=lambda column: column.rank))
    return Section(
        headings=tuple(column.heading for column in kept),
        right=tuple(column.right for column in kept),
        rows=tuple(zip(*(cells[column.heading] for column in kept), strict=True)),
    )


def _width(columns: Sequence[Column[Row]], cells: dict[str, list[Cell]]) -> int:
    widths = [
        max(text_width(text) for text in (c.heading, *(cell.text for cell in cells[c.heading])))
        for c in columns
    ]
    return sum(widths) + len(GAP) * (len(columns) - 1)


def _ms(value: float) -> str:
    return f"{value:.1f} ms" if value else "-"


def _text(cell: Callable[[Row], str]) -> Callable[[Row], Cell]:
    return lambda row: Cell(cell(row))


def _host_state(host: HostUse) -> Cell:
    state = host_state(host)
    return Cell(state, _HOST_COLOURS.get(state, "yellow"))


def _device_use(device: DeviceUse) -> Cell:
    """A bar of what is granted."""
    if not device.reachable:
        return Cell("unreachable", "red")
    used = device.capacity_milli - device.free_milli
    full = round(_BAR_CELLS * used / device.capacity_milli) if device.capacity_milli else 0
    return Cell("█" * full + "░" * (_BAR_CELLS - full), "green" if device.free_milli else "yellow")


def _shares(device: DeviceUse) -> str:
    held = [share for share in device.shares if share.instance]
    return ", ".join(
        f"{share.instance} {devices_text(share.milli)}"
        + ("" if share.state == "GRANTED" else f" {share.state}")
        for share in held
    )


def _device(device: DeviceUse) -> str:
    return device.id + (" (simulated)" if device.simulated else "")


def _instance_state(row: InstanceRow) -> Cell:
    state = row.instance.state
    return Cell(state.value, _STATE_COLOURS.get(state, "yellow"))


def _waiting(row: InstanceRow) -> Cell:
    waiting = row.activity.waiting_calls
    return Cell(str(waiting), "yellow" if waiting else "")


_HOSTS: Final[tuple[Column[HostUse], ...]] = (
    Column("HOST", _text(lambda host: host.host)),
    Column("STATE", _host_state),
    Column("INSTANCES", _text(lambda host: str(host.instances)), 1, right=True),
    Column("VNIC", _text(lambda host: host.vnic_driver), 3),
    Column("ADDRESS", _text(lambda host: host.user_plane.address if host.user_plane else ""), 2),
)
_DEVICES: Final[tuple[Column[DeviceUse], ...]] = (
    Column("DEVICE", _text(_device)),
    Column("KIND", _text(lambda device: device.kind), 1),
    Column("HOST", _text(lambda device: device.host)),
    Column(
        "USED",
        _text(lambda device: devices_text(device.capacity_milli - device.free_milli)),
        right=True,
    ),
    Column("FREE", _text(lambda device: devices_text(device.free_milli)), right=True),
    Column("GRANTED", _device_use, 2),
    Column("TO", _text(_shares), 3),
)
_INSTANCES: Final[tuple[Column[InstanceRow], ...]] = (
    Column("INSTANCE", _text(lambda row: row.instance.id)),
    Column("TENANT", _text(lambda row: row.instance.tenant), 5),
    Column("TYPE", _text(lambda row: type_text(row.instance)), 4),
    Column("STATE", _instance_state, 2),
    Column("HOST", _text(lambda row: row.instance.host), 5),
    Column("CALLS/S", _text(lambda row: f"{row.activity.calls_per_s:.1f}"), right=True),
    Column("P50", _text(lambda row: _ms(row.activity.p50_ms)), 6, right=True),
    Column("P99", _text(lambda row: _ms(row.activity.p99_ms)), right=True),
    Column("WAITING", _waiting, 3, right=True),
    Column("BUSY", _text(lambda row: f"{row.activity.busy_cores:.2f}"), 7, right=True),
    Column("FE CPU", _text(lambda row: f"{100 * row.activity.frontend_cpu:.0f} %"), 4, right=True),
    Column("RATIO", _text(lambda row: ratio_text(row.ratio)), 1, right=True),
)
