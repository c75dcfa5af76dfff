"""What may pass by the vNICs of a network namespace, and what is dropped: one nftables table."""

from __future__ import annotations

from eais_server.net.firewall.firewall import Drops, Firewall
from eais_server.net.firewall.ruleset import Guarded, Tunnel

__all__ = ["Drops", "Firewall", "Guarded", "Tunnel"]
