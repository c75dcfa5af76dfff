"""libnftables, as its own header has it: nftables/libnftables.h. No `nft` is started."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
from functools import cache
from typing import Any, Final

from eais.errors import ConfigError, EaisError

_LIBRARY: Final = "libnftables.so.1"
MISSING: Final = "libnftables isn't installed (Debian: apt-get install libnftables1)"
_NETLINK_NETFILTER: Final = 12  # linux/netlink.h
# nftables/libnftables.h
_DEFAULT: Final = 0
_JSON: Final = 1 << 4
_TERSE: Final = 1 << 11

_HINTS: Final = (
    (os.strerror(errno.EPERM), "the firewall needs CAP_NET_ADMIN"),
    (os.strerror(errno.EMFILE), "the network agent has too many files open: LimitNOFILE"),
    (os.strerror(errno.ENFILE), "this host has no more files to open: fs.file-max"),
    (os.strerror(errno.ENOMEM), "the kernel has no memory for it now: ask again"),
    (os.strerror(errno.ENOBUFS), "the kernel has no memory for it now: ask again"),
    ("Protocol not supported", "this kernel has no nf_tables: modprobe nf_tables"),
    ("Operation not supported", "a part of nf_tables is missing: Linux 5.10 or newer has all"),
    ("syntax error", "libnftables is too old: 1.0 or newer is needed"),
)


def run(commands: str, *, terse: bool = False, dry: bool = False) -> str:
    """Carry `commands` out in one transaction, in the calling thread's network namespace.

    Returns: what listing commands among them print, as JSON. `terse`: without sets' elements.
    `dry`: the kernel is asked, and nothing is changed.

    Raises:
        ConfigError: NETDEV, with the kernel's words and what would help.
    """
    library = _library()
    _check_kernel()
    context = library.nft_ctx_new(_DEFAULT)
    if not context:
        raise _refused("no memory", "")
    try:
        library.nft_ctx_set_dry_run(context, dry)
        return _run(library, context, commands, _JSON | (_TERSE if terse else 0))
    finally:
        library.nft_ctx_free(context)


def _run(library: Any, context: int, commands: str, flags: int) -> str:
    library.nft_ctx_output_set_flags(context, flags)
    library.nft_ctx_buffer_output(context)
    library.nft_ctx_buffer_error(context)
    failed = library.nft_run_cmd_from_buffer(context, commands.encode())
    said = (library.nft_ctx_get_error_buffer(context) or b"").decode(errors="replace")
    if failed:
        raise _refused(_first_line(said), said)
    return (library.nft_ctx_get_output_buffer(context) or b"").decode()


def _first_line(said: str) -> str:
    """What went wrong, without where in the commands: "Operation not permitted"."""
    for line in said.splitlines():
        _, mark, text = line.partition("Error: ")
        if mark:
            return text.removeprefix("Could not process rule: ")
    return said.strip().partition("\n")[0] or "no reason is given"


def _refused(why: str, said: str) -> EaisError:
    hint = next((hint for words, hint in _HINTS if words in said or words in why), "")
    return ConfigError("NETDEV", f"nftables refuses: {why}", hint=hint)


def _check_kernel() -> None:
    # libnftables ends the whole process where it gets no such socket.
    try:
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER).close()
    except OSError as error:
        raise _refused(os.strerror(error.errno or 0), "") from None


@cache
def _library() -> Any:
    try:
        library: Any = ctypes.CDLL(_LIBRARY)
    except OSError:
        raise ConfigError("NETDEV", "libnftables isn't installed", hint=MISSING) from None
    context, flags, text = ctypes.c_void_p, ctypes.c_uint, ctypes.c_char_p
    _declare(library.nft_ctx_new, context, ctypes.c_uint32)
    _declare(library.nft_ctx_free, None, context)
    _declare(library.nft_ctx_set_dry_run, None, context, ctypes.c_bool)
    _declare(library.nft_ctx_output_set_flags, None, context, flags)
    _declare(library.nft_ctx_buffer_output, ctypes.c_int, context)
    _declare(library.nft_ctx_buffer_error, ctypes.c_int, context)
    _declare(library.nft_ctx_get_output_buffer, text, context)
    _declare(library.nft_ctx_get_error_buffer, text, context)
    _declare(library.nft_run_cmd_from_buffer, ctypes.c_int, context, text)
    return library


def _declare(function: Any, returns: Any, *takes: Any) -> None:
    function.restype = returns
    function.argtypes = takes
