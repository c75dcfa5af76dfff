"""What `eais run` puts into a program's environment, and takes out of our own programs'."""

from __future__ import annotations

import os

import pytest

from eais_client.run.environment import SITE, Settings, environ_above, environ_below

PLAIN = {"PATH": "/bin", "GRPC_VERBOSITY": "INFO"}


def test_nothing_else_is_changed() -> None:
    below = environ_below(PLAIN, Settings())
    assert below == {**PLAIN, "PYTHONPATH": SITE, "EAIS_PROVIDERS": "pool"}


def test_what_was_told_is_said_and_goes_before_variables() -> None:
    said = Settings("c", "ei-1", "as-requested", "local")
    below = environ_below({"EAIS_INSTANCE": "ei-2", "EAIS_PROVIDERS": "pool"}, said)
    assert below == {
        "EAIS_CONTEXT": "c",
        "EAIS_INSTANCE": "ei-1",
        "EAIS_PROVIDERS": "as-requested",
        "EAIS_FALLBACK": "local",
        "PYTHONPATH": SITE,
    }


def test_variables_hold_where_nothing_was_told() -> None:
    environ = {"EAIS_PROVIDERS": "as-requested", "EAIS_INSTANCE": "ei-2"}
    assert environ_below(environ, Settings()) == {**environ, "PYTHONPATH": SITE}


@pytest.mark.parametrize("path", ["/a", "/a:/b", ":/a"])
def test_the_users_own_path_follows(path: str) -> None:
    below = environ_below({"PYTHONPATH": path}, Settings())
    assert below["PYTHONPATH"] == f"{SITE}:{path}"
    assert environ_above(below)["PYTHONPATH"] == path


def test_a_run_below_a_run_puts_it_there_once() -> None:
    below = environ_below(PLAIN, Settings())
    assert environ_below(below, Settings()) == below


@pytest.mark.parametrize("environ", [PLAIN, {"PYTHONPATH": ""}, {"PYTHONPATH": "/a"}, {}])
def test_without_a_run_the_environment_is_as_it_was(environ: dict[str, str]) -> None:
    assert environ_above(environ) == environ


def test_the_folder_is_the_one_with_the_hook() -> None:
    assert "sitecustomize.py" in os.listdir(SITE)
