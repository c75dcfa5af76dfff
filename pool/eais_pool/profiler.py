"""Has models measured: what `brain.profiling` decides, done over hosts' links once a second.

Also the service `Profiles`, by which front-ends ask for it.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Final

from eais.errors import Unavailable, UsageError, make_error
from eais.model_digest import model_digest
from eais.rpc import verbs
from eais.rpc.server import Binding, Caller, unary
from eais.rpc.status import clip
from eais.rpc.v1 import hosts_pb2, listener_pb2, profiles_pb2
from eais_pool.brain.events import ModelMeasured, SessionsChanged
from eais_pool.brain.profiling import Profiling
from eais_pool.brain.studies import Action, Keep, Model, Order, Stop, Study, demand_of
from eais_pool.brain.verbs import check_op_id
from eais_pool.policy.profiles import Profile
from eais_pool.pump import Pump
from eais_pool.tickets import Tickets
from eais_pool.wire import specs_of

log = logging.getLogger(__name__)

TICK_S: Final = 1.0
MOST_SOURCES: Final = 8
_MOST_SPEC_BYTES: Final = 1 << 20
_MOST_TEXT: Final = 256

Send = Callable[[str, hosts_pb2.HostCommand], None]
"""Queues a command for a host's link; dropped without a link."""


class Profiler:
    """The shell around what is measured in one pool.

    Args:
        clock: seconds, boot clock.
        wall: the time of day, UTC.
    """

    def __init__(
        self,
        brain: Profiling,
        pump: Pump,
        send: Send,
        tickets: Tickets,
        clock: Callable[[], float],
        wall: Callable[[], datetime],
    ) -> None:
        self._brain = brain
        self._pump = pump
        self._send = send
        self._tickets = tickets
        self._clock = clock
        self._wall = wall
        self._keeping: set[asyncio.Task[None]] = set()

    def bindings(self) -> list[Binding]:
        """What serves the service's verb."""
        return [unary(verbs.PROFILES_MEASURE, self.measure)]

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self.tick()
            await asyncio.sleep(TICK_S)

    def tick(self) -> None:
        """A second has passed."""
        self._do(self._brain.on_tick(self._pump.state, self._clock()))

    def heard(self, report: hosts_pb2.HostReport) -> bool:
        """Take a host's report in; False if it isn't of what is measured."""
        now = self._clock()
        match report.WhichOneof("kind"):
            case "measured":
                said = report.measured
                self._do(self._brain.measured(said.study, said.number, said.seconds, now))
            case "batch_failed":
                failed = report.batch_failed
                reason, text = failed.error.reason, clip(failed.error.message, _MOST_TEXT)
                self._do(self._brain.failed(failed.study, failed.number, reason, text, now))
            case _:
                return False
        return True

    def opened(self, event: SessionsChanged) -> None:
        """These sessions are open on a lease."""
        lease = self._pump.state.lease(event.key)
        instance = self._pump.state.instances.get(event.instance)
        if lease is None or instance is None or len(event.models) != len(event.sessions):
            return
        demand = demand_of(instance.tolerance, instance.policy.slo_p99_us)
        for spec, digest in zip(event.sessions, event.models, strict=True):
            self._brain.opened(Model(lease.tenant, digest, spec), demand, self._clock())

    def host_gone(self, host: str) -> None:
        """A host's line ended."""
        self._do(self._brain.host_gone(host, self._clock()))

    async def measure(
        self, request: profiles_pb2.MeasureRequest, caller: Caller
    ) -> profiles_pb2.MeasureReply:
        """See `Profiles.Measure`."""
        tenant = caller.identity.tenant
        if tenant is None:
            raise AssertionError("the verb table lets only front-ends in")
        check_op_id(request.op_id)
        study = self._brain.asked_for(tenant, request.op_id)
        if study is None:
            model = self._model(tenant, request)
            study = self._brain.ask(request.op_id, model, demand_of(request.tolerance))
        if study is None:
            busy = {"push_back_ms": "5000"}
            raise make_error("BUSY", "too many models are being measured for you", metadata=busy)
        return self._told(study)

    def _model(self, tenant: str, request: profiles_pb2.MeasureRequest) -> Model:
        if request.HasField("spec"):
            spec = request.spec
            if not spec.files or spec.ByteSize() > _MOST_SPEC_BYTES:
                raise UsageError("ARGUMENT", "a spec names a model's files, in at most 1 MiB")
            wire = spec.SerializeToString(deterministic=True)
            return Model(tenant, model_digest(spec), base64.b64encode(wire).decode())
        wanted = request.digest.hex()
        for text, open_spec in self._open_specs(tenant):
            if model_digest(open_spec) == wanted:
                return Model(tenant, wanted, text)
        raise make_error(
            "NOT_FOUND",
            f"no instance of yours has a session of the model {wanted[:12]} open",
            hint="name the model's file, or open it first",
        )

    def _open_specs(self, tenant: str) -> Iterator[tuple[str, listener_pb2.SessionSpec]]:
        for lease in self._pump.state.all_leases():
            if lease.tenant == tenant:
                yield from zip(lease.sessions, specs_of(lease.sessions), strict=True)

    def _told(self, study: Study) -> profiles_pb2.MeasureReply:
        reply = profiles_pb2.MeasureReply(
            over=bool(study.over),
            why=study.over,
            digest=bytes.fromhex(study.model.digest),
            batches=study.batches,
            busy=study.busy(),
        )
        if study.over:
            kept = self._pump.state.profiles.of(study.model.digest)
            fresh = {each.key: each for each in (*kept, *study.profiles(0.0))}
            now = {each.key: each for each in kept}
            reply.profiles.extend(profile_message(now.get(key, fresh[key])) for key in fresh)
            reply.unmeasured.extend(
                profiles_pb2.Unmeasured(kind=kind, device_model=model, why=why)
                for (kind, model), why in sorted(study.unmeasured.items())
            )
        return reply

    def _do(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Order():
                    command = hosts_pb2.HostCommand(run_batch=self._order(action))
                    self._send(action.host, command)
                case Stop(host, study, device):
                    give_up = hosts_pb2.GiveUp(study=study, device=device)
                    self._send(host, hosts_pb2.HostCommand(give_up=give_up))
                case Keep(study):
                    self._keep(study)

    def _order(self, order: Order) -> hosts_pb2.RunBatch:
        tenant, spec = order.model.tenant, order.model.spec
        (message,) = specs_of([spec])
        names = self._sources(tenant, order.host)
        return hosts_pb2.RunBatch(
            study=order.study,
            number=order.number,
            tenant=tenant,
            spec=message,
            sources=self._tickets.of(tenant, order.study, [spec], names, order.host),
            device=order.device,
            milli=order.share_milli,
            runtime=order.runtime,
            batch=order.batch,
            runs=order.runs,
            within_ms=order.within_ms,
        )

    def _sources(self, tenant: str, to: str) -> list[str]:
        """Where a tenant's model may be: where it has leases, then anywhere."""
        state = self._pump.state
        has = {lease.host for lease in state.all_leases() if lease.tenant == tenant}
        hosts = [h for h in state.hosts.values() if h.reachable and h.management_plane]
        hosts.sort(key=lambda host: (host.host not in has, host.host))
        return [host.host for host in hosts if host.host != to][:MOST_SOURCES]

    def _keep(self, study: Study) -> None:
        found = tuple(study.profiles(self._wall().timestamp()))
        log.info(
            "model %s was measured with %d batches: %s",
            study.model.digest[:12],
            study.batches,
            study.over,
        )
        if found:
            task = asyncio.create_task(self._journal(found))
            self._keeping.add(task)
            task.add_done_callback(self._keeping.discard)

    async def _journal(self, found: tuple[Profile, ...]) -> None:
        try:
            await self._pump.submit(ModelMeasured(found))
        except Unavailable as error:
            log.warning("what was measured isn't kept: %s", error)


def profile_message(profile: Profile) -> profiles_pb2.ModelProfile:
    """A profile as its owner is shown it."""
    points = [
        profiles_pb2.ProfilePoint(
            batch=point.batch,
            samples=point.samples,
            mean_s=point.mean_s,
            p50_s=point.p50_s,
            p99_s=point.p99_s,
            noise=point.noise,
        )
        for point in profile.points
    ]
    failed = [profiles_pb2.ProfileFailure(batch=f.batch, reason=f.reason) for f in profile.failed]
    return profiles_pb2.ModelProfile(
        kind=profile.kind.value,
        device_model=profile.key.device_model,
        simulated=profile.simulated,
        share_milli=profile.key.share_milli,
        runtime=profile.key.runtime,
        precision=profile.key.precision.value,
        measured_unix_s=profile.measured_unix_s,
        points=points,
        failed=failed,
    )
