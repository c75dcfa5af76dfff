"""What libnftables says of commands that it can't read, which asks nothing of the kernel."""

from __future__ import annotations

import ctypes.util

import pytest

from eais.errors import ConfigError
from eais_server.net.firewall import nft

pytestmark = pytest.mark.skipif(
    not ctypes.util.find_library("nftables"), reason="libnftables isn't installed"
)


def test_what_cant_be_read_is_said_in_one_line() -> None:
    with pytest.raises(ConfigError) as caught:
        nft.run("rubbish\n", dry=True)
    assert caught.value.reason == "NETDEV"
    assert caught.value.message.startswith("nftables refuses: syntax error")
    assert "\n" not in caught.value.message
    assert "1.0 or newer" in caught.value.hint
