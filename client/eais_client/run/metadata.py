"""What `importlib.metadata` says of onnxruntime where it isn't installed."""

from __future__ import annotations

from importlib.metadata import Distribution
from pathlib import Path
from typing import Any

from eais_client.run.names import ROOT, STANDS_FOR


class StandInDistribution(Distribution):
    """The metadata of the onnxruntime that EAIS stands in for."""

    def read_text(self, filename: str) -> str | None:
        """The file of that name: METADATA alone is there."""
        if filename != "METADATA":
            return None
        about = "Summary: EAIS, in the place of onnxruntime"
        return f"Metadata-Version: 2.1\nName: {ROOT}\nVersion: {STANDS_FOR}\n{about}\n"

    def locate_file(self, path: Any) -> Any:
        """Beside this file: none of onnxruntime's is there."""
        return Path(__file__).parent / path
