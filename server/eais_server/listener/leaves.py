"""Keys and leaves of workers: a listener makes the keys, and the pool signs the leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from eais import tls
from eais.rpc.v1 import hosts_pb2, supervision_pb2
from eais_server.listener.lease import Lease

Signer = Callable[[hosts_pb2.SignWorkerRequest], Awaitable[hosts_pb2.SignWorkerReply]]
"""Asks the pool for a worker's leaf; raises EaisError."""
NewLeaf = Callable[[Lease, int], Awaitable[tls.Bundle]]
"""A key and leaf for a worker of a lease; raises EaisError."""


async def new_leaf(sign: Signer, lease: Lease, n: int) -> tls.Bundle:
    """A new key for worker `n`, with the leaf that the pool gives for it.

    Raises:
        EaisError: the pool can't be reached, or refuses.
    """
    key = tls.new_key()
    request = hosts_pb2.SignWorkerRequest(
        instance=lease.instance, epoch=lease.epoch, n=n, csr_pem=tls.make_csr(key)
    )
    reply = await sign(request)
    source = f"the leaf of worker {n}"
    return tls.make_bundle(tls.key_to_pem(key), reply.leaf_pem, reply.ca_pem, source)


async def new_leaves(sign: Signer, lease: Lease) -> dict[int, tls.Bundle]:
    """Those of all workers of a lease, by number. Raises as `new_leaf`."""
    numbers = [share.n for share in lease.shares]
    bundles = await asyncio.gather(*(new_leaf(sign, lease, n) for n in numbers))
    return dict(zip(numbers, bundles, strict=True))


def leaf_message(bundle: tls.Bundle) -> supervision_pb2.Leaf:
    """A worker's key and leaf, as it is given them."""
    return supervision_pb2.Leaf(
        key_pem=bundle.key_pem, leaf_pem=bundle.leaf_pem, ca_pem=bundle.ca_pem
    )
