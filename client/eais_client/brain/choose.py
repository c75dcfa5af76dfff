"""Which instance a session uses, and what the call's own options say. (Brain)

In order: `provider_options={"instance": "ei-..."}` (or in onnxruntime's list of dicts, or
in a provider's tuple), the variable `EAIS_INSTANCE`, the only instance that is bound to
this front-end.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from eais.errors import EaisError, UsageError, make_error
from eais.instance import InstanceState
from eais_client.instances import Instance

AS_REQUESTED: Final = "as-requested"
OWN_KEYS: Final = ("instance", "timeout_s", "batching")
BATCHING: Final[Mapping[str, str]] = {"auto": "", "on": "on", "off": "off"}
PROVIDER_POLICIES: Final = ("pool", AS_REQUESTED)

_HELD = frozenset({InstanceState.BOUND, InstanceState.IN_USE, InstanceState.DRAINING})
_STOPPED = frozenset({InstanceState.BOUND, InstanceState.DRAINING})
_ATTACH_HINT = "`eais attach --type cpu` attaches one"
TAKEN_AWAY: Final[Mapping[str, str]] = {
    "FORCE_DETACHED": "",
    "TTL_OVER": "attach again, with a longer --ttl or none",
    "BUDGET_SPENT": "attach again, with another --budget or none",
    "IDLE_DETACHED": "attach again; a longer --idle-detach waits longer",
}
"""Reasons for which the pool ends a binding, and what to do."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What the caller said beside the model.

    Attributes:
        instance: the instance named, or "".
        timeout_s: seconds that each call may take, or None.
        providers: execution providers asked for, in order; none if the pool decides.
        batching: whether the worker may run calls together: "on", "off"; "" where it is proven
            that no answer changes.
    """

    instance: str = ""
    timeout_s: float | None = None
    providers: tuple[str, ...] = ()
    batching: str = ""


def read_choice(
    providers: object,
    provider_options: object,
    environ: Mapping[str, str],
    batching: object = None,
) -> Choice:
    """The caller's choice; `UsageError` ARGUMENT for values that don't fit.

    `batching`: "auto", "on" or "off", unless the options say it.
    """
    own: dict[str, Any] = {"batching": batching}
    for options in _option_dicts(providers, provider_options):
        own.update({key: options[key] for key in OWN_KEYS if key in options})
    instance = own.get("instance") or environ.get("EAIS_INSTANCE") or ""
    if not isinstance(instance, str):
        raise UsageError("ARGUMENT", f"instance must be a string such as ei-7f3a, not {instance!r}")
    names = _names(providers) if passed_on(environ) else ()
    return Choice(instance, _timeout(own.get("timeout_s")), names, _batching(own["batching"]))


def passed_on(environ: Mapping[str, str]) -> bool:
    """Whether the providers that a program asks for are passed to the pool.

    `EAIS_PROVIDERS=pool`, as `eais run` sets it, says that the pool decides: programs that
    were written for one machine ask for what that machine had.
    """
    policy = environ.get("EAIS_PROVIDERS") or AS_REQUESTED
    if policy not in PROVIDER_POLICIES:
        words = " or ".join(PROVIDER_POLICIES)
        raise UsageError("ARGUMENT", f"EAIS_PROVIDERS must be {words}, not {policy!r}")
    return policy == AS_REQUESTED


def choose(instances: Iterable[Instance], frontend: str) -> Instance:
    """The one instance bound to `frontend`.

    Raises `UsageError` NOT_ATTACHED or INSTANCE_AMBIGUOUS, which name what there is, or
    as `check_usable`.
    """
    held = [i for i in instances if i.frontend == frontend and i.state in _HELD]
    if not held:
        raise UsageError("NOT_ATTACHED", "no instance is attached here", hint=_ATTACH_HINT)
    if len(held) > 1:
        names = ", ".join(sorted(instance.id for instance in held))
        raise UsageError(
            "INSTANCE_AMBIGUOUS",
            f"several instances are attached here: {names}",
            hint='name one by EAIS_INSTANCE or provider_options={"instance": "ei-..."}',
            metadata={"instances": names},
        )
    return check_usable(held[0], frontend)


def check_usable(instance: Instance, frontend: str) -> Instance:
    """`instance`, if `frontend` may send it calls now; else raise what `ending` says."""
    error = ending(instance, frontend)
    if error is not None:
        raise error
    return instance


def ending(instance: Instance, frontend: str) -> EaisError | None:
    """Why `instance` serves no calls of `frontend` now; None if it does.

    NOT_ATTACHED and INSTANCE_STOPPED were the owner's doing, INSTANCE_FAILED wasn't, nor what
    `TAKEN_AWAY` names.
    """
    about = {"instance": instance.id}
    if instance.state is not InstanceState.IN_USE and (taken := _taken_away(instance)):
        return taken
    if instance.state is InstanceState.FAILED:
        text = f"{instance.id} failed: {instance.reason}: {instance.detail}"
        return make_error("INSTANCE_FAILED", text, metadata=about)
    if instance.state not in _HELD or instance.frontend != frontend:
        return UsageError(
            "NOT_ATTACHED",
            f"{instance.id} is not attached to this front-end",
            hint=f"`eais attach {instance.id}` attaches it",
            metadata=about,
        )
    if instance.state in _STOPPED:
        text, hint = f"{instance.id} is stopped", f"`eais start {instance.id}` starts it"
        return make_error("INSTANCE_STOPPED", text, hint=hint, metadata=about)
    return None


def _taken_away(instance: Instance) -> EaisError | None:
    if instance.reason not in TAKEN_AWAY:
        return None
    text, hint = f"{instance.id}: {instance.detail}", TAKEN_AWAY[instance.reason]
    return make_error(instance.reason, text, hint=hint, metadata={"instance": instance.id})


def lost(instance: Instance, frontend: str) -> EaisError | None:
    """Why an attachment to `instance` serves no calls any more; None if it does.

    As `ending`; one that isn't attached any more was detached by its tenant (DETACHED), unless
    that was the pool's doing.
    """
    error = ending(instance, frontend)
    if error is None or error.reason != "NOT_ATTACHED":
        return error
    about = {"instance": instance.id}
    return make_error("DETACHED", f"{instance.id} was detached", metadata=about)


def stranded(instance: Instance) -> str:
    """Why no device serves an instance that is IN_USE, nor can another; "": that isn't so."""
    lost = instance.state is InstanceState.IN_USE and instance.reason == "DEVICE_LOST"
    return instance.detail if lost else ""


def provider_fault(providers: object, provider_options: object) -> str:
    """What onnxruntime finds wrong with the arguments before it falls back, or ""."""
    if providers is None:
        return ""
    if not isinstance(providers, Sequence):
        return "'providers' should be a sequence."
    if provider_options is None or isinstance(provider_options, Mapping):
        good = all(isinstance(item, str) or _is_pair(item) for item in providers)
        return "" if good else "'providers' values must be either strings or (string, dict) tuples."
    if not isinstance(provider_options, Sequence):
        return "'provider_options' should be a sequence."
    if len(providers) != len(provider_options):
        return "'providers' and 'provider_options' should be the same length if both are given."
    if not all(isinstance(item, str) for item in providers):
        return "Only string values for 'providers' are supported if 'provider_options' is given."
    if not all(isinstance(options, dict) for options in provider_options):
        return "'provider_options' values must be dicts."
    return ""


def _is_pair(item: object) -> bool:
    if not isinstance(item, tuple) or len(item) != 2:
        return False
    return isinstance(item[0], str) and isinstance(item[1], dict)


def _option_dicts(providers: object, provider_options: object) -> list[Mapping[str, Any]]:
    found = [item[1] for item in _listed(providers) if isinstance(item, tuple) and len(item) > 1]
    if isinstance(provider_options, Mapping):
        found.append(provider_options)
    else:
        found += _listed(provider_options)
    return [options for options in found if isinstance(options, Mapping)]


def _names(providers: object) -> tuple[str, ...]:
    names = [item[0] if isinstance(item, tuple) and item else item for item in _listed(providers)]
    return tuple(dict.fromkeys(name for name in names if isinstance(name, str)))


def _listed(given: object) -> list[Any]:
    if given is None or isinstance(given, str | bytes):
        return []
    return list(given) if isinstance(given, Sequence) else []


def _batching(value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, str) or value not in BATCHING:
        words = ", ".join(BATCHING)
        raise UsageError("ARGUMENT", f"batching is one of {words}, not {value!r}")
    return BATCHING[value]


def _timeout(value: object) -> float | None:
    if value is None:
        return None
    try:
        seconds = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise UsageError("ARGUMENT", f"timeout_s must be above 0 seconds, not {value!r}")
    return seconds
