"""Instances and addresses as the wire writes them, for fake servers."""

from __future__ import annotations

from eais.rpc.v1 import common_pb2, pool_pb2
from eais_client.instances import Address, Instance


def instance_message(instance: Instance) -> pool_pb2.Instance:
    """`instance` as the pool sends it."""
    message = pool_pb2.Instance(
        id=instance.id,
        type=instance.type,
        tenant=instance.tenant,
        state=pool_pb2.InstanceState.Value(instance.state.value),  # type: ignore[arg-type]
        frontend=instance.frontend,
        epoch=instance.epoch,
    )
    if instance.listener is not None:
        message.listener.CopyFrom(endpoint_message(instance.listener))
    for worker in instance.workers:
        message.workers.add(
            n=worker.n,
            endpoint=endpoint_message(worker.address),
            serving=worker.serving,
            incarnation=worker.incarnation,
        )
    return message


def endpoint_message(address: Address) -> common_pb2.Endpoint:
    """`address` as the wire writes it."""
    return common_pb2.Endpoint(
        address=address.address, port=address.port, server_name=address.server_name
    )
