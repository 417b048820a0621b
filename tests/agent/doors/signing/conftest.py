"""Browsers of people who sign in: the whole application in this process, with cookies; sign-in is on."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from agent.domain.roles import Role, Scope
from agent.doors.api.app import create_app
from agent.pipeline import passwords, people, sessions, tokens
from agent.pipeline.services import Services
from agent.store.tables import Person
from tests.agent.conftest import Bench

HOST = "http://127.0.0.1:8000"
PASSWORD = "correct horse battery"


class Visitor(TestClient):
    """One browser. `csrf` is what the pages of its session carry."""

    def form(self, path: str, data: dict[str, str] | None = None, **options: Any) -> Any:
        """Send a form as the page would: with the token that it was given."""
        shown = self.get(options.pop("page", path), follow_redirects=False)
        found = re.search(r'name="csrf" value="([^"]*)"', shown.text)
        token = found.group(1) if found else ""
        return self.post(path, data={"csrf": token, **(data or {})}, follow_redirects=False, **options)

    def sign_in(self, name: str, password: str = PASSWORD, **fields: str) -> Any:
        return self.form("/sign-in", {"name": name, "password": password, **fields})

    @property
    def who(self) -> str:
        """The name on the profile; empty where it is not shown."""
        answer = self.get("/profile", follow_redirects=False)
        found = re.search(r"<h1>([^<]*)</h1>", answer.text)
        return found.group(1) if answer.status_code == 200 and found else ""


class Place:
    """A workspace in which people sign in."""

    def __init__(self, bench: Bench, **services: Any) -> None:
        self.bench = bench
        self.services: Services = replace(bench.services, public_url=HOST, **services)
        self.app: FastAPI = create_app(self.services)

    def visitor(self, **options: Any) -> Visitor:
        return Visitor(self.app, base_url=options.pop("base_url", HOST), **options)

    def person(
        self, name: str, role: str = "viewer", *, models: tuple[str, ...] = (), password: bool = False
    ) -> Person:
        with self.services.store.write() as session:
            row = people.add(session, self.services, name, role=role, models=models, by="test")
        if password:
            passwords.set_password(self.services, row.id, PASSWORD, by="test")
        return row

    def signed_in(self, person: Person, **options: Any) -> Visitor:
        """Somebody who is in already, without the work of a password."""
        with self.services.store.write() as session:
            opened = sessions.open_session(session, self.services, session.get_one(Person, person.id), how="password")
        visitor = self.visitor(**options)
        visitor.cookies.set("watchkeeper", opened.secret)
        return visitor

    def token(self, person: str, *scopes: str, agent: bool = False, models: Any = (), **options: Any) -> Any:
        return tokens.create(
            self.services,
            name="t",
            person=person,
            scopes=scopes or tuple(scope for scope in Scope if not agent or scope in ("read", "propose", "ingest")),
            models=models,
            audience=options.pop("audience", tokens.api_audience(HOST)),
            life=options.pop("life", timedelta(days=30)),
            agent=agent,
        )

    def deactivate(self, name: str) -> None:
        with self.services.store.write() as session:
            people.deactivate(session, self.services, people.by_name(session, name), by="test")


def bearer(made: Any) -> dict[str, str]:
    return {"authorization": f"Bearer {made.secret}"}


@pytest.fixture
def place(bench: Bench) -> Place:
    return Place(bench)


@pytest.fixture
def fast_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same algorithm with the least work, where many passwords are tried."""
    from argon2 import PasswordHasher

    quick = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(passwords, "HASHER", quick)
    monkeypatch.setattr(passwords, "NOBODYS", quick.hash("somebody who is not there"))


__all__ = ["HOST", "PASSWORD", "Callable", "Place", "Role", "Visitor", "bearer"]
