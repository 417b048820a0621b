"""The container files, read as text: no container engine is needed to see what they promise."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text()
OURS = {name: service for name, service in SERVICES.items() if service["image"].startswith("watchkeeper:")}


@pytest.mark.parametrize("name", SERVICES)
def test_every_image_is_pinned(name):
    assert re.fullmatch(r"[\w./-]+:\d+\.\d+[\w.-]*", SERVICES[name]["image"])


def test_every_base_image_is_pinned():
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert len(bases) == 2
    assert all(re.fullmatch(r"python:3\.11\.\d+-slim-\w+", base) for base in bases)


def test_the_images_carry_the_version_of_the_project():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert {service["image"] for service in OURS.values()} == {f"watchkeeper:{version}"}


@pytest.mark.parametrize("name", SERVICES)
def test_nothing_listens_beyond_loopback(name):
    """On the host's network, our processes refuse any other address; the others are told 127.0.0.1."""
    service = SERVICES[name]
    assert service["network_mode"] == "host"
    assert "ports" not in service
    assert "0.0.0.0" not in str(service)
    if name in ("mlflow", "postgres"):
        assert re.search(r"(--host|listen_addresses)=127\.0\.0\.1", " ".join(service["command"]))


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_that_stays_up_has_a_health_check(name):
    service = SERVICES[name]
    if service.get("restart") == "no":
        assert service["healthcheck"] == {"disable": True}
    else:
        assert service["healthcheck"]["test"][0] == "CMD"


@pytest.mark.parametrize("name", OURS)
def test_our_services_have_no_privileges(name):
    service = OURS[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_the_image_runs_as_an_ordinary_user():
    assert re.search(r"^USER 10001:10001$", DOCKERFILE, re.MULTILINE)


def test_the_image_installs_by_hash():
    installs = re.findall(r"pip install (.+?) -r", DOCKERFILE)
    assert len(installs) == 2
    assert all("--require-hashes" in options for options in installs)


def test_no_password_stands_in_the_files():
    assert "PASSWORD" not in str(COMPOSE)
    example = (ROOT / "deploy/postgres.env.example").read_text()
    assert re.findall(r"^\w+=(.*)$", example, re.MULTILINE) == ["", ""]
    assert "deploy/postgres.env" in (ROOT / ".gitignore").read_text().splitlines()


def test_what_the_image_copies_is_let_through():
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {
        name for names in re.findall(r"^COPY ([^-\n].*) \S+$", DOCKERFILE, re.MULTILINE) for name in names.split()
    }
    assert copied == allowed


@pytest.mark.parametrize("name", [name for name, service in SERVICES.items() if service.get("depends_on")])
def test_a_service_waits_only_for_services_that_exist(name):
    assert set(SERVICES[name]["depends_on"]) <= set(SERVICES)


@pytest.mark.parametrize("name", [name for name in OURS if "entrypoint" not in OURS[name]])
def test_every_command_is_one_of_ours(name, commands):
    assert " ".join(OURS[name]["command"]) in commands


@pytest.mark.filterwarnings("ignore:.*Any type hint is inferred")
def test_the_mlflow_server_knows_its_options():
    from mlflow.cli import server

    known = {option for parameter in server.params for option in parameter.opts}
    assert {argument.partition("=")[0] for argument in SERVICES["mlflow"]["command"]} <= known
