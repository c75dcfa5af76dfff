"""What a board's shell knows: its regions, and what is loaded in each. (Brain)

A region is EMPTY, LOADING until a moment that is stated beforehand, READY, RUNNING, or FAULTED
until it is reset. Regions know nothing of each other: one is reconfigured while another runs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from eais.errors import make_error
from eais.transition import TransitionTable
from eais_server.devices.fpga.image import ONNX, Image, RegionSize, ShellVersion, check_fit


class RegionState(StrEnum):
    """Where a region stands."""

    EMPTY = "EMPTY"
    LOADING = "LOADING"
    READY = "READY"
    RUNNING = "RUNNING"
    FAULTED = "FAULTED"


class RegionEvent(StrEnum):
    """What can happen to a region."""

    LOAD = "load"
    LOADED = "loaded"
    START = "start"
    DONE = "done"
    FAIL = "fail"
    RESET = "reset"


_S = RegionState
_E = RegionEvent

REGION_TABLE: TransitionTable[RegionState, RegionEvent] = TransitionTable(
    "region",
    {
        (_S.EMPTY, _E.LOAD): _S.LOADING,
        (_S.READY, _E.LOAD): _S.LOADING,
        (_S.LOADING, _E.LOADED): _S.READY,
        (_S.READY, _E.START): _S.RUNNING,
        (_S.RUNNING, _E.DONE): _S.READY,
        (_S.LOADING, _E.FAIL): _S.FAULTED,
        (_S.READY, _E.FAIL): _S.FAULTED,
        (_S.RUNNING, _E.FAIL): _S.FAULTED,
        (_S.EMPTY, _E.RESET): _S.EMPTY,
        (_S.LOADING, _E.RESET): _S.EMPTY,
        (_S.READY, _E.RESET): _S.EMPTY,
        (_S.RUNNING, _E.RESET): _S.EMPTY,
        (_S.FAULTED, _E.RESET): _S.EMPTY,
    },
)


@dataclass(frozen=True, slots=True)
class Region:
    """One region.

    Attributes:
        image: what is loaded, or is being loaded; a FAULTED region keeps what it had.
        ready_at: when it is READY, while it is LOADING.
        fault: why it is FAULTED.
    """

    state: RegionState = RegionState.EMPTY
    image: Image | None = None
    ready_at: float = 0.0
    fault: str = ""

    def after(self, event: RegionEvent) -> Region:
        """As it is then; `IllegalMove` if it can't be."""
        return replace(self, state=REGION_TABLE.after(self.state, event))


@dataclass(frozen=True, slots=True)
class Shell:
    """The part of a board that stays, and its regions. Each change makes another one.

    Attributes:
        size: of each region.
        takes: which format of payloads.
    """

    version: ShellVersion
    size: RegionSize
    regions: tuple[Region, ...] = (Region(), Region())
    takes: str = ONNX

    def region(self, number: int) -> Region:
        """Region `number`; `UsageError` NOT_FOUND."""
        if not 0 <= number < len(self.regions):
            raise make_error("NOT_FOUND", f"the board has {len(self.regions)} regions, from 0 on")
        return self.regions[number]

    def load(self, number: int, image: Image, now: float) -> Shell:
        """Begin to load `image`, which takes as long as it states.

        Raises:
            UsageError: IMAGE_SHELL; NOT_FOUND; WRONG_STATE while it is LOADING or FAULTED.
            Unavailable: BUSY while it is RUNNING.
        """
        region = self.region(number)
        self.check_idle(number)
        check_fit(image.header, self.takes, self.version, self.size)
        ready_at = now + image.header.load_ms / 1000
        loading = replace(region.after(_E.LOAD), image=image, ready_at=ready_at)
        return self._with(number, loading).at(now)

    def check_idle(self, number: int) -> None:
        """Whether something could be loaded there now; raises as `load` does."""
        region = self.region(number)
        if region.state is _S.RUNNING:
            raise make_error("BUSY", f"region {number} is running")
        if not REGION_TABLE.allows(region.state, _E.LOAD):
            raise make_error("WRONG_STATE", f"region {number} is {region.state}: reset it first")

    def at(self, now: float) -> Shell:
        """As it is at `now`: what was loading may be ready."""
        found = self
        for number, region in enumerate(self.regions):
            if region.state is _S.LOADING and region.ready_at <= now:
                found = found._with(number, region.after(_E.LOADED))
        return found

    def ready_in(self, number: int, now: float) -> float | None:
        """Seconds until it can run something; None if it never will by itself."""
        region = self.region(number)
        if region.state is _S.LOADING:
            return max(0.0, region.ready_at - now)
        return 0.0 if region.state in (_S.READY, _S.RUNNING) else None

    def next_change(self) -> float | None:
        """When the next region is ready; None if none is loading."""
        return min((r.ready_at for r in self.regions if r.state is _S.LOADING), default=None)

    def start(self, number: int) -> Shell:
        """A run begins; `IllegalMove` unless it is READY."""
        return self._with(number, self.region(number).after(_E.START))

    def done(self, number: int) -> Shell:
        """A run is over; `IllegalMove` unless it is RUNNING."""
        return self._with(number, self.region(number).after(_E.DONE))

    def fail(self, number: int, why: str) -> Shell:
        """The region is broken; `IllegalMove` if it is EMPTY or FAULTED."""
        return self._with(number, replace(self.region(number).after(_E.FAIL), fault=why))

    def reset(self, number: int) -> Shell:
        """Empty it, whatever it did."""
        self.region(number).after(_E.RESET)
        return self._with(number, Region())

    def _with(self, number: int, region: Region) -> Shell:
        regions = (*self.regions[:number], region, *self.regions[number + 1 :])
        return replace(self, regions=regions)
