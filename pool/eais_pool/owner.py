"""The identities that live on the manager's own machine, kept fresh in their files.

Their owners read the files again and ask nobody; elsewhere identities renew
themselves over the wire.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path

from eais import tls
from eais.errors import IdentityError
from eais.identity import Identity
from eais_pool.authority import Authority

log = logging.getLogger(__name__)

OWNER_TENANT = "default"
OWNER = "owner"
LOCAL_HOST = "local"


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
    """Issues leaves into files, before half to two thirds of their life is over."""

    def __init__(
        self,
        authority: Authority,
        places: Mapping[Path, Identity],
        life: timedelta,
        wall: Callable[[], datetime],
    ) -> None:
        self._authority = authority
        self._places = places
        self._life = life
        self._wall = wall

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
            bundle = tls.load_bundle(path)
            tls.check_validity(bundle, now)
        except IdentityError as error:
            if error.reason != "CERT_MISSING":
                log.warning("%s is made anew: %s", path.name, error)
            return True
        ours = bundle.identity == identity and bundle.ca_pem == self._authority.ca_pem
        return not ours or now >= bundle.renew_after
