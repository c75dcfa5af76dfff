"""What certificates and clocks say, when what was seen is put together. (Brain)

A server that runs shows a leaf whose times bound its clock: it was issued before now, and is
renewed before its end. A leaf that it issues this moment says its clock to the second. Nobody
sends the time of day.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from eais import tls
from eais.errors import EaisError, IdentityError, make_error
from eais.tls import CLOCK_SKEW, Bundle

_SET_CLOCK = "set this machine's clock, and have it kept: chrony, systemd-timesyncd"
_OR_SERVER = "; if it is right, the manager hasn't renewed its own certificate: see its log"
_SOON = timedelta(days=30)
_REASONS = {
    "UNKNOWN_CA": "CERT_UNTRUSTED",
    "CERTIFICATE_EXPIRED": "CERT_EXPIRED",
    "CERTIFICATE_REQUIRED": "CERT_MISSING",
    "UNSUPPORTED_CERTIFICATE": "CERT_USAGE",
    "BAD_CERTIFICATE": "CERT_UNREADABLE",
}


@dataclass(frozen=True, slots=True)
class Offset:
    """How far this machine's clock is ahead of the pool's (behind: below 0): between the two."""

    least: timedelta
    most: timedelta


def offset_by_leaf(server: x509.Certificate, now: datetime) -> Offset:
    """What a server's leaf says of its clock: issued before, ends after its now."""
    issued = server.not_valid_before_utc + CLOCK_SKEW
    return Offset(now - server.not_valid_after_utc, now - issued)


def offset_by_issue(issued: x509.Certificate, asked: datetime, answered: datetime) -> Offset:
    """What a leaf says that the pool issued between these two times of this machine's clock."""
    moment = issued.not_valid_before_utc + CLOCK_SKEW
    # A leaf's times are whole seconds.
    return Offset(asked - moment - timedelta(seconds=1), answered - moment)


def check_clock(offset: Offset) -> None:
    """Judge whether this machine's clock is surely further off than certificates bear.

    Raises:
        ConfigError: CLOCK.
    """
    if offset.least > CLOCK_SKEW:
        raise _off("ahead of", offset.least, _SET_CLOCK + _OR_SERVER)
    if offset.most < -CLOCK_SKEW:
        raise _off("behind", -offset.most, _SET_CLOCK)


def _off(where: str, least: timedelta, hint: str) -> EaisError:
    text = f"this machine's clock is {span(least)} or more {where} the pool's"
    return make_error("CLOCK", text, hint=hint)


def check_server(server: x509.Certificate, name: str, ca_pem: bytes, now: datetime) -> None:
    """Judge whether who answers is the server that is meant, as gRPC will.

    Raises:
        IdentityError: SERVER_UNTRUSTED; CERT_EXPIRED, the server's own leaf has ended.
    """
    names = _names(server)
    if name not in names:
        shown = ", ".join(names)[:160] or "nobody that it names"
        raise _untrusted(f"it shows a certificate of {shown}, not of {name}")
    if not is_of(server, ca_pem):
        raise _untrusted("its certificate is of no CA that your identity trusts")
    if now > server.not_valid_after_utc:
        ended = f"{server.not_valid_after_utc:%F %T} UTC"
        raise IdentityError(
            "CERT_EXPIRED",
            f"the certificate of {name} ended at {ended}: it hasn't been renewed",
            hint="ask an operator of the pool: its manager's log says why",
        )


def is_of(server: x509.Certificate, ca_pem: bytes) -> bool:
    """Whether one of these CAs has signed the leaf that a server shows."""
    return any(_issued(authority, server) for authority in tls.load_certificates(ca_pem))


def _names(server: x509.Certificate) -> list[str]:
    """The DNS names of a certificate, which may be anybody's."""
    try:
        names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, *tls.UNREADABLE):
        return []
    return names.get_values_for_type(x509.DNSName)


def _issued(authority: x509.Certificate, leaf: x509.Certificate) -> bool:
    try:
        leaf.verify_directly_issued_by(authority)
    except (*tls.UNREADABLE, InvalidSignature):
        return False
    return True


def _untrusted(why: str) -> IdentityError:
    return IdentityError(
        "SERVER_UNTRUSTED",
        f"who answers isn't the pool's manager as this user knows it: {why}",
        hint="the pool's CA was replaced while you were away, or the address is another "
        "pool's now: join again, `eais join ADDR < token`",
    )


def refusal(alert: str, own: Bundle, server: x509.Certificate) -> EaisError:
    """Why a server that shook hands closed the connection at the sight of `own`.

    `alert` is TLS's word for it, "" if it closed without one, as gRPC's servers do; then the
    causes that can be seen from here are looked for.
    """
    for word, reason in _REASONS.items():
        if word in alert:
            return _refused(reason, f"the server refused the certificate: {alert}")
    if not is_of(server, tls.issuer_pem(own)):
        why = "it is of another CA than the server's, which was replaced or is another pool's"
        return _refused("CERT_UNTRUSTED", f"the server refused the certificate: {why}")
    said = f"by the alert {alert}" if alert else "without a word"
    return _refused("UNAUTHENTICATED", f"the server refused the certificate {said}")


def _refused(reason: str, text: str) -> EaisError:
    return make_error(reason, text, hint="join again: `eais join ADDR < token`")


def ends_soon(ends: datetime, now: datetime) -> bool:
    """Whether what ends then is to be told before it does."""
    return ends - now < _SOON


def span(length: timedelta) -> str:
    """A duration in its two largest units: "2 d 3 h", "41 min 5 s", "0 s"."""
    left, words = int(abs(length).total_seconds()), []
    for unit, seconds in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        if left >= seconds:
            words.append(f"{left // seconds} {unit}")
            left %= seconds
    return " ".join(words[:2]) or "0 s"
