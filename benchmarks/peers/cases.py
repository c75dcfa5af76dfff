"""What is asked of each server, and what of it is compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from eais_client.load.brain.plan import Closed, Driver, Driving, Phase

WARM_S: Final = 0.3
TIMEOUT_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Case:
    """One load of one model.

    Attributes:
        name: what it is called in the figures.
        model: of `models.SHAPES`.
        size: of its input's last axis, where that is open; 0: it isn't.
        callers: each calls as soon as it is answered.
        driver: threads, or tasks of one event loop.
        share: of the answers that are compared with onnxruntime's.
        longer: than a short call's measurement, by this factor.
        tolerance: how far answers may differ.
    """

    name: str
    model: str
    size: int = 0
    callers: int = 1
    driver: Driver = Driver.THREADS
    share: float = 0.05
    longer: float = 1.0
    tolerance: str = "exact"

    @property
    def figure(self) -> str:
        """What is compared: the median latency of a caller alone, or the rate of many."""
        return "p50_ms" if self.callers == 1 else "done_per_s"

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Of the input, where the model leaves it open."""
        return {"x": (1, self.size)} if self.size else {}

    def phase(self, seconds: float) -> Phase:
        """Its load."""
        return Phase(self.name, Closed(self.callers), seconds * self.longer, WARM_S)

    def driving(self) -> Driving:
        """By one process, which has one core."""
        return Driving(self.driver, timeout_s=TIMEOUT_S, check_share=self.share)


CASES: Final = (
    Case("16_bytes", "tiny"),
    Case("600_kb", "identity", 602_112 // 4),
    Case("16_mib", "identity", (16 << 20) // 4, longer=1.5),
    Case("resnet50", "resnet50", share=1.0, longer=1.5, tolerance="fp32"),
    Case("64_threads", "tiny", callers=64, share=0.01),
    Case("64_tasks", "tiny", callers=64, driver=Driver.TASKS, share=0.01),
)
