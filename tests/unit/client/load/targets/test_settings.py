"""What `--set` may say."""

from __future__ import annotations

import pytest

from eais.errors import UsageError
from eais_client.load.target import TargetKind, TargetSpec
from eais_client.load.targets.settings import with_settings

INSTANCE = TargetSpec(TargetKind.INSTANCE, "ei-1", "ei-1")
HERE = TargetSpec(TargetKind.ONNXRUNTIME, "onnxruntime")
SERVER = TargetSpec(TargetKind.SERVER, "127.0.0.1:8001", "grpc://127.0.0.1:8001")
MINE = TargetSpec(TargetKind.PYTHON, "mine", "m:Mine")
ALL = (INSTANCE, HERE, SERVER, MINE)


def test_a_key_is_of_all_that_have_it() -> None:
    found = with_settings(ALL, ["threads=2", "pids=17"])
    assert [dict(each.settings) for each in found] == [
        {"pids": "17"},
        {"threads": "2", "pids": "17"},
        {"pids": "17"},
        # Whatever is said may be meant for a target of the user's own.
        {"threads": "2", "pids": "17"},
    ]
    assert not HERE.settings


def test_a_targets_name_says_whose_it_is_also_if_there_is_a_colon_in_it() -> None:
    found = with_settings(ALL, ["127.0.0.1:8001:channels=4", "mine:url=http://h:1/?a=b"])
    assert dict(found[2].settings) == {"channels": "4"}
    assert dict(found[3].settings) == {"url": "http://h:1/?a=b"}
    assert not found[0].settings


def test_what_is_said_last_holds() -> None:
    found = with_settings((HERE,), ["threads=1", "onnxruntime:threads=2"])
    assert dict(found[0].settings) == {"threads": "2"}


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ("threads", "--set threads: not as KEY=VALUE", ""),
        ("=2", "--set =2: not as KEY=VALUE", ""),
        ("mine:=2", "not as KEY=VALUE", ""),
        ("you:threads=2", "no target is called you", "there are ei-1, onnxruntime"),
        ("speed=2", "no target has a setting 'speed'", "batching, pids"),
        ("ei-1:threads=2", "ei-1 has no setting 'threads'", "transport"),
    ],
)
def test_what_cant_be_meant_is_told(text: str, said: str, hint: str) -> None:
    with pytest.raises(UsageError, match=said) as failed:
        with_settings((INSTANCE, HERE), [text])
    assert hint in failed.value.hint
