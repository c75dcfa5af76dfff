"""What instances do, from what is said on the wire, and back onto it."""

from __future__ import annotations

from eais.instance import InstanceState
from eais.rpc.v1 import hosts_pb2, pool_pb2
from eais.telemetry import latency
from eais_pool.brain.activity import Activities, Activity, Counted, FrontEndWord
from eais_pool.brain.view_records import InstanceView
from eais_pool.wire import instance_message


def counted(news: hosts_pb2.Usage) -> Counted:
    """A lease's counters as its listener tells them."""
    return Counted(news.requests, news.busy_ns, latency.trimmed(news.latency_counts))


def word_of(load: pool_pb2.FrontEndLoad) -> FrontEndWord:
    """What a front-end says of itself; a load that can't be is none."""
    cpu = min(1.0, max(0.0, load.cpu_load))
    return FrontEndWord(load.waiting_calls, cpu, load.cpu_cores, load.answered_calls)


def described(view: InstanceView, pool: str, activities: Activities) -> pool_pb2.Instance:
    """An instance with what it does now; for who asks, not for who watches."""
    message = instance_message(view, pool)
    activity = activities.of(view.id) if view.state is InstanceState.IN_USE else None
    if activity is not None:
        message.activity.CopyFrom(_message(activity))
    return message


def _message(activity: Activity) -> pool_pb2.Activity:
    return pool_pb2.Activity(
        calls_per_s=activity.calls_per_s,
        p50_ms=activity.p50_ms,
        p99_ms=activity.p99_ms,
        busy_cores=activity.busy_cores,
        waiting_calls=min(activity.waiting_calls, 0xFFFFFFFF),
        frontend_cpu=activity.frontend_cpu,
        frontend_busy_cores=activity.frontend_busy_cores,
    )
