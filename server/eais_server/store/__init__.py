"""The model store: files of models, by content, apart for each tenant, within a limit."""

from __future__ import annotations

from eais_server.store.manifest import (
    MODEL_FILE_NAME,
    ManifestFile,
    ManifestLimits,
    check_manifest,
)
from eais_server.store.model_store import Missing, ModelStore, StoreUse
from eais_server.store.upload import MAX_CHUNK_BYTES, Upload

__all__ = [
    "MAX_CHUNK_BYTES",
    "MODEL_FILE_NAME",
    "ManifestFile",
    "ManifestLimits",
    "Missing",
    "ModelStore",
    "StoreUse",
    "Upload",
    "check_manifest",
]
