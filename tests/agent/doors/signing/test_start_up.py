"""Where the console may listen, and what is said before it does: a matrix of start-ups. And the key that signs."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from agent.bootstrap import build, can_be_reached, secret_of
from agent.commands.serve import opening_words
from agent.commands.workspace import init_workspace
from agent.domain.errors import InvalidInput, Unavailable
from agent.domain.signing import Provider, SignIn, parse_provider
from agent.pipeline import people
from agent.settings import load_settings
from tests.agent.conftest import Bench

PROVIDER = Provider("https://id.example.org", "wk")
HERE, THERE = "127.0.0.1:8000", "0.0.0.0:8000"
PUBLIC = "https://watch.example.org"


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """What is shown here is what is said at the start; the tables are tried on both databases elsewhere."""
    return f"sqlite:///{tmp_path / 'watchkeeper.db'}"


@pytest.mark.parametrize(
    ("bind", "public", "person", "provider", "said"),
    [
        (HERE, f"http://{HERE}", False, None, "make the first person"),
        (HERE, f"http://{HERE}", True, None, ""),
        (HERE, f"http://{HERE}", False, PROVIDER, "make the first person"),
        (HERE, PUBLIC, False, None, InvalidInput),
        (HERE, PUBLIC, True, None, ""),
        (HERE, PUBLIC, False, PROVIDER, ""),
        (HERE, "http://watch.example.org", True, None, "readable"),
        (THERE, f"http://{THERE}", False, None, InvalidInput),
        (THERE, f"http://{THERE}", True, None, InvalidInput),
        (THERE, f"http://{HERE}", True, None, InvalidInput),
        (THERE, PUBLIC, False, None, InvalidInput),
        (THERE, PUBLIC, True, None, ""),
        (THERE, PUBLIC, False, PROVIDER, ""),
        ("192.168.1.4:8000", PUBLIC, False, None, InvalidInput),
        ("[::]:8000", PUBLIC, True, None, ""),
        ("[::]:8000", "http://[::]:8000", True, None, InvalidInput),
    ],
)
def test_nobody_else_gets_in_where_nobody_can_sign_in(bench: Bench, bind, public, person, provider, said) -> None:
    settings = replace(_settings(bench.services.home), bind=bind, public_url=public)
    sign_in = SignIn(can_be_reached(settings), provider)
    services = replace(bench.services, public_url=public, sign_in=sign_in)
    if person:
        with services.store.write() as session:
            people.add(session, services, "ann", role="admin", by="test")
    if said is InvalidInput:
        with pytest.raises(InvalidInput):
            opening_words(services, bind)
        return
    assert said in " ".join(opening_words(services, bind))
    assert bool(said) == bool(opening_words(services, bind))


def _settings(home: Path):
    (home / "watchkeeper.yaml").write_text("{}")
    return load_settings({}, home=home)


def test_the_key_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    settings = _settings(tmp_path)
    first = secret_of(settings)
    assert len(first) == 64
    assert secret_of(settings) == first
    path = tmp_path / "secret.key"
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    assert secret_of(settings) == first
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in tmp_path.iterdir() if "secret" in one.name] == ["secret.key"]
    assert secret_of(replace(settings, secret_key="k" * 32)) == b"k" * 32
    with pytest.raises(InvalidInput, match="fewer than 32"):
        secret_of(replace(settings, secret_key="short"))
    assert "k" * 32 not in repr(replace(settings, secret_key="k" * 32))


def test_a_key_that_cannot_be_read_says_what_to_set(tmp_path: Path) -> None:
    settings = _settings(tmp_path)
    (tmp_path / "secret.key").mkdir()
    with pytest.raises(Unavailable, match="WATCHKEEPER_SECRET_KEY"):
        secret_of(settings)


@pytest.mark.parametrize("public", ["", "watch.example.org", "ftp://x", "javascript:alert(1)"])
def test_an_address_that_is_none_is_refused(tmp_path: Path, public: str) -> None:
    with pytest.raises(InvalidInput, match="PUBLIC_URL"):
        can_be_reached(replace(_settings(tmp_path), public_url=public))


def test_the_provider_is_read_from_the_settings(tmp_path: Path) -> None:
    environ = {
        "WATCHKEEPER_OIDC_ISSUER": "https://id.example.org",
        "WATCHKEEPER_OIDC_CLIENT_ID": "wk",
        "WATCHKEEPER_OIDC_CLIENT_SECRET": "very secret",
        "WATCHKEEPER_OIDC_ROLES": "leads=approver, ops = operator",
    }
    init_workspace(tmp_path / "w")
    settings = load_settings(environ, home=tmp_path / "w")
    services = build(settings)
    found = services.sign_in.provider
    assert found is not None
    assert (found.issuer, found.roles["ops"], found.newcomers) == ("https://id.example.org", "operator", None)
    assert "very secret" not in repr(services) + repr(settings)
    services.store.close()
    assert parse_provider(issuer="", client_id="") is None
    with pytest.raises(InvalidInput, match="OIDC_CLIENT_ID"):
        parse_provider(issuer="https://id", client_id="")
    with pytest.raises(InvalidInput, match="OIDC_NEWCOMERS"):
        parse_provider(issuer="https://id", client_id="wk", newcomers="boss")
    assert os.environ.get("WATCHKEEPER_OIDC_ISSUER") is None
