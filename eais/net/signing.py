"""Plans of vNICs, signed by the pool's manager, and judged by the agent that they are for."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding
from google.protobuf.message import DecodeError

from eais import manager_signed, tls
from eais.errors import IdentityError
from eais.identity import pool_of_ca
from eais.manager_signed import ManagerSigned
from eais.net.messages import plan_message, plan_of
from eais.net.plan import NetPlan
from eais.rpc.v1 import net_pb2

_PLAN: Final = b"eais net plan 1\n"


def sign_plan(plan: NetPlan, bundle: tls.Bundle) -> net_pb2.SignedNetPlan:
    """`plan`, signed by the manager whose identity `bundle` is."""
    text = plan_message(plan).SerializeToString(deterministic=True)
    signed = manager_signed.sign(text, _PLAN, bundle)
    return net_pb2.SignedNetPlan(
        plan=signed.text, signature=signed.signature, leaf_pem=signed.leaf_pem
    )


def read_plan(signed: net_pb2.SignedNetPlan, agent: str, ca_pem: bytes, now: datetime) -> NetPlan:
    """The plan, if a manager whose pool is trusted has signed it for this agent.

    Args:
        ca_pem: certificates of the CAs that are trusted, each for the pool that it names.
        now: aware.

    Raises:
        IdentityError: NET_PLAN, which says what is wrong with it.
    """
    try:
        message = net_pb2.NetPlan.FromString(signed.plan)
    except DecodeError:
        raise _refused("it can't be read") from None
    said = ManagerSigned(signed.plan, signed.signature, signed.leaf_pem)
    _check(said, _PLAN, message.pool, ca_pem, now)
    _check_agent(message.agent, agent)
    return plan_of(message)


def _check(said: ManagerSigned, purpose: bytes, pool: str, ca_pem: bytes, now: datetime) -> None:
    trusted = b"".join(
        each.public_bytes(Encoding.PEM)
        for each in tls.load_certificates(ca_pem, "the trusted CAs")
        if pool_of_ca(each) == pool
    )
    if not trusted:
        raise _refused(f"this agent doesn't trust the pool {pool[:64]!a}")
    manager_signed.check(said, purpose, pool, trusted, now, _refused)


def _check_agent(named: str, agent: str) -> None:
    if named != agent:
        raise _refused(f"it is for the agent {named[:64]!a}, and this is {agent}")


def _refused(why: str) -> IdentityError:
    return IdentityError("NET_PLAN", f"the plan is refused: {why}")
