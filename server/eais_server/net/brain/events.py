"""What is to be done when an agent is asked, or starts. (Brain)"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Final

from eais.errors import EaisError, make_error
from eais.net.plan import MAX_CAP_BYTES_PER_S, VETH, NetPlan, Side, VnicKey, bad_plan
from eais.net.traffic import Traffic
from eais_server.net.brain.actions import Action, Drop, Guard, Make, Take, Write
from eais_server.net.brain.records import (
    Asker,
    Counted,
    Held,
    Place,
    State,
    Tombstone,
)

ROOT: Final = 0
MOST_PORTS: Final = 256
TOMBSTONE_S: Final = 25 * 3600
"""A plan is good while its signer's leaf is: 24 h at the longest, and clocks may differ."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for an agent as long as it runs.

    Attributes:
        users: uids that may ask for vNICs; the superuser may, too.
        interface_of: what the interface of an end is called.
    """

    users: frozenset[int]
    interface_of: Callable[[VnicKey], str]


def on_create(rules: Rules, state: State, asker: Asker, plan: NetPlan, now_s: int) -> list[Action]:
    """Make an end, or change it, as a plan that was checked says.

    Args:
        now_s: seconds since 1970.

    Raises:
        IdentityError: PERMISSION_DENIED; NET_PLAN, it is older than what was carried out.
        UsageError: WRONG_STATE, another end has the plan's address.
        ConfigError: NETDEV, the asker's network namespace isn't the agent's to enter.
    """
    _check_user(rules, asker)
    held = state.held.get(plan.key)
    _check_generation(state, held, plan)
    if held is not None and asker.uid not in (ROOT, held.uid):
        raise make_error("PERMISSION_DENIED", f"another user has the vNIC of {plan.key.instance}")
    _check_address(state, plan)
    return [*_make(rules, asker, held, plan), *_other_half(state, plan)]


def replaced_by(state: State, asker: Asker, plan: NetPlan) -> tuple[Held, ...]:
    """The ends whose interfaces a plan may put others in the place of: a veth pair's are both."""
    held = state.held.get(plan.key)
    if held is None or (held.plan == plan and asker.namespace in (0, held.place.namespace)):
        return ()
    ends = (held, state.held.get(_other_end(plan.key)))
    return tuple(each for each in ends if each is not None and not each.leaving)


def hindrance(rules: Rules, asker: Asker) -> str:
    """Why this agent makes nothing for an asker, whatever the plan; "" if it does."""
    if not _is_user(rules, asker):
        return f"its network agent makes no vNICs for the user {asker.uid} (its --user)"
    if asker.namespace:
        return ""
    return "its network agent isn't given the asker's network namespace (its --netns)"


def on_connect(state: State, asker: Asker, key: VnicKey, ports: Collection[int]) -> list[Action]:
    """Let the front-end reach these TCP ports of a back-end's end, and no others.

    Raises:
        UsageError: NOT_FOUND, there is none, or it is another user's; ARGUMENT, the end is a
            front-end's, or the ports are none.
    """
    held = _backend(state, asker, key)
    wanted = tuple(sorted(set(ports)))
    if len(wanted) > MOST_PORTS or any(not 1 <= port <= 65_535 for port in wanted):
        text = f"TCP ports are 1 to 65535, and {MOST_PORTS} of them at the most"
        raise make_error("ARGUMENT", text)
    return [] if wanted == held.ports else [Write(replace(held, ports=wanted)), Guard()]


def on_limit(state: State, asker: Asker, key: VnicKey, bytes_per_s: int) -> list[Action]:
    """Cap a back-end's end, each way; 0: no cap.

    Raises:
        UsageError: as `on_connect`; ARGUMENT, no cap is as large as that.
    """
    held = _backend(state, asker, key)
    if bytes_per_s > MAX_CAP_BYTES_PER_S:
        text = f"a cap of {bytes_per_s} bytes a second: {MAX_CAP_BYTES_PER_S} is the most"
        raise make_error("ARGUMENT", text, hint="without a cap the vNIC is as fast as it can be")
    if bytes_per_s == held.cap_bytes_per_s:
        return []
    return [Write(replace(held, cap_bytes_per_s=bytes_per_s)), Guard(), Make(key)]


def on_destroy(
    state: State, asker: Asker, key: VnicKey, generation: int, now_s: int
) -> list[Action]:
    """Take an end away. One that isn't the asker's isn't there.

    Args:
        generation: of a later plan it stays, and no plan up to this one brings it back; 0: its
            plan may.
    """
    held = state.held.get(key)
    if held is None:
        return _forbid(state, asker, key, generation, now_s)
    if not _may(asker, held) or 0 < generation < held.plan.generation:
        return []
    return _leave(replace(held, over=max(held.over, generation)), now_s)


def on_failed(before: State, state: State, key: VnicKey, now_s: int) -> list[Action]:
    """An end couldn't be made: what wasn't there before is taken away again."""
    held = state.held.get(key)
    return [] if held is None or key in before.held else _leave(held, now_s)


def on_start(rules: Rules, state: State, found: Collection[Place], now_s: int) -> list[Action]:
    """Make what should be there and take away what should not.

    Args:
        found: interfaces that have this agent's mark.
    """
    staying = [held for held in state.held.values() if not held.leaving]
    kept = {held.place for held in staying}
    # A veth pair is made as a whole, before its other end is asked for.
    kept |= {
        Place(held.plan.peer_namespace, rules.interface_of(_other_end(held.key)))
        for held in staying
        if held.plan.driver == VETH
    }
    # First the wall, so that nothing passes an end before its rules are there.
    actions: list[Action] = [Guard()]
    actions += [Take(place) for place in sorted(set(found) - kept)]
    there = set(found)
    for held in state.held.values():
        if not held.leaving and held.place not in there and held.seen.index:
            # After a reboot a new one may have the old one's number.
            actions.append(Write(_ended(held)))
        actions += _leave(held, now_s) if held.leaving else [Make(held.key)]
    return actions + on_time(state, now_s)


def on_time(state: State, now_s: int) -> list[Action]:
    """Forget tombstones that nothing can come back from."""
    return [Drop(each.key) for each in state.tombstones.values() if each.until_s < now_s]


def on_left(state: State, now_s: int) -> list[Action]:
    """Take away what should be gone, and couldn't be when it was to go."""
    return [
        action for held in state.held.values() if held.leaving for action in _leave(held, now_s)
    ]


def passed(held: Held, live: Counted | None) -> Traffic:
    """What has passed an end since it was made, of which its interface says `live`; None: none."""
    counted = live or held.seen
    return _before(held, counted) + counted.traffic


def ends_asked(state: State, asker: Asker, asked: VnicKey) -> list[Held]:
    """The end that is asked of; without an instance all of its pool, host and side.

    Raises:
        UsageError: NOT_FOUND, there is none of that instance, or it is another user's.
    """
    if asked.instance:
        return [_there(state, asker, asked)]
    return [
        each
        for each in seen_by(state, asker)
        if each.key == asked._replace(instance=each.key.instance)
    ]


def on_noted(state: State, lives: Mapping[VnicKey, Counted]) -> list[Action]:
    """Write down what interfaces have counted, so that new ones go on from there."""
    return [
        Write(replace(held, passed=_before(held, lives[held.key]), seen=lives[held.key]))
        for held in state.held.values()
        if held.key in lives and not held.leaving and lives[held.key] != held.seen
    ]


def seen_by(state: State, asker: Asker) -> list[Held]:
    """The ends that an asker may know of."""
    return [each for each in state.held.values() if not each.leaving and _may(asker, each)]


def _before(held: Held, live: Counted) -> Traffic:
    """What the interfaces before this one had counted, as far as it was written down."""
    if held.seen.index in (0, live.index):
        return held.passed
    return held.passed + held.seen.traffic


def _ended(held: Held) -> Held:
    """Its interface is gone: what that had counted has passed."""
    return replace(held, passed=held.passed + held.seen.traffic, seen=Counted())


def _make(rules: Rules, asker: Asker, held: Held | None, plan: NetPlan) -> list[Action]:
    if held is None:
        if not asker.namespace:
            text = "the asker's network namespace is none that this agent was given"
            raise make_error("NETDEV", text, hint="eais net agent --netns PATH")
        place = Place(asker.namespace, rules.interface_of(plan.key))
        new = Held(plan, asker.uid, place, cap_bytes_per_s=plan.cap_bytes_per_s)
        return [Write(new), Guard(), Make(plan.key)]
    new = replace(held, plan=plan, leaving=False)
    if plan.generation > held.plan.generation:
        new = replace(new, cap_bytes_per_s=plan.cap_bytes_per_s)
    if asker.uid == held.uid and asker.namespace not in (0, held.place.namespace):
        # Whoever had it made has moved, as a container does that is started again.
        new = replace(new, place=held.place._replace(namespace=asker.namespace))
    actions: list[Action] = []
    if new.place != held.place or _is_another_link(held.plan, plan):
        # While the record is still of what there was: an agent that dies here makes that again.
        actions.append(Take(held.place))
        new = _ended(new)
    if new != held:
        actions.append(Write(new))
    # Made again though nothing has changed: someone may have taken it away.
    return [*actions, Guard(), Make(plan.key)]


def _is_another_link(before: NetPlan, plan: NetPlan) -> bool:
    """Whether an interface of the one plan can't become one of the other by changing it.

    A WireGuard's peer, a VXLAN's number and ports, caps and an MTU are changed where they are.
    """
    return any(
        getattr(before, field) != getattr(plan, field)
        for field in ("driver", "address", "peer", "peer_agent", "peer_namespace")
    )


def _other_half(state: State, plan: NetPlan) -> list[Action]:
    """Of a veth pair, which is made and taken away as a whole: the end that is held, too."""
    other = state.held.get(_other_end(plan.key))
    if plan.driver != VETH or other is None or other.leaving:
        return []
    same = (other.plan.driver, other.plan.address, other.plan.peer)
    return [Make(other.key)] if same == (VETH, plan.peer, plan.address) else []


def _forbid(state: State, asker: Asker, key: VnicKey, generation: int, now_s: int) -> list[Action]:
    """What is away stays so, if it was the asker's own."""
    known = state.tombstones.get(key)
    if known is None or not generation or known.least > generation or not _may(asker, known):
        return []
    return [Write(replace(known, least=generation + 1, until_s=now_s + TOMBSTONE_S))]


def _leave(held: Held, now_s: int) -> list[Action]:
    least = max(held.plan.generation, held.over + 1)
    return [
        Write(replace(held, leaving=True)),
        Take(held.place),
        Write(Tombstone(held.key, held.uid, least, now_s + TOMBSTONE_S)),
        # Last: an interface without rules would let everything pass.
        Guard(),
    ]


def _other_end(key: VnicKey) -> VnicKey:
    side = Side.BACKEND if key.side is Side.FRONTEND else Side.FRONTEND
    return key._replace(side=side)


def _check_user(rules: Rules, asker: Asker) -> None:
    if not _is_user(rules, asker):
        raise make_error(
            "PERMISSION_DENIED",
            f"this network agent makes no vNICs for the user {asker.uid}",
            hint="eais net agent --user NAME",
        )


def _is_user(rules: Rules, asker: Asker) -> bool:
    return asker.uid == ROOT or asker.uid in rules.users


def _check_generation(state: State, held: Held | None, plan: NetPlan) -> None:
    tombstone = state.tombstones.get(plan.key)
    if tombstone is not None and plan.generation < tombstone.least:
        raise _old(plan.generation, tombstone.least)
    if held is None:
        return
    if plan.generation <= held.over:
        raise _old(plan.generation, held.over + 1)
    if plan.generation < held.plan.generation:
        raise _old(plan.generation, held.plan.generation)
    if plan.generation == held.plan.generation and plan != held.plan:
        raise bad_plan("generation", f"another plan of {plan.generation} was carried out")


def _check_address(state: State, plan: NetPlan) -> None:
    for other in state.held.values():
        if other.key != plan.key and other.plan.address == plan.address:
            raise make_error("WRONG_STATE", f"{plan.address} is another vNIC's on this host")


def _old(generation: int, least: int) -> EaisError:
    text = f"the plan is of generation {generation}, and those before {least} are done with"
    return make_error("NET_PLAN", text)


def _backend(state: State, asker: Asker, key: VnicKey) -> Held:
    held = _there(state, asker, key)
    if key.side is not Side.BACKEND:
        text = "ports and caps are of a back-end's vNIC end, and this is a front-end's"
        raise make_error("ARGUMENT", text)
    return held


def _there(state: State, asker: Asker, key: VnicKey) -> Held:
    held = state.held.get(key)
    if held is None or held.leaving or not _may(asker, held):
        raise make_error("NOT_FOUND", f"{key.instance[:64]} has no vNIC here")
    return held


def _may(asker: Asker, record: Held | Tombstone) -> bool:
    return asker.uid in (ROOT, record.uid)
