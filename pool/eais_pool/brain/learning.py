"""What one instance's controller learns of what it sees, live or told of it again. (Brain)

The same seconds, with the same bases, leave the same controller behind, whoever tells of them: so
what was handed over to the journal makes one that knows what the one before it knew.
"""

from __future__ import annotations

from dataclasses import replace

from eais_pool.brain.calibration import Calibration
from eais_pool.brain.ratio_records import Basis, DemandSeen
from eais_pool.policy.ratio.control import Amount, Decision, RatioController, Seen


class Learner:
    """A controller, by what it decides now, and what units were seen to serve."""

    def __init__(self, basis: Basis) -> None:
        self.basis = basis
        self.controller = RatioController(basis.offers, basis.economy, basis.bounds)
        self.calibration = Calibration()

    def calibrated(self, basis: Basis) -> Basis:
        """A basis by what its units were seen to serve."""
        return replace(basis, offers=tuple(map(self.calibration.of, basis.offers)))

    def revise(self, basis: Basis) -> None:
        """Decide by this one from now on; what was learned stays."""
        if basis != self.basis:
            self.controller.revise(basis.offers, basis.economy, basis.bounds)
            self.basis = basis

    def see(self, seen: Seen) -> Decision:
        """One second has gone by."""
        offer = self.controller.offer
        decision = self.controller.see(seen)
        self.calibration.see(seen, offer, self.basis.economy.slack_s)
        return decision


def told(learner: Learner | None, fact: DemandSeen) -> Learner:
    """The learner once it was told what was seen, a new one where nothing was known before."""
    if learner is None or fact.fresh:
        learner = Learner(fact.basis)
    learner.revise(fact.basis)
    for seen in seen_of(fact):
        learner.see(seen)
    return learner


def seen_of(fact: DemandSeen) -> list[Seen]:
    """What was handed over, second by second, as the controller saw it."""
    columns, found, served = fact.seconds, list[Seen](), dict(fact.seconds.observed)
    observed, wanted = Amount(), frozenset(columns.wanted)
    for second, arrived in enumerate(columns.arrived):
        observed = served.get(second, observed)
        waiting, load = columns.waiting[second], columns.load[second]
        found.append(Seen(arrived, waiting, observed, load, columns.cores, second in wanted))
    return found
