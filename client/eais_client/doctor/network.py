"""Checks of the way to the manager: address, clock, certificates at both ends, version."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from eais import tls
from eais.errors import EaisError, IdentityError, Unavailable
from eais.rpc import client, verbs
from eais.rpc.hello import check_version, hello
from eais.rpc.v1 import common_pb2
from eais_client.dialer import SOFTWARE, dial_as
from eais_client.doctor import judgement
from eais_client.doctor.findings import Finding, ok, problem, unknown
from eais_client.doctor.handshake import refused_by, shown_by
from eais_client.doctor.judgement import span
from eais_client.doctor.machine import last_error
from eais_client.doctor.scene import Scene
from eais_client.enrolment import is_due

TIMEOUT_S = 5.0
_JOIN = "join again with a token of an operator's: `eais join ADDR < token`"


def address(scene: Scene) -> Finding:
    """Whether a server answers at the manager's address, and speaks TLS."""
    manager = scene.context.manager_address()
    try:
        scene.found_server = shown_by(manager)
    except EaisError as error:
        said = _said_by_manager(scene)
        raise (said or error) from None
    return ok(f"a server answers at {manager}")


def _said_by_manager(scene: Scene) -> EaisError | None:
    """Why this machine's own manager doesn't stay up, if it does not."""
    if not scene.context.state_dir:
        return None
    return last_error(Path(scene.context.state_dir), "manager")


def clock(scene: Scene) -> Finding | None:
    """Whether this machine's clock can be right, by the times of the manager's certificate."""
    own = scene.found_bundle
    if own is None or not judgement.is_of(scene.server, own.ca_pem):
        return None  # nobody has vouched for what these times say
    offset = judgement.offset_by_leaf(scene.server, scene.wall())
    try:
        judgement.check_clock(offset)
    except EaisError as error:
        scene.clock_is_off = True
        return problem(error)
    return None


def validity(scene: Scene) -> Finding | None:
    """Whether the leaf's time has come and isn't over; one that has ended is renewed if it can."""
    if scene.clock_is_off:
        return None
    seen = scene.bundle
    try:
        scene.found_bundle = scene.own.dialer.bundle()
    except Unavailable:
        ended = f"it ended at {_day(seen.not_after)}, and is renewed when the pool answers"
        return unknown(ended)
    except IdentityError as error:
        if error.reason == "CERT_EXPIRED" and not scene.context.state_dir:
            error.hint = _JOIN
        raise
    left = span(scene.bundle.not_after - scene.wall())
    renewed = " (it had ended; it was renewed by the enrolment)" if seen != scene.bundle else ""
    return ok(f"valid for another {left}{renewed}")


def server(scene: Scene) -> Finding:
    """Whether who answers is this pool's manager."""
    name = scene.context.manager_address().server_name
    judgement.check_server(scene.server, name, scene.bundle.ca_pem, scene.wall())
    return ok(f"{name}, of the CA that is trusted here")


def accepted(scene: Scene) -> Finding:
    """Whether the manager takes this user's certificate."""
    alert = refused_by(scene.context.manager_address(), scene.own.leaf.path)
    if alert is not None:
        raise judgement.refusal(alert, scene.bundle, scene.server)
    return ok("the manager takes the certificate")


def version(scene: Scene) -> Finding:
    """Whether both speak the same wire version."""
    with dial_as(scene.context.manager_address(), scene.bundle) as channel:
        reply = client.call(
            channel,
            verbs.POOL_GREET,
            hello(SOFTWARE),
            timeout_s=TIMEOUT_S,
            unreachable="POOL_UNREACHABLE",
        )
    try:
        check_version(reply)
    except EaisError as error:
        error.message = f"{reply.software or 'the manager'}: {error.message}"
        error.hint = "install the release of EAIS that the pool runs"
        raise
    return ok(f"wire version {reply.version}, {reply.software}")


def exact_clock(scene: Scene) -> Finding:
    """How far the clocks differ, by a leaf that the pool issues now, and that nobody uses."""
    request = common_pb2.RenewRequest(csr_pem=tls.make_csr(tls.new_key()))
    asked = scene.wall()
    with dial_as(scene.context.manager_address(), scene.bundle) as channel:
        reply = client.call(
            channel,
            verbs.POOL_RENEW,
            request,
            timeout_s=TIMEOUT_S,
            unreachable="POOL_UNREACHABLE",
        )
    (issued,) = tls.load_certificates(reply.leaf_pem)
    offset = judgement.offset_by_issue(issued, asked, scene.wall())
    judgement.check_clock(offset)
    far = max(abs(offset.least), abs(offset.most))
    return ok(f"within {span(far + timedelta(seconds=1))} of the pool's")


def renewal(scene: Scene) -> Finding | None:
    """What ends when, and whether it will be renewed."""
    if scene.clock_is_off:
        return None
    now = scene.wall()
    ca_ends = min(ca.not_valid_after_utc for ca in tls.load_certificates(scene.bundle.ca_pem))
    words = [f"leaf until {_day(scene.bundle.not_after)}"]
    if scene.own.enrolment.there:
        words.append(f"enrolment until {_day(_enrolment_end(scene, now))}")
    words.append(f"the pool's CA until {ca_ends:%F}")
    if judgement.ends_soon(ca_ends, now):
        text = f"the pool's CA ends in {span(ca_ends - now)}, and all certificates with it"
        raise IdentityError("CERT_EXPIRED", text, hint="an operator: `eais pool roll-ca`")
    if not (scene.own.enrolment.there or scene.context.state_dir):
        raise IdentityError(
            "CERT_MISSING",
            f"there is no enrolment: this identity ends for good at {_day(scene.bundle.not_after)}",
            hint=_JOIN,
        )
    return ok("; ".join(words))


def _enrolment_end(scene: Scene, now: datetime) -> datetime:
    """When the enrolment ends; raises `IdentityError` if it is no use for this leaf."""
    try:
        enrolled = scene.own.enrolment.current()
        tls.check_validity(enrolled, now, timedelta(0))
        if enrolled.identity.enrolled != scene.bundle.identity:
            text = f"the enrolment is of {enrolled.identity.enrolled.uri}"
            raise IdentityError("CERT_IDENTITY", text)
        if is_due(enrolled, scene.bundle, now) and now < enrolled.renew_after:
            text = "the enrolment is of a CA that signs no more, and wasn't renewed in time"
            raise IdentityError("CERT_UNTRUSTED", text)
    except IdentityError as error:
        left = span(scene.bundle.not_after - now)
        error.message = f"{error.message}; the identity ends in {left} unless it is renewed before"
        error.hint = _JOIN
        raise
    return enrolled.not_after


def _day(moment: datetime) -> str:
    return f"{moment:%F %R} UTC"
