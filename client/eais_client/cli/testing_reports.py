"""What a `FakePool` answers as it was told to, and what it was asked."""

from __future__ import annotations

from eais.rpc.v1 import ledger_pb2, profiles_pb2, whatif_pb2


class FakeReports:
    """What it answers, and what was asked.

    `measures` are the answers to `eais profile`, one after the other; `measured` what was asked.
    `usage` is what `eais usage` is answered; `usage_asked` what was asked. `replays` and
    `replays_asked` are the same of `eais whatif`.
    """

    def __init__(self) -> None:
        self.measures: list[profiles_pb2.MeasureReply] = []
        self.measured: list[profiles_pb2.MeasureRequest] = []
        self.usage: list[ledger_pb2.UsageLine] = []
        self.usage_asked: list[ledger_pb2.UsageRequest] = []

        self.replays: list[whatif_pb2.ReplayLine] = []
        self.replays_asked: list[whatif_pb2.ReplayRequest] = []

    def _replay(self, request: whatif_pb2.ReplayRequest) -> whatif_pb2.ReplayReply:
        self.replays_asked.append(request)
        return whatif_pb2.ReplayReply(lines=self.replays)

    def _usage(self, request: ledger_pb2.UsageRequest) -> ledger_pb2.UsageReply:
        self.usage_asked.append(request)
        return ledger_pb2.UsageReply(lines=self.usage)

    def _measure(self, request: profiles_pb2.MeasureRequest) -> profiles_pb2.MeasureReply:
        self.measured.append(request)
        return self.measures.pop(0)
