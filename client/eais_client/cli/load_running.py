"""Runs what `eais loadtest` was asked for, and tells what came of it."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from eais.tls import LeafFile
from eais_client.brain.choose import choose
from eais_client.cli.command import Call
from eais_client.cli.load_ending import ended_once, tell_result

if TYPE_CHECKING:
    from eais_client.cli.load_plan import Asked, LoadOptions
    from eais_client.load.result import LoadTestResult
    from eais_client.load.running import Outcome, Plan
    from eais_client.load.target import TargetSpec
    from eais_client.load.targets.attaching import Attached


def run_load_test(call: Call, options: LoadOptions) -> int:
    """Run the test, write and print what came of it; the exit code.

    Raises `UsageError` for options that make no sense, and what hinders the test.
    """
    from eais_client.cli.load_plan import read_options, with_targets
    from eais_client.load.targets.settings import with_settings

    asked = read_options(options)
    for note in asked.notes:
        call.printer.note(note)
    when = datetime.now(UTC)
    with ExitStack() as stack:
        made = _instances(call, stack, asked)
        known = [*made, *_described(call, options.instance or ())]
        plan = with_targets(asked.plan, [_target(each) for each in made])
        plan = replace(plan, targets=with_settings(plan.targets, options.setting or ()))
        outcome = _run(call, plan)
    result = _result(plan, outcome, asked, known, when)
    return tell_result(call, result, options.report)


def _run(call: Call, plan: Plan) -> Outcome:
    from eais_client.load.report.live import live_view
    from eais_client.load.running import LoadTest

    environ = call.environ()
    with live_view(call.outside.stderr, environ) as watcher:
        test = LoadTest(plan, watcher, environ)
        with ended_once(test.stop, lambda: test.begun):
            return test.run()


def _instances(call: Call, stack: ExitStack, asked: Asked) -> list[Attached]:
    """Those made for the test; the one that is attached here if no target was named."""
    from eais_client.load.targets.attaching import Attached, attached

    if not asked.attach and asked.plan.targets:
        return []
    pool = stack.enter_context(call.pool())
    clock, note = call.outside.clock, call.printer.note
    if asked.attach:
        make = partial(attached, pool, vnic=asked.vnic, clock=clock, note=note)
        return [stack.enter_context(make(type)) for type in asked.attach]
    file = call.store().frontend_file(call.context().name)
    return [Attached(choose(pool.list(), LeafFile(file).current().identity.name), None)]


def _target(made: Attached) -> TargetSpec:
    from eais_client.load.target import TargetKind, TargetSpec

    return TargetSpec(TargetKind.INSTANCE, made.instance.id, made.instance.id)


def _described(call: Call, names: Sequence[str]) -> list[Attached]:
    """The instances that were named; NOT_FOUND for one that isn't there, before any load is."""
    from eais_client.load.targets.attaching import Attached

    if not names:
        return []
    with call.pool() as pool:
        return [Attached(pool.describe(name), None) for name in names]


def _result(
    plan: Plan, outcome: Outcome, asked: Asked, known: list[Attached], when: datetime
) -> LoadTestResult:
    from eais_client.cli.load_result import result_of

    return result_of(plan, outcome, asked.conditions, known, when, typed())


def typed() -> str:
    """The command, as it was typed."""
    return shlex.join(["eais", *sys.argv[1:]])
