"""What a join leaves on disk: identities, then the context; the token unused where it is vain."""

from __future__ import annotations

import fcntl
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from eais import tls
from eais.errors import EaisError, make_error
from eais.identity import Identity, Role
from eais.joining import Joined, Plane
from eais_client.context import Context, ContextStore, enrolment_file
from eais_client.joining import JoinedContext, Joining
from eais_pool.authority import ENROLMENT_LIFE, Authority
from tests.unit.client.served import POOL, now

ADA = Identity.frontend(POOL, "acme", "ada")
OPERATOR = Identity.operator(POOL, "ada")
USER, MANAGEMENT = Plane("10.0.0.5", 40117), Plane("10.0.0.5", 40118)


@dataclass
class Pool:
    """A pool that gives whoever asks the identity that the test names."""

    authority: Authority
    identity: Identity = ADA
    used: int = 0
    failure: EaisError | None = None
    asked: list[tuple[str, str, Role]] = field(default_factory=list)

    def join(
        self, address: str, token: str, purpose: Role, *, check_pool: Callable[[str], None]
    ) -> Joined:
        self.asked.append((address, token, purpose))
        check_pool(self.authority.pool)
        if self.failure is not None:
            raise self.failure
        self.used += 1
        return Joined(
            leaf=self.authority.bundle(self.identity, now()),
            enrolment=self.authority.bundle(self.identity.enrolment, now(), ENROLMENT_LIFE),
            pool=self.authority.pool,
            user_plane=USER,
            management_plane=MANAGEMENT,
            server_name=f"manager.{self.authority.pool}.internal",
        )


@dataclass
class User:
    """A user with a home, who joins."""

    store: ContextStore
    pool: Pool

    def join(self, role: Role = Role.FRONTEND, name: str = "") -> JoinedContext:
        return Joining(self.store, self.pool.join).join("10.0.0.5", "token", role, name)

    def refused(self, role: Role = Role.FRONTEND, name: str = "") -> str:
        with pytest.raises(EaisError) as caught:
            self.join(role, name)
        return caught.value.reason

    def identities(self, name: str) -> dict[str, Identity]:
        folder = self.store.folder(name)
        return {path.stem: tls.load_bundle(path).identity for path in folder.glob("*.pem")}


@pytest.fixture
def user(tmp_path: Path) -> User:
    store = ContextStore(tmp_path / "config")
    return User(store, Pool(Authority.create(tmp_path / "ca", POOL, now())))


def test_a_front_end_is_there_with_its_enrolment_and_a_context(user: User) -> None:
    joined = user.join()
    assert joined.context == Context(POOL, POOL, "10.0.0.5:40117")
    assert user.store.read().contexts == {POOL: joined.context}
    assert (user.store.read().current, joined.current) == (POOL, POOL)
    assert user.identities(POOL) == {"frontend": ADA, "frontend-enrolment": ADA.enrolment}
    assert user.pool.asked == [("10.0.0.5", "token", Role.FRONTEND)]
    for path in user.store.folder(POOL).iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(user.store.folder(POOL).stat().st_mode) == 0o700


def test_an_operator_joins_the_context_of_the_same_pool(user: User) -> None:
    user.join(name="team")
    user.pool.identity = OPERATOR
    joined = user.join(Role.OPERATOR)
    assert joined.context == Context("team", POOL, "10.0.0.5:40117", "10.0.0.5:40118")
    assert set(user.identities("team")) == {
        "frontend",
        "frontend-enrolment",
        "operator",
        "operator-enrolment",
    }
    user.pool.identity = ADA
    assert user.join().context.management == "10.0.0.5:40118", "still an operator"


def test_an_operator_alone(user: User) -> None:
    user.pool.identity = OPERATOR
    user.join(Role.OPERATOR)
    assert user.identities(POOL) == {"operator": OPERATOR, "operator-enrolment": OPERATOR.enrolment}


def test_another_tenant_of_the_same_pool_is_another_context(user: User) -> None:
    user.join()
    user.pool.identity = Identity.frontend(POOL, "globex", "ada")
    joined = user.join()
    assert (joined.context.name, joined.replaced, joined.current) == (f"{POOL}-2", "", POOL)
    assert user.identities(POOL)["frontend"] == ADA


def test_the_same_identity_again_goes_over_the_old_one(user: User) -> None:
    user.join(name="team")
    before = tls.load_bundle(user.store.frontend_file("team"))
    assert user.join().context.name == "team"
    assert tls.load_bundle(user.store.frontend_file("team")) != before
    assert len(user.store.read().contexts) == 1


def test_a_named_context_gets_another_identity_and_says_so(user: User) -> None:
    user.join(name="team")
    user.pool.identity = Identity.frontend(POOL, "globex", "ada")
    joined = user.join(name="team")
    assert joined.replaced == ADA.uri
    assert user.identities("team")["frontend"].tenant == "globex"


def test_a_context_of_another_pool_is_left_alone_and_the_token_unused(user: User) -> None:
    user.store.set(Context("team", "other-0001", "10.0.0.9:1"))
    assert user.refused(name="team") == "NAME_TAKEN"
    assert user.pool.used == 0
    assert user.store.read().get("team").pool == "other-0001"


def test_this_machines_own_pool_makes_its_own_identities(user: User) -> None:
    user.store.set(Context("local", POOL, "127.64.0.1:1", "127.64.0.1:2", "/state"))
    assert user.refused(name="local") == "NAME_TAKEN"
    assert user.pool.asked == []
    assert user.join().context.name == POOL


def test_a_pools_name_that_another_context_has(user: User) -> None:
    user.store.set(Context(POOL, "other-0001", "10.0.0.9:1"))
    assert user.join().context.name == f"{POOL}-2"


def test_a_name_that_is_none(user: User) -> None:
    assert user.refused(name="../up") == "NAME"
    assert user.pool.asked == []


def test_a_refused_token_leaves_nothing(user: User) -> None:
    user.pool.failure = make_error("TOKEN", "no")
    assert user.refused() == "TOKEN"
    assert user.store.read().contexts == {}
    assert [path.name for path in (user.store.directory / "contexts").iterdir()] == [".join.lock"]


def test_two_at_once(user: User) -> None:
    folder = user.store.directory / "contexts"
    folder.mkdir(parents=True, mode=0o700)
    with (folder / ".join.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert user.refused() == "LOCKED"
    assert user.pool.asked == []
    user.join()


def test_a_folder_that_others_may_reach_is_found_before_the_token_is_used(user: User) -> None:
    folder = user.store.directory / "contexts"
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    with pytest.raises(PermissionError, match="open to other users"):
        user.join()
    assert user.pool.asked == []


def test_keys_that_a_killed_join_left_are_removed(user: User) -> None:
    folder = user.store.folder(POOL)
    folder.mkdir(parents=True, mode=0o700)
    folder.parent.chmod(0o700)
    old = folder / ".frontend.pem.0123456789abcdef.part"
    old.write_bytes(b"a key")
    os.utime(old, (1, 1))
    (folder / "frontend.pem").write_bytes(b"damaged")
    user.join()
    assert not old.exists()
    assert user.identities(POOL)["frontend"] == ADA


KILLED = """
import os, sys
from pathlib import Path
from eais import files
from eais.identity import Role
from eais_client.context import ContextStore
from eais_client.joining import Joining
from eais_pool.authority import Authority
from tests.unit.client.test_joining import Pool

root, steps = Path(sys.argv[1]), int(sys.argv[2])
rename = os.rename

def counted(source, target, **more):
    global steps
    steps -= 1
    if steps < 0:
        os._exit(9)
    rename(source, target, **more)

os.rename = counted
pool = Pool(Authority.load(root / "ca"))
Joining(ContextStore(root / "config"), pool.join).join("h", "token", Role.FRONTEND)
"""


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_a_join_that_is_killed_is_gone_over_by_the_next(
    user: User, tmp_path: Path, steps: int
) -> None:
    """Killed before the enrolment, the leaf, the context is in its place."""
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), str(steps)], check=False)
    assert done.returncode == 9
    assert user.store.read().contexts == {}
    there = user.store.folder(POOL).glob("*.pem")
    assert len(list(there)) == steps
    joined = user.join()
    assert user.store.read().contexts == {POOL: joined.context}
    assert user.identities(POOL) == {"frontend": ADA, "frontend-enrolment": ADA.enrolment}
    enrolled = tls.load_bundle(enrolment_file(user.store.frontend_file(POOL)))
    assert enrolled.identity.enrolled == joined.leaf.identity
