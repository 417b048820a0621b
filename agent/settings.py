"""The only reader of the environment: settings from `WATCHKEEPER_*`, else from `watchkeeper.yaml`, else a default."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agent.domain.errors import InvalidInput

FILE = "watchkeeper.yaml"
PREFIX = "WATCHKEEPER_"
SECRET = (PREFIX, "SLACK_", "OPENAI_", "ANTHROPIC_", "AZURE_OPENAI_", "MLFLOW_TRACKING_", "PG")


@dataclass(frozen=True, slots=True)
class Settings:
    """Where things are. `home` is the workspace; addresses default to files in it.

    cluster: the Dask scheduler that profiles of a large log are mapped on; "" is this process. serve_bind, serve_token,
    serve_rate: the model server's address, the tokens that open it (several with commas), and requests per second and
    caller. mcp_bind: where `mcp --http` listens; mcp_url: the address that its tokens are for. llm: `offline`, or
    PROVIDER:MODEL (several with commas: a chain); the rest of llm_…: its time and its money
    (`agent.conversation.llm.configured`). openai_…: as OpenAI names them, without our prefix. secret_key: what signs
    cookies' tokens and codes; "" is a file of the home. oidc_…: the OpenID provider that people sign in with
    (`agent.domain.signing`). trusted_proxies: addresses whose forwarded headers count, with commas. slack_…: as Slack
    names them; slack_api_url is another address of its Web API, for proxies and the loopback Slack.
    """

    home: Path
    database_url: str
    mlflow_uri: str
    log_uri: str
    bind: str = "127.0.0.1:8000"
    public_url: str = "http://127.0.0.1:8000"
    cluster: str = ""
    serve_bind: str = "127.0.0.1:8001"
    serve_token: str = field(default="", repr=False)
    serve_rate: str = "0"
    mcp_bind: str = "127.0.0.1:8002"
    mcp_url: str = "http://127.0.0.1:8002/mcp"
    llm: str = ""
    llm_deadline: str = ""
    llm_call_deadline: str = ""
    llm_answer_budget: str = ""
    llm_hourly_budget: str = ""
    llm_daily_budget: str = ""
    llm_daily_budget_usd: str = ""
    llm_prices: str = ""
    secret_key: str = field(default="", repr=False)
    oidc_issuer: str = ""
    oidc_client_id: str = ""
    oidc_client_secret: str = field(default="", repr=False)
    oidc_name: str = ""
    oidc_newcomers: str = ""
    oidc_roles_claim: str = ""
    oidc_roles: str = ""
    oidc_name_claim: str = ""
    trusted_proxies: str = ""
    openai_api_key: str = field(default="", repr=False)
    openai_base_url: str = ""
    slack_bot_token: str = field(default="", repr=False)
    slack_app_token: str = field(default="", repr=False)
    slack_signing_secret: str = field(default="", repr=False)
    slack_api_url: str = ""
    smtp_url: str = field(default="", repr=False)
    smtp_from: str = ""
    webhook_secret: str = field(default="", repr=False)
    alerts_secret: str = field(default="", repr=False)

    @property
    def policy_file(self) -> Path:
        return self.home / "approvals.yaml"

    @property
    def models(self) -> Path:
        return self.home / "models"


LLM = (
    "llm", "llm_deadline", "llm_call_deadline", "llm_answer_budget", "llm_hourly_budget", "llm_daily_budget",
    "llm_daily_budget_usd", "llm_prices",
)  # fmt: skip
SIGN_IN = (
    "secret_key", "oidc_issuer", "oidc_client_id", "oidc_client_secret", "oidc_name", "oidc_newcomers",
    "oidc_roles_claim", "oidc_roles", "oidc_name_claim", "trusted_proxies",
)  # fmt: skip
DELIVERY = ("smtp_url", "smtp_from", "webhook_secret", "alerts_secret")
SLACK = ("slack_bot_token", "slack_app_token", "slack_signing_secret", "slack_api_url")
KNOWN = (
    "database_url", "mlflow_uri", "log_uri", "bind", "public_url", "cluster", "serve_bind", "serve_token", "serve_rate",
    "mcp_bind", "mcp_url", *LLM, *SIGN_IN, *DELIVERY,
)  # fmt: skip


def named_home(environ: Mapping[str, str] | None = None) -> Path | None:
    """The workspace that WATCHKEEPER_HOME names, if it names one."""
    name = (os.environ if environ is None else environ).get(PREFIX + "HOME")
    return Path(name) if name else None


def find_home(start: Path) -> Path | None:
    """The nearest folder from `start` upwards that holds a `watchkeeper.yaml`."""
    return next((folder for folder in (start, *start.parents) if (folder / FILE).is_file()), None)


def load_settings(
    environ: Mapping[str, str] | None = None, *, home: Path | None = None, cwd: Path | None = None
) -> Settings:
    """The settings of a workspace: `home`, else WATCHKEEPER_HOME, else the nearest folder upwards with a workspace.

    Raises: InvalidInput when there is no workspace, or `watchkeeper.yaml` has an unknown key.
    """
    environ = os.environ if environ is None else environ
    folder = home or named_home(environ) or find_home(cwd or Path.cwd())
    if folder is None:
        raise InvalidInput(
            "There is no workspace here (no watchkeeper.yaml in this folder or above it); "
            "run `watchkeeper init DIR` and work inside it, or set WATCHKEEPER_HOME."
        )
    folder = folder.expanduser().resolve()
    if not (folder / FILE).is_file():
        raise InvalidInput(f"{folder} is not a workspace: it has no {FILE}; run `watchkeeper init {folder}`.")
    values = _from_file(folder / FILE)
    for key in KNOWN:
        if found := environ.get(PREFIX + key.upper()):
            values[key] = found
    return Settings(
        home=folder,
        database_url=_within(folder, values.get("database_url") or "sqlite:///watchkeeper.db"),
        mlflow_uri=_within(folder, values.get("mlflow_uri") or "sqlite:///mlflow.db"),
        log_uri=_within(folder, values.get("log_uri") or "log"),
        bind=values.get("bind", "127.0.0.1:8000"),
        public_url=values.get("public_url", f"http://{values.get('bind', '127.0.0.1:8000')}"),
        cluster=values.get("cluster", ""),
        serve_bind=values.get("serve_bind", "127.0.0.1:8001"),
        serve_token=values.get("serve_token", ""),
        serve_rate=values.get("serve_rate", "0"),
        mcp_bind=values.get("mcp_bind", "127.0.0.1:8002"),
        mcp_url=values.get("mcp_url", f"http://{values.get('mcp_bind', '127.0.0.1:8002')}/mcp"),
        **{key: values.get(key, "") for key in (*LLM, *SIGN_IN)},
        openai_api_key=environ.get("OPENAI_API_KEY", ""),
        openai_base_url=environ.get("OPENAI_BASE_URL", ""),
        **{key: environ.get(key.upper(), "").strip() for key in SLACK},
        **{key: values.get(key, "") for key in DELIVERY},
    )


def for_children(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for a user's trainer: without our settings and without keys to other people's doors.

    >>> for_children({"PATH": "/bin", "WATCHKEEPER_DATABASE_URL": "…", "SLACK_BOT_TOKEN": "…"})
    {'PATH': '/bin'}
    """
    values = os.environ if environ is None else environ
    return {key: value for key, value in values.items() if not key.startswith(SECRET)}


def _within(folder: Path, uri: str) -> str:
    """A relative file address belongs to the workspace, wherever a command is run; other addresses stay.

    >>> _within(Path("/work"), "log"), _within(Path("/work"), "sqlite:///a.db"), _within(Path("/work"), "s3://bucket/log")
    ('/work/log', 'sqlite:////work/a.db', 's3://bucket/log')
    """
    scheme, slashes, path = uri.partition(":///")
    if scheme.partition("+")[0] == "sqlite" and slashes:
        return uri if path.startswith((":memory:", "file:")) or not path else f"{scheme}:///{folder / path}"
    return uri if ":" in uri.partition("/")[0] else str(folder / Path(uri).expanduser())


def _from_file(path: Path) -> dict[str, str]:
    import yaml

    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidInput(f"{path}: cannot be read as YAML ({error}).") from None
    if not isinstance(data, dict):
        raise InvalidInput(f"{path}: must be a mapping of settings, such as `database_url: …`.")
    if "home" in data:
        raise InvalidInput(f"{path}: `home` is the folder that this file is in; take the line out, or move the folder.")
    if unknown := sorted(set(data) - set(KNOWN)):
        raise InvalidInput(f"{path}: unknown setting {unknown[0]!r}; known settings are {', '.join(KNOWN)}.")
    return {key: str(value) for key, value in data.items() if value is not None}
