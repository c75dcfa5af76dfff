"""What is kept of an instance's ratio, as its owner is shown it."""

from __future__ import annotations

from eais.rpc.v1 import pool_pb2
from eais_pool.brain.ratio_changes import in_words, is_controlled, served_in_words
from eais_pool.brain.ratio_records import RatioRecord
from eais_pool.brain.records import InstanceRecord
from eais_pool.brain.state import PoolState


def ratio_message(state: PoolState, instance: InstanceRecord, now: float) -> pool_pb2.Ratio | None:
    """The ratio of an instance; None if the pool doesn't decide it, and never did."""
    records = state.ratios.get(instance.id, ())
    if not records and not is_controlled(instance):
        return None
    return pool_pb2.Ratio(
        decisions=[_decision(record, now) for record in records],
        observed=served_in_words(state, instance.id),
        asleep=instance.asleep,
    )


def _decision(record: RatioRecord, now: float) -> pool_pb2.RatioDecision:
    made = record.decision
    return pool_pb2.RatioDecision(
        age_s=max(0.0, now - record.at),
        target=str(made.target),
        requested=str(made.requested),
        observed=str(made.observed),
        cost_per_h=made.cost_per_h,
        required_per_s=made.required_per_s,
        arrived=made.seen.arrived,
        waiting=made.seen.waiting,
        cause=made.cause.value,
        why=made.why,
        weighed=[in_words(each) for each in made.alternatives],
        failed=record.failed,
    )
