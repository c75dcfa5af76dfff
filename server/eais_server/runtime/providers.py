"""onnxruntime's execution providers, as drivers hand them to `open_session`.

A plug-in is asked for first, by onnxruntime's own list of devices, where its version keeps one;
then what was built into it. The listener, which imports no onnxruntime, looks at the libraries
that lie beside it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from eais.errors import EaisError, make_error

_CPU_NAME: Final = "CPUExecutionProvider"
_LIBRARY: Final = "libonnxruntime_providers_"


@dataclass(frozen=True, slots=True)
class Provider:
    """An execution provider, and what it is told.

    Attributes:
        options: in the provider's own words.
        devices: onnxruntime's handles of the devices to use, of a plug-in; none of one that
            is asked for by name.
        behind: gets the nodes that this one doesn't take; the CPU's comes last by itself.
    """

    name: str
    options: Mapping[str, str] = field(default_factory=dict)
    devices: tuple[Any, ...] = ()
    behind: Provider | None = None

    def chosen(self, options: Any) -> list[Any] | None:
        """What `InferenceSession` takes as providers; plug-ins are added to `options` instead.

        onnxruntime takes one or the other: what is behind and not of the same sort is left out.
        """
        if self.devices:
            for each in self._all():
                if each.devices:
                    options.add_provider_for_devices(list(each.devices), dict(each.options))
            return None
        named = [p for p in self._all() if not p.devices and p.name != _CPU_NAME]
        return [*((p.name, dict(p.options)) for p in named), _CPU_NAME]

    def _all(self) -> list[Provider]:
        return [self, *(self.behind._all() if self.behind else [])]

    def refusal(self, error: EaisError) -> EaisError:
        """What a load that failed with `error` is told as: the CPU may take the model."""
        if self.name == _CPU_NAME or error.reason != "MODEL_INVALID":
            return error
        return _refused(self.name, error.message)

    def check_taken(self, taken: Collection[str]) -> None:
        """That the session has this provider: onnxruntime goes on without one that can't start.

        Raises:
            ModelRejected: RUNTIME_REFUSED.
        """
        if self.name not in taken:
            raise _refused(
                self.name, "it can't be started here, for lack of a library or of its device"
            )


CPU: Final = Provider(_CPU_NAME)


def find_provider(
    ort: Any, provider: Provider, hardware: str, place: Mapping[str, str] | None = None
) -> Provider:
    """`provider` as this onnxruntime has it: of a plug-in, else built in.

    Args:
        ort: the module.
        hardware: its devices' type, in onnxruntime's word: "GPU", "NPU".
        place: what the metadata of the device says, where there may be several; of devices that
            can't be told apart none is taken.

    Raises:
        ModelRejected: RUNTIME_REFUSED, it has neither.
    """
    # onnxruntime 1.22 is the first to list devices.
    listed = ort.get_ep_devices() if hasattr(ort, "get_ep_devices") else []
    own = [d for d in listed if d.ep_name == provider.name and d.device.type.name == hardware]
    if len(own) > 1 and place:
        own = [d for d in own if all(d.device.metadata.get(k) == v for k, v in place.items())]
    if len(own) == 1:
        return Provider(provider.name, provider.options, tuple(own), provider.behind)
    if provider.name in ort.get_available_providers():
        return provider
    raise _refused(provider.name, "this onnxruntime doesn't have it")


def built_in() -> frozenset[str]:
    """Which providers came with the onnxruntime that is installed: "cuda", "tensorrt", ….

    It isn't imported.
    """
    spec = find_spec("onnxruntime")
    if spec is None or spec.origin is None:
        return frozenset()
    found = (Path(spec.origin).parent / "capi").glob(f"{_LIBRARY}*.so")
    return frozenset(path.stem.removeprefix(_LIBRARY) for path in found)


def _refused(name: str, why: str) -> EaisError:
    return make_error("RUNTIME_REFUSED", f"{name} doesn't run this model: {why}")
