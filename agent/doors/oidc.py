"""OpenID Connect: the code flow with PKCE, state and nonce; the provider's word is checked by its published keys.

What a sign-in needs between leaving and coming back stands in a signed cookie of that browser, so that only the browser
that left comes back, within ten minutes, and any replica of ours can receive it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, cast
from urllib.parse import urlsplit

import httpx
from authlib.common.errors import AuthlibBaseError
from authlib.common.security import generate_token
from authlib.integrations.httpx_client import OAuth2Client
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from agent.domain.addresses import is_loopback
from agent.domain.errors import NotAllowed, Unavailable
from agent.domain.signing import Provider

LIFE = 600
SECONDS = 5.0
KEPT = 300.0
ALGORITHMS = ["RS256", "PS256", "ES256", "EdDSA"]
"""Only signatures by the provider's private key: never `none`, never one by a secret that both know."""
FAILED = "Signing in at {name} did not work ({why}); start again from the sign-in page."


@dataclass(frozen=True, slots=True)
class Leaving:
    """What is remembered of a sign-in that is under way. bind: the person who connects their account."""

    state: str
    nonce: str
    verifier: str
    next: str
    at: int
    again: bool = False
    bind: str = ""


class Asking:
    """One provider: its endpoints and keys are fetched when they are needed, and kept for five minutes."""

    def __init__(self, provider: Provider, redirect: str, secret: bytes) -> None:
        self.provider, self.redirect, self.secret = provider, redirect, secret
        self._known: tuple[float, dict[str, Any]] | None = None
        self._keys: tuple[float, KeySet] | None = None

    def leave(self, next: str, *, again: bool = False, bind: str = "") -> tuple[str, str]:
        """Where to send the browser, and the cookie that it keeps. again: the provider asks for the password anew.

        Raises: Unavailable when the provider does not answer.
        """
        leaving = Leaving(
            secrets.token_urlsafe(24),
            secrets.token_urlsafe(24),
            generate_token(64),
            next,
            int(time.time()),
            again,
            bind,
        )
        more = {"prompt": "login", "max_age": "0"} if again else {}
        with self._client() as client:
            url, _ = client.create_authorization_url(
                self._endpoint("authorization_endpoint"),
                state=leaving.state,
                nonce=leaving.nonce,
                code_verifier=leaving.verifier,
                **more,
            )
        return str(url), self._seal(leaving)

    def come_back(self, cookie: str, query: Mapping[str, str]) -> tuple[dict[str, Any], Leaving]:
        """The checked claims about who came back. Raises: NotAllowed for anything else, Unavailable."""
        leaving = self._open(cookie)
        if not hmac.compare_digest(query.get("state", "").encode(), leaving.state.encode()):
            raise self._failed("it was begun in another browser, or long ago")
        if query.get("error"):
            raise self._failed(f"the provider says {query['error'][:60]!r}")
        if query.get("iss", self.provider.issuer) != self.provider.issuer:
            raise self._failed("another provider has answered")
        if not query.get("code"):
            raise self._failed("there is no code in the answer")
        return self._claims(query["code"], leaving), leaving

    def _claims(self, code: str, leaving: Leaving) -> dict[str, Any]:
        try:
            with self._client() as client:
                token = client.fetch_token(
                    self._endpoint("token_endpoint"), code=code, code_verifier=leaving.verifier,
                    grant_type="authorization_code",
                )  # fmt: skip
        except AuthlibBaseError as error:
            raise self._failed(f"the code was refused: {str(error)[:80]}") from None
        except (httpx.HTTPError, ValueError) as error:
            raise self._away(error) from None
        if not isinstance(token, dict) or not isinstance(token.get("id_token"), str):
            raise self._failed("the provider sent no id token")
        return self._checked(token, leaving)

    def _checked(self, token: Mapping[str, Any], leaving: Leaving) -> dict[str, Any]:
        options = {
            "iss": {"essential": True, "value": self.provider.issuer},
            "aud": {"essential": True, "value": self.provider.client_id},
            "exp": {"essential": True},
            "sub": {"essential": True},
            "nonce": {"essential": True, "value": leaving.nonce},
        }
        params = {
            "nonce": leaving.nonce,
            "client_id": self.provider.client_id,
            "access_token": token.get("access_token"),
        }
        try:
            found = self._decoded(token["id_token"])
            claims = CodeIDToken(found.claims, found.header, options, params)
            claims.validate(leeway=60)
        except (JoseError, AuthlibBaseError, ValueError, TypeError) as error:
            raise self._failed(f"its token is not right: {type(error).__name__}") from None
        if leaving.again and not (_is_number(claims.get("auth_time")) and time.time() - claims["auth_time"] < LIFE):
            raise self._failed("the provider did not ask you anew")
        return dict(claims)

    def _decoded(self, id_token: str) -> Any:
        """A key that is not known may be a new one: the provider is asked once more."""
        try:
            return jwt.decode(id_token, self._key_set(), algorithms=ALGORITHMS)
        except (JoseError, ValueError):
            if self._keys is not None and time.monotonic() - self._keys[0] < 5:
                raise
            self._keys = None
            return jwt.decode(id_token, self._key_set(), algorithms=ALGORITHMS)

    def _key_set(self) -> KeySet:
        if self._keys is None or time.monotonic() - self._keys[0] > KEPT:
            self._keys = (time.monotonic(), KeySet.import_key_set(cast("Any", self._get(self._endpoint("jwks_uri")))))
        return self._keys[1]

    def _endpoint(self, name: str) -> str:
        if self._known is None or time.monotonic() - self._known[0] > KEPT:
            found = self._get(f"{self.provider.issuer.rstrip('/')}/.well-known/openid-configuration")
            if found.get("issuer") != self.provider.issuer:
                raise Unavailable(f"{self.provider.issuer} says that it is {str(found.get('issuer'))[:100]!r}.")
            self._known = (time.monotonic(), found)
        return self._allowed(str(self._known[1].get(name, "")))

    def _allowed(self, url: str) -> str:
        """Raises: Unavailable for an address that is not https, this machine's own apart."""
        parts = urlsplit(url)
        if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname or "")):
            raise Unavailable(f"{self.provider.name} names the address {url[:100]!r}, which is not https.")
        return url

    def _get(self, url: str) -> dict[str, Any]:
        try:
            answer = httpx.get(self._allowed(url), timeout=SECONDS, follow_redirects=False)
            answer.raise_for_status()
            found = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise self._away(error) from None
        if not isinstance(found, dict):
            raise self._away(ValueError("no document"))
        return found

    def _client(self) -> Any:
        return OAuth2Client(
            self.provider.client_id,
            self.provider.client_secret or None,
            scope="openid profile email",
            redirect_uri=self.redirect,
            code_challenge_method="S256",
            token_endpoint_auth_method="client_secret_basic" if self.provider.client_secret else "none",
            timeout=SECONDS,
        )

    def _seal(self, leaving: Leaving) -> str:
        body = base64.urlsafe_b64encode(json.dumps(asdict(leaving)).encode()).decode()
        return f"{body}.{self._sign(body)}"

    def _open(self, cookie: str) -> Leaving:
        body, _, sign = cookie.partition(".")
        if not body or not hmac.compare_digest(sign.encode(), self._sign(body).encode()):
            raise self._failed("it was not begun in this browser")
        leaving = Leaving(**json.loads(base64.urlsafe_b64decode(body)))
        if time.time() - leaving.at > LIFE:
            raise self._failed("it took more than ten minutes")
        return leaving

    def _sign(self, body: str) -> str:
        return hmac.new(self.secret, f"oidc:{body}".encode(), hashlib.sha256).hexdigest()

    def _failed(self, why: str) -> NotAllowed:
        return NotAllowed(FAILED.format(name=self.provider.name, why=why))

    def _away(self, error: Exception) -> Unavailable:
        return Unavailable(f"{self.provider.name} ({self.provider.issuer}) does not answer: {type(error).__name__}.")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
