from __future__ import annotations

import pytest

from eais_server.supervision.quarantine import MAX_OF_TENANT, Model, Quarantine, Record

M = Model("acme", "ab" * 32)
SEGV = {"signal": "SIGSEGV"}


@pytest.fixture
def quarantine() -> Quarantine:
    return Quarantine(quarantine_s=100.0)


def test_nothing_is_known_of_a_model_that_did_nothing(quarantine: Quarantine) -> None:
    assert quarantine.refusal(M, 0.0) is None
    assert not quarantine.loaded(M)
    assert not quarantine.ran(M)
    assert quarantine.records() == ()


def test_one_death_is_remembered_and_refuses_nothing(quarantine: Quarantine) -> None:
    quarantine.died(M, "run", SEGV, 10.0)
    assert quarantine.records() == (Record(M, 0, 1, "run", SEGV, 110.0),)
    assert quarantine.refusal(M, 11.0) is None


def test_what_a_refusal_says(quarantine: Quarantine) -> None:
    for now in (10.0, 20.0):
        quarantine.died(M, "run", SEGV, now)
    refusal = quarantine.refusal(M, 50.0)
    assert refusal is not None
    assert refusal.reason == "MODEL_QUARANTINED"
    assert refusal.metadata == {
        "deaths": "2",
        "stage": "run",
        "signal": "SIGSEGV",
        "ends_in_s": "70",
    }
    assert "another 2 min" in refusal.message
    assert "SIGSEGV" in refusal.message


def test_hours_are_said_as_such() -> None:
    quarantine = Quarantine(quarantine_s=86400.0)
    for now in (0.0, 1.0):
        quarantine.died(M, "load", SEGV | {"cause": "memory"}, now)
    refusal = quarantine.refusal(M, 1801.0)
    assert refusal is not None
    assert "another 23.5 h" in refusal.message
    assert "loaded (memory)" in refusal.message


def test_no_success_lifts_a_condemnation(quarantine: Quarantine) -> None:
    for now in (10.0, 20.0):
        quarantine.died(M, "load", SEGV, now)
    assert not quarantine.loaded(M)
    assert not quarantine.ran(M)
    assert quarantine.condemned(M)


def test_a_load_leaves_the_deaths_of_runs(quarantine: Quarantine) -> None:
    quarantine.died(M, "run", SEGV, 10.0)
    assert not quarantine.loaded(M)
    assert quarantine.deaths(M) == 1


def test_time_takes_back_a_death_too(quarantine: Quarantine) -> None:
    quarantine.died(M, "run", SEGV, 10.0)
    quarantine.died(M, "run", SEGV, 111.0)
    assert quarantine.deaths(M) == 1


def test_a_tenant_has_its_own_oldest_forgotten(quarantine: Quarantine) -> None:
    quarantine.died(M, "run", SEGV, 0.0)
    theirs = [Model("other", f"{n:064x}") for n in range(MAX_OF_TENANT + 3)]
    for model in theirs:
        quarantine.died(model, "load", SEGV, 1.0)
    assert quarantine.deaths(M) == 1
    assert [quarantine.deaths(model) for model in theirs[:4]] == [0, 0, 0, 1]
    assert len(quarantine.records()) == MAX_OF_TENANT + 1


def test_what_was_kept_is_known_again(quarantine: Quarantine) -> None:
    for now in (10.0, 20.0):
        quarantine.died(M, "load", SEGV, now)
    again = Quarantine(quarantine_s=100.0)
    again.restore(quarantine.records())
    assert again.refusal(M, 30.0) == quarantine.refusal(M, 30.0)
