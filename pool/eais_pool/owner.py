"""The identities that live on the manager's own machine, in their files.

The manager makes them, and renews its own. The others renew themselves over the wire as they
do on every machine; the manager steps in only where nobody did: an owner whose programs
haven't run for a while, a listener that was down, has no leaf left to renew with.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path

from eais import tls
from eais.errors import IdentityError
from eais.identity import Identity, Role
from eais_pool.authority import Authority

log = logging.getLogger(__name__)

OWNER_TENANT = "default"
OWNER = "owner"
LOCAL_HOST = "local"

# Renewal is due at 66 % of a leaf's life at the latest.
_STEP_IN = 0.80


def embedded_identities(pool: str, state_dir: Path, owner_dir: Path | None) -> dict[Path, Identity]:
    """The files of an embedded pool, and whose identity each one is."""
    places = {
        state_dir / "manager" / "identity.pem": Identity.manager(pool),
        state_dir / "listener" / "identity.pem": Identity.listener(pool, LOCAL_HOST),
    }
    if owner_dir is not None:
        places[owner_dir / "frontend.pem"] = Identity.frontend(pool, OWNER_TENANT, OWNER)
        places[owner_dir / "operator.pem"] = Identity.operator(pool, OWNER)
    return places


class Keeper:
    """Issues leaves into files: the manager's before half to two thirds of its life is over.

    `own` is the manager's, which is used also when it can't be written.
    """

    def __init__(
        self,
        authority: Authority,
        places: Mapping[Path, Identity],
        life: timedelta,
        wall: Callable[[], datetime],
        own: tls.OwnLeaf,
    ) -> None:
        self._authority = authority
        self._places = places
        self._life = life
        self._wall = wall
        self._own = own

    @property
    def interval_s(self) -> float:
        """How often to `refresh`: several times between when it is due and when it is late."""
        return min(60.0, self._life.total_seconds() / 20)

    def refresh(self) -> None:
        """Make anew what isn't there, won't do, or is due.

        Raises:
            IdentityError: the CA has ended.
            OSError: a file can't be written; the others may have been.
        """
        for path, identity in self._places.items():
            if self._due(path, identity):
                bundle = self._authority.bundle(identity, self._wall(), self._life)
                if path == self._own.path:
                    self._own.replace(bundle)
                else:
                    tls.save_bundle(path, bundle)
                log.info("%s: a leaf until %s", identity.uri, bundle.not_after)

    def refresh_or_log(self) -> None:
        """`refresh`; what fails is logged, and tried again the next time."""
        try:
            self.refresh()
        except (IdentityError, OSError) as error:
            log.error("identities of this machine aren't fresh: %s", error)

    def _due(self, path: Path, identity: Identity) -> bool:
        now = self._wall()
        try:
            bundle = self._own.current() if path == self._own.path else tls.load_bundle(path)
            tls.check_validity(bundle, now)
        except IdentityError as error:
            if error.reason != "CERT_MISSING":
                log.warning("%s is made anew: %s", path.name, error)
            return True
        if bundle.identity != identity:
            return True
        if identity.role is Role.MANAGER:
            # Its servers trust what the CA is now, and at once.
            return now >= bundle.renew_after or bundle.ca_pem != self._authority.ca_pem
        return now >= _stepped_in_after(bundle) or not self._fits(bundle)

    def _fits(self, bundle: tls.Bundle) -> bool:
        """Whether it and the pool still trust each other, as after a roll that it slept through."""
        issued = tls.is_issued_by(bundle.leaf_pem, self._authority.ca_pem)
        return issued and self._authority.signer_pem in bundle.ca_pem


def _stepped_in_after(bundle: tls.Bundle) -> datetime:
    """When whoever has this identity should long have renewed it."""
    issued = bundle.not_before + tls.CLOCK_SKEW
    return issued + (bundle.not_after - issued) * _STEP_IN
