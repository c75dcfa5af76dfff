"""What the kernel refuses is said with what would help, whatever it is short of."""

from __future__ import annotations

import errno
import os

import pytest

from eais.errors import ConfigError
from eais_server.net.links.kernel_says import kernel_says


@pytest.mark.parametrize(
    ("number", "helps"),
    [
        (errno.ENOMEM, "no memory for it now"),
        (errno.ENOBUFS, "no memory for it now"),
        (errno.EMFILE, "LimitNOFILE"),
        (errno.ENFILE, "fs.file-max"),
        (errno.EAGAIN, "TasksMax"),
        (errno.EPERM, "CAP_NET_ADMIN"),
    ],
)
def test_what_there_is_too_little_of_is_named(number: int, helps: str) -> None:
    with pytest.raises(ConfigError) as caught, kernel_says("eais0 can't be made"):
        raise OSError(number, os.strerror(number))
    assert caught.value.reason == "NETDEV"
    assert caught.value.message == f"eais0 can't be made: {os.strerror(number)}"
    assert helps in caught.value.hint


def test_a_driver_knows_better() -> None:
    hints = {errno.EADDRINUSE: "`ss -lunp` names it", errno.EPERM: "ask root"}
    with pytest.raises(ConfigError) as caught, kernel_says("eais0 can't be made", hints):
        raise PermissionError(errno.EPERM, "no")
    assert caught.value.hint == "ask root"
