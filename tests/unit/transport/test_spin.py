"""What is learnt of whether to look before sleeping."""

from __future__ import annotations

from eais.transport.spin import CHECK_EVERY, LEAST_NS, MOST_NS, TRY_EVERY, Spin


class Times:
    """Clocks of a thread that `pass_ns` moves, of which it had the processor for `ran`."""

    def __init__(self) -> None:
        self.now = 1
        self.ran = 1
        self.asked = 0

    def pass_ns(self, ns: int, ran: int | None = None) -> None:
        self.now += ns
        self.ran += ns if ran is None else ran

    def spin(self, *, allowed: bool = True) -> Spin:
        return Spin(allowed, lambda: self.now, self.ran_for)

    def ran_for(self) -> int:
        self.asked += 1
        return self.ran


def budget_ns(times: Times, spin: Spin) -> int:
    return spin.look_until() - times.now


def catch(times: Times, spin: Spin, after_ns: int, ran: int | None = None) -> None:
    """One message that comes while one looks."""
    spin.look_until()
    times.pass_ns(after_ns, ran)
    spin.came()


def miss(times: Times, spin: Spin) -> None:
    """One that comes when one has slept."""
    times.pass_ns(max(0, budget_ns(times, spin)))
    spin.gave_up()
    times.pass_ns(1_000_000, 0)
    spin.came()


def looks(times: Times, spin: Spin, many: int) -> int:
    """How often of so many it is looked for, nothing coming meanwhile."""
    found = 0
    for _ in range(many):
        found += budget_ns(times, spin) > 0
        miss(times, spin)
    return found


def test_it_looks_at_first_and_as_long_as_something_comes() -> None:
    times = Times()
    spin = times.spin()
    for _ in range(100):
        assert budget_ns(times, spin) == MOST_NS
        catch(times, spin, 60_000)
    for _ in range(100):
        catch(times, spin, 1_000)
    assert budget_ns(times, spin) == LEAST_NS, "no longer than need be, and worth a wake-up"


def test_it_looks_seldom_where_nothing_comes() -> None:
    times = Times()
    spin = times.spin()
    looks(times, spin, 20)
    assert looks(times, spin, 10 * TRY_EVERY) == 10


def test_what_came_after_a_sleep_says_nothing() -> None:
    times = Times()
    spin = times.spin()
    looks(times, spin, 20)
    for _ in range(TRY_EVERY):
        if budget_ns(times, spin) <= 0:
            times.pass_ns(10, 0)
            spin.came()
        else:
            miss(times, spin)
    assert looks(times, spin, 2 * TRY_EVERY) == 2


def test_it_is_learnt_anew_that_something_comes() -> None:
    times = Times()
    spin = times.spin()
    looks(times, spin, 50)
    for _ in range(3 * TRY_EVERY):
        if budget_ns(times, spin) > 0:
            catch(times, spin, 20_000)
        else:
            miss(times, spin)
    assert budget_ns(times, spin) > 0


def test_who_takes_the_processor_from_the_sender_leaves_it() -> None:
    times = Times()
    spin = times.spin()
    found = 0
    for _ in range(10 * TRY_EVERY):
        if budget_ns(times, spin) > 0:
            found += 1
            catch(times, spin, 40_000, ran=10_000)
        else:
            miss(times, spin)
    assert found < 20


def test_where_nobody_wants_the_processor_that_is_seldom_asked() -> None:
    times = Times()
    spin = times.spin()
    for _ in range(10 * CHECK_EVERY):
        catch(times, spin, 20_000)
    assert times.asked == 2 * 10


def test_who_takes_the_processor_later_is_noticed_all_the_same() -> None:
    times = Times()
    spin = times.spin()
    for _ in range(10 * CHECK_EVERY + 1):
        catch(times, spin, 20_000)
    looked = 0
    while budget_ns(times, spin) > 0:
        catch(times, spin, 40_000, ran=10_000)
        looked += 1
        assert looked < 3 * CHECK_EVERY
    assert looked >= CHECK_EVERY - 1, "until then it wasn't asked"


def test_asked_again_it_looks_no_longer() -> None:
    times = Times()
    spin = times.spin()
    until = spin.look_until()
    times.pass_ns(10_000)
    assert spin.look_until() == until
    spin.forget()
    assert spin.look_until() == until + 10_000


def test_without_a_processor_for_either_end_it_never_looks() -> None:
    times = Times()
    assert looks(times, times.spin(allowed=False), 10 * TRY_EVERY) == 0
