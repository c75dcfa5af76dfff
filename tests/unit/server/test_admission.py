from __future__ import annotations

import pytest

from eais.errors import EaisError, Unavailable
from eais_server.listener.admission import Admission
from eais_server.listener.lease import Lease, Share

NOBODY: frozenset[str] = frozenset()


def lease(instance: str = "ei-1", tenant: str = "acme", epoch: int = 5) -> Lease:
    shares = (Share(1, "cpu0", 1000),)
    return Lease(instance, tenant, epoch, shares, "127.64.0.16", "loopback", 600, "exact")


def admission(*leases: Lease, level: int = 2) -> Admission:
    return Admission(level, {held.instance: held for held in leases})


def refusal(error: pytest.ExceptionInfo[EaisError]) -> tuple[str, str, dict[str, str]]:
    return error.value.reason, error.value.message, error.value.metadata


def test_its_tenant_is_admitted_in_its_epoch() -> None:
    assert admission(lease()).admit("acme", "ei-1", 5) == lease()


def test_not_yours_is_not_there() -> None:
    found = admission(lease())
    with pytest.raises(EaisError) as foreign:
        found.admit("other", "ei-1", 5)
    with pytest.raises(EaisError) as absent:
        found.admit("other", "ei-2", 5)
    assert refusal(foreign) == refusal(absent)
    assert foreign.value.reason == "NOT_FOUND"


@pytest.mark.parametrize("epoch", [0, 4, 5, 6])
def test_a_stranger_learns_nothing_of_the_epoch(epoch: int) -> None:
    with pytest.raises(EaisError) as error:
        admission(lease()).admit("other", "ei-1", epoch)
    assert error.value.reason == "NOT_FOUND"


def test_a_caller_without_a_tenant_is_a_stranger() -> None:
    with pytest.raises(EaisError, match="NOT_FOUND"):
        admission(lease()).admit("", "ei-1", 5)


@pytest.mark.parametrize("epoch", [0, 4])
def test_an_older_epoch_is_over(epoch: int) -> None:
    with pytest.raises(EaisError) as error:
        admission(lease()).admit("acme", "ei-1", epoch)
    assert error.value.reason == "STALE_EPOCH"
    assert error.value.metadata == {"instance": "ei-1", "epoch": "5"}


def test_a_newer_epoch_isnt_held_here_yet_and_may_be_tried_again() -> None:
    with pytest.raises(Unavailable) as error:
        admission(lease()).admit("acme", "ei-1", 6)
    assert error.value.reason == "NO_WORKER"
    assert error.value.retryable


def test_an_older_grant_is_stale() -> None:
    with pytest.raises(EaisError, match="STALE_EPOCH"):
        admission(lease()).check_grant("ei-1", "acme", 4, NOBODY)


@pytest.mark.parametrize("epoch", [5, 6])
def test_a_grant_of_this_epoch_or_a_newer_one_may_begin(epoch: int) -> None:
    admission(lease()).check_grant("ei-1", "acme", epoch, NOBODY)


def test_at_level_2_tenants_share_a_host() -> None:
    admission(lease()).check_grant("ei-2", "other", 1, NOBODY)


def test_below_level_2_one_tenant_has_the_host() -> None:
    found = admission(lease(), level=1)
    found.check_grant("ei-2", "acme", 1, NOBODY)
    with pytest.raises(EaisError, match="ISOLATION_UNAVAILABLE"):
        found.check_grant("ei-2", "other", 1, NOBODY)


def test_below_level_2_a_grant_being_prepared_counts() -> None:
    with pytest.raises(EaisError, match="ISOLATION_UNAVAILABLE"):
        admission(level=1).check_grant("ei-2", "other", 1, frozenset({"acme"}))
