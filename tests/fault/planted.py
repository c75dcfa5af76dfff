"""Bugs that a fault-tolerant system grows, each as an edit of one place in the product.

They are applied to a copy of the tree, so the product itself has no switch for them: there is
nothing that a user could reach.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bug:
    """`old`, which `file` has exactly once, becomes `new`; one of `tests` must then fail."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


CLIENT = "tests/unit/client/test_calls.py"
FILES = "tests/fault/test_disk_steps.py"
DEATHS = "tests/unit/server/test_deaths.py"
USAGE = "tests/unit/server/test_usage.py"

BUGS = (
    Bug(
        "skip the epoch check (worker)",
        "server/eais_server/worker/calls.py",
        "if asked.epoch < service.epoch:",
        "if asked.epoch < 0:",
        ("tests/unit/server/worker/test_calls.py",),
    ),
    Bug(
        "skip the epoch check (listener)",
        "server/eais_server/listener/admission.py",
        "if epoch < lease.epoch:",
        "if epoch < 0:",
        ("tests/unit/server/test_admission.py",),
    ),
    Bug(
        "retry after DEADLINE_EXCEEDED",
        "eais/errors.py",
        '"DEADLINE_EXCEEDED": ReasonSpec(DeadlineExceeded, "DEADLINE_EXCEEDED"),',
        '"DEADLINE_EXCEEDED": ReasonSpec(DeadlineExceeded, "DEADLINE_EXCEEDED", retryable=True),',
        (CLIENT,),
    ),
    Bug(
        "answer before the journal is durable",
        "pool/eais_pool/pump.py",
        """                await self._commit(action.facts, what)
        if item.event""",
        """                self._expect_answer(item, actions)
                self._speak(item, actions)
                await self._commit(action.facts, what)
        if item.event""",
        ("tests/unit/pool/test_pump.py",),
    ),
    Bug(
        "answer before the disk has the journal",
        "pool/eais_pool/journal_file.py",
        '"synchronous=FULL"',
        '"synchronous=OFF"',
        ("tests/unit/pool/test_journal_file.py",),
    ),
    Bug(
        "forget to cancel (client)",
        "client/eais_client/brain/leaving.py",
        "        do.append(Cancel(number, link.stream))",
        "        pass",
        (CLIENT,),
    ),
    Bug(
        "forget to cancel (worker)",
        "server/eais_server/worker/calls.py",
        "        stop: list[Action] = [Stop(call.asked)] if call.handed else []",
        "        stop: list[Action] = []",
        ("tests/unit/server/worker/test_calls.py",),
    ),
    Bug(
        "two layers of retry (gRPC's own)",
        "eais/channel.py",
        '("grpc.enable_retries", 0),',
        """("grpc.enable_retries", 1),
        (
            "grpc.service_config",
            '{"methodConfig": [{"name": [{}], "retryPolicy": {"maxAttempts": 3,'
            '"initialBackoff": "0.01s", "maxBackoff": "0.1s", "backoffMultiplier": 2,'
            '"retryableStatusCodes": ["UNAVAILABLE"]}}]}',
        ),""",
        ("tests/unit/kernel/test_one_retry_layer.py",),
    ),
    Bug(
        "two layers of retry (in the stubs)",
        "eais/rpc/client.py",
        """    stub = channel.unary_unary(verb.path, _serialize, verb.reply.FromString)
    try:
        return cast("Rep", stub(request, timeout=timeout_s))
""",
        """    stub = channel.unary_unary(verb.path, _serialize, verb.reply.FromString)
    try:
        try:
            return cast("Rep", stub(request, timeout=timeout_s))
        except grpc.RpcError:
            return cast("Rep", stub(request, timeout=timeout_s))
""",
        ("tests/unit/kernel/test_one_retry_layer.py",),
    ),
    Bug(
        "send again more often than three times",
        "client/eais_client/brain/calls.py",
        "    if may_retry and call.attempts < state.limits.max_attempts:",
        "    if may_retry:",
        (CLIENT,),
    ),
    Bug(
        "quarantine on SIGKILL",
        "server/eais_server/supervision/blame.py",
        '_FAULTS = frozenset({"SIGSEGV",',
        '_FAULTS = frozenset({"SIGKILL", "SIGSEGV",',
        (DEATHS,),
    ),
    Bug(
        "never quarantine",
        "server/eais_server/supervision/quarantine.py",
        "DEATHS: Final = 2",
        "DEATHS: Final = 2_000",
        (DEATHS,),
    ),
    Bug(
        "take the next worker before the last one's exit was seen",
        "server/eais_server/supervision/advance.py",
        "if not s.worker and not s.leaving)",
        "if (not s.worker or state.workers[s.worker].killed) and not s.leaving)",
        ("tests/unit/server/test_supervision.py",),
    ),
    Bug(
        "no jitter",
        "eais/backoff.py",
        "return rng() * self.wait_s(failures)",
        "return self.wait_s(failures)",
        ("tests/unit/kernel/test_backoff.py",),
    ),
    Bug(
        "take a piece that leaves a gap",
        "server/eais_server/worker/calls.py",
        "    if offset > have:",
        "    if offset > have + 1:",
        ("tests/unit/server/worker/test_calls.py",),
    ),
    Bug(
        "swallow a full disk",
        "eais/files.py",
        "write_all(fd, data, 0, disk)\n        disk.fsync(fd)",
        "write_all(fd, data, 0, disk)\n        with suppress(OSError):\n            disk.fsync(fd)",
        ("tests/unit/kernel/test_files.py",),
    ),
    Bug(
        "give a name to what the disk doesn't have yet",
        "eais/files.py",
        "write_all(fd, data, 0, disk)\n        disk.fsync(fd)",
        "write_all(fd, data, 0, disk)",
        (FILES,),
    ),
    Bug(
        "forget the directory",
        "eais/files.py",
        "        disk.rename(part, path)\n        sync_dir(path.parent, disk)",
        "        disk.rename(part, path)",
        (FILES,),
    ),
    Bug(
        "forget what dead workers counted (listener)",
        "server/eais_server/listener/usage.py",
        "counters += counted.since(self.pages.get(name, Counters()))",
        "counters += Counters()",
        (USAGE,),
    ),
    Bug(
        "count a page again that was counted (listener)",
        "server/eais_server/listener/usage.py",
        "counters += counted.since(self.pages.get(name, Counters()))",
        "counters += counted",
        (USAGE,),
    ),
    Bug(
        "read the tenant from a field",
        "server/eais_server/listener/admission.py",
        "if lease is None or lease.tenant != tenant:",
        "if lease is None:",
        ("tests/unit/server/test_admission.py",),
    ),
)
