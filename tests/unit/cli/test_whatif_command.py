from __future__ import annotations

import json

from eais.rpc.v1 import whatif_pb2
from eais_client.cli.testing import FakeOutside


def line(policy: str, cost: float, instance: str = "", late: float = 5) -> whatif_pb2.ReplayLine:
    return whatif_pb2.ReplayLine(
        policy=policy,
        instance=instance,
        cost=cost,
        calls=1000,
        late=late,
        switches=6,
        seconds=7200,
    )


LINES = [
    line("as it was", 3.0),
    line("oracle", 2.0, late=0),
    line("hpa:0.7", 5.0),
    line("oracle", 1.0, "ei-1"),
    line("hpa:0.7", 2.5, "ei-1"),
]


def test_policies_stand_side_by_side(eais: FakeOutside) -> None:
    eais.pool.replays = LINES
    asked = ("--from", "2h", "--to", "1h", "--instance", "ei-1", "--policy", "hpa:0.7")
    said = eais.run("whatif", *asked)
    assert (said.code, said.err) == (0, "")
    (request,) = eais.pool.replays_asked
    assert (request.since_s, request.until_s, request.instance) == (7200, 3600, "ei-1")
    assert list(request.policies) == ["hpa:0.7"]
    head, *rows = said.out.splitlines()
    assert head.split()[:4] == ["POLICY", "COST", "OF", "ORACLE"]
    assert rows[0].split() == ["as", "it", "was", "3.0000", "1.50", "0.500", "3.0", "1000", "2.00"]
    assert rows[2].split()[:3] == ["hpa:0.7", "5.0000", "2.50"]
    assert len(rows) == 3


def test_each_instance_is_shown_where_all_is_wanted(eais: FakeOutside) -> None:
    eais.pool.replays = LINES
    head, *rows = eais.run("whatif", "-o", "wide").out.splitlines()
    assert head.split()[0] == "INSTANCE"
    assert [row.split()[0] for row in rows] == ["all", "all", "all", "ei-1", "ei-1"]
    assert list(eais.pool.replays_asked[0].policies) == ["auto"]


def test_json_has_what_is_reckoned_too(eais: FakeOutside) -> None:
    eais.pool.replays = LINES
    found = json.loads(eais.run("whatif", "-o", "json").out)["whatif"]
    assert found[2]["cost_over_oracle"] == 2.5
    assert (found[2]["late_percent"], found[2]["switches_per_hour"]) == (0.5, 3.0)


def test_what_cost_nothing_has_no_ratio(eais: FakeOutside) -> None:
    eais.pool.replays = [line("as it was", 0.0), line("oracle", 0.0)]
    assert json.loads(eais.run("whatif", "-o", "json").out)["whatif"][0]["cost_over_oracle"] is None
    assert eais.run("whatif").out.splitlines()[1].split()[4] == "-"


def test_a_time_that_is_none_is_refused(eais: FakeOutside) -> None:
    said = eais.run("whatif", "--from", "soon")
    assert (said.code, "ARGUMENT" in said.err) == (2, True)
