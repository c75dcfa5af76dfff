from __future__ import annotations

import csv
import io
import json

from eais.rpc.v1 import ledger_pb2
from eais_client.cli.testing import FakeOutside

LINE = ledger_pb2.UsageLine(
    instance="ei-0001",
    model="ab" * 32,
    device_s=5400,
    cost=3.75,
    requests=12,
    bytes_in=340,
    bytes_out=56,
    busy_ns=1_500_000_000,
)
EVIL = ledger_pb2.UsageLine(instance='=cmd|"x"!A1', device_s=3600)


def test_a_tenant_sees_what_it_used_with_units_in_the_headings(eais: FakeOutside) -> None:
    eais.pool.usage = [LINE]
    said = eais.run("usage", "--since", "2h", "--by", "instance", "--by", "model")
    assert (said.code, said.err) == (0, "")
    (asked,) = eais.pool.usage_asked
    assert (asked.since_s, asked.until_s, list(asked.by)) == (7200, 0, ["instance", "model"])
    head, row = said.out.splitlines()
    assert head.split() == [
        *("INSTANCE", "MODEL", "DEVICE-HOURS", "COST", "REQUESTS"),
        *("BYTES", "IN", "BYTES", "OUT", "BUSY", "S"),
    ]
    assert row.split() == ["ei-0001", "ab" * 6, "1.5000", "3.7500", "12", "340", "56", "1.5"]


def test_what_vnics_have_carried_is_shown_where_there_is_some(eais: FakeOutside) -> None:
    carried = ledger_pb2.UsageLine(
        instance="ei-0002", vnic_bytes_in=7, vnic_bytes_out=8, vnic_packets_in=1, vnic_packets_out=2
    )
    eais.pool.usage = [LINE, carried]
    head, first, second = eais.run("usage").out.splitlines()
    assert head.split()[-6:] == ["VNIC", "BYTES", "IN", "VNIC", "BYTES", "OUT"]
    assert (first.split()[-2:], second.split()[-2:]) == (["0", "0"], ["7", "8"])
    lines = json.loads(eais.run("usage", "-o", "json").out)["usage"]
    assert (lines[1]["vnic_packets_in"], lines[1]["vnic_packets_out"]) == (1, 2)


def test_json_has_all_of_a_line(eais: FakeOutside) -> None:
    eais.pool.usage = [LINE]
    (line,) = json.loads(eais.run("usage", "-o", "json").out)["usage"]
    assert (line["device_s"], line["model"], line["busy_s"]) == (5400, "ab" * 32, 1.5)


def test_csv_is_exact_and_computes_nothing_in_a_spreadsheet(eais: FakeOutside) -> None:
    eais.pool.usage = [LINE, EVIL]
    out = eais.run("usage", "-o", "csv").out
    assert out.endswith("\r\n")
    head, line, evil = csv.reader(io.StringIO(out, newline=""))
    assert head[:4] == ["INSTANCE", "DEVICE-HOURS", "COST", "REQUESTS"]
    assert head[4:7] == ["BYTES IN", "BYTES OUT", "BUSY S"]
    assert head[7:] == ["VNIC BYTES IN", "VNIC BYTES OUT", "VNIC PACKETS IN", "VNIC PACKETS OUT"]
    assert line == ["ei-0001", "1.5", "3.75", "12", "340", "56", "1.5", "0", "0", "0", "0"]
    assert evil[0] == '\'=cmd|"x"!A1'


def test_csv_is_of_commands_that_have_rows(eais: FakeOutside) -> None:
    said = eais.run("list", "-o", "csv")
    assert said.code == 2
    assert "ARGUMENT" in said.err


def test_nothing_used_is_said(eais: FakeOutside) -> None:
    assert eais.run("usage").out == "Nothing was used.\n"


def test_a_time_that_is_none_is_refused(eais: FakeOutside) -> None:
    said = eais.run("usage", "--since", "soon")
    assert (said.code, "ARGUMENT" in said.err) == (2, True)
