"""Two listeners that have one host's name: the second is refused while the first is there."""

from __future__ import annotations

import pytest

from eais.errors import EaisError
from eais_pool.hosts import Link, Links


def test_the_same_listeners_newer_link_takes_the_place_of_the_older() -> None:
    links, first, second = Links(), Link("h1", "a"), Link("h1", "a")
    links.add(first)
    links.add(second)
    assert first.replaced.is_set()
    assert links.live(second)


def test_another_listener_of_that_name_is_refused_and_changes_nothing() -> None:
    links, first = Links(), Link("h1", "a")
    links.add(first)
    with pytest.raises(EaisError) as caught:
        links.add(Link("h1", "b"))
    assert caught.value.reason == "NAME_TAKEN"
    assert not first.replaced.is_set()
    assert links.live(first)


def test_it_is_taken_when_the_first_is_gone() -> None:
    links, first, second = Links(), Link("h1", "a"), Link("h1", "b")
    links.add(first)
    links.remove(first)
    links.add(second)
    assert links.live(second)


def test_hosts_of_other_names_do_not_matter() -> None:
    links, first, second = Links(), Link("h1", "a"), Link("h2", "b")
    links.add(first)
    links.add(second)
    assert links.live(first)
    assert links.live(second)


def test_a_listener_that_does_not_say_is_taken_for_the_same() -> None:
    links, first, second = Links(), Link("h1", "a"), Link("h1")
    links.add(first)
    links.add(second)
    assert links.live(second)
