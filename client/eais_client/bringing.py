"""A model's files at a host of the pool, without a session that anybody uses."""

from __future__ import annotations

import os
from collections.abc import Callable

from eais.deadline import current
from eais.errors import EaisError
from eais.rpc.v1 import listener_pb2
from eais_client.config import ClientConfig
from eais_client.context import Context, ContextStore
from eais_client.frontend import real_tools
from eais_client.grpc_wire import GrpcWire
from eais_client.instances import Instance
from eais_client.model_source import read_model
from eais_client.opening import Model, Patience, Progress, on_upload, open_session
from eais_client.own_identity import frontend_identity
from eais_client.vnic_ends import VnicEnds

PATIENCE_S = 30.0
"""Without anything being done, until an upload is given up."""


def bring_model(
    store: ContextStore, context: Context, instance: Instance, path: str, progress: Progress
) -> listener_pb2.SessionSpec:
    """Open a session of the model on an instance that is IN_USE, sending what its host lacks.

    Nobody holds it: the host drops it in time. The spec is what the pool measures by.

    Raises:
        EaisError: what reading, sending and loading the model raise.
    """
    deadline = current()
    config = ClientConfig.of_environ(os.environ, store.file)
    tools = real_tools(config)
    source = read_model(path, lambda: deadline.check(tools.clock()))
    spec = listener_pb2.SessionSpec(files=source.messages(), from_path=True)
    wire = GrpcWire(frontend_identity(store, context).dialer, context, VnicEnds.of_config(config))
    patience = Patience(deadline, PATIENCE_S, tools.clock, tools.sleep, tools.rng)
    try:
        with on_upload(progress):
            open_session(wire, Model(source, spec), _always(wire, instance), patience)
    finally:
        wire.close()
    return spec


def _always(wire: GrpcWire, instance: Instance) -> Callable[[bool], Instance]:
    def find(fresh: bool) -> Instance:
        try:
            return wire.describe(instance.id, PATIENCE_S) if fresh else instance
        except EaisError:
            return instance

    return find
