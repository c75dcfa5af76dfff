"""The pool manager's process: `python -m eais_pool.manager --state-dir S`.

It ends with 0 on SIGTERM and SIGINT. What keeps it from serving is one line on
stderr; the exit code is that of `eais.report`.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import importlib.util
import os
import signal
import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

from setproctitle import setproctitle

from eais import config
from eais.errors import ConfigError, EaisError
from eais.failpoints import die_at_named_in, nowhere
from eais.notify import Notifier
from eais.parent import end_with_parent
from eais.process_limits import keep_keys_and_connections
from eais.report import EXIT_FAILED
from eais.standard_streams import hold_standard_streams, leave, tell
from eais.telemetry.logs import format_of, log_to_stderr, use_format
from eais_pool.config import ManagerConfig
from eais_pool.price_config import read_prices
from eais_pool.quota_config import read_quotas
from eais_pool.serving import Manager
from eais_pool.vnic_config import read_net_rules

TITLE = "eais-manager"
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=TITLE, description="The manager of an EAIS pool.")
    parser.add_argument("--state-dir", type=Path, required=True, help="the pool's state")
    parser.add_argument("--owner-dir", type=Path, help="where the owner's identities are kept")
    parser.add_argument("--config", type=Path, help="a TOML file with a [manager] table")
    parser.add_argument("--bind", metavar="ADDRESS", help="the address of all planes")
    parser.add_argument("--parent-pid", type=int, help="end when this process does")
    parser.add_argument("--test-failpoints", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--test-leaf-life-s", type=float, help=argparse.SUPPRESS)
    return parser


async def serve(manager: Manager, notifier: Notifier) -> int:
    """Run until told to stop; the exit code. `notifier` is told that it serves and moves."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _STOP_SIGNALS:
        loop.add_signal_handler(number, stop.set)
    await manager.start()
    notifier.ready()
    watched = asyncio.create_task(notifier.watch(manager.pump.moves))
    failed = asyncio.create_task(manager.failed())
    told = asyncio.create_task(stop.wait())
    await asyncio.wait((failed, told), return_when=asyncio.FIRST_COMPLETED)
    code = 0 if told.done() else EXIT_FAILED
    notifier.stopping()
    for task in (failed, told, watched):
        task.cancel()
    await manager.stop()
    return code


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if importlib.util.find_spec("uvloop") is None:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = importlib.import_module(
        "uvloop"
    ).new_event_loop
    return factory


def _run(given: argparse.Namespace) -> int:
    file = config.read_pool_file(given.config)
    settings = config.load(
        ManagerConfig, table="manager", flags={"bind": given.bind}, environ=os.environ, file=file
    )
    use_format(format_of(settings.log_format))
    reach = die_at_named_in(given.test_failpoints) if given.test_failpoints else nowhere
    vnics, prices = read_net_rules(file), read_prices(file)
    quotas = read_quotas(file).naming(vnics.tenants)
    seconds = given.test_leaf_life_s
    manager = Manager(
        given.state_dir,
        given.owner_dir,
        settings,
        quotas=quotas,
        prices=prices,
        vnics=vnics,
        reach=reach,
        test_leaf_life=timedelta(seconds=seconds) if seconds else None,
    )
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        notifier = Notifier.from_environ(os.environ, os.getpid())
        code = runner.run(serve(manager, notifier))
    # Told twice, by a supervisor and a terminal, it has still ended as it was told.
    for number in _STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    return code


def main(argv: Sequence[str] | None = None) -> int:
    """Run a manager; the exit code."""
    hold_standard_streams()
    setproctitle(TITLE)
    given = _parser().parse_args(argv)
    os.umask(0o077)
    keep_keys_and_connections()
    if given.parent_pid and not end_with_parent(given.parent_pid, signal.SIGTERM):
        return 0
    log_to_stderr(TITLE)
    try:
        return leave(_run(given))
    except OSError as error:
        where = error.filename or given.state_dir
        text = f"{where}: {error.strerror}" if error.strerror else str(error)
        return tell(ConfigError("STATE_DIR", text))
    except EaisError as error:
        return tell(error)


if __name__ == "__main__":
    sys.exit(main())
