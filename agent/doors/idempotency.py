"""The same `Idempotency-Key` again gets the same answer and does nothing; the same ETag gets no body again.

The first request with a key is written down before it is done, and its answer after. The same again gets that answer,
another body under the same key is refused (422), and while the first is at work a second is told to wait (409). A key
is of one caller and one path, and lives a day. What could not be answered (5xx, 429) is forgotten: try again.

Whoever repeats a request is asked again whether they may. Answers can hold secrets (a new token, a link), so they are
kept sealed: to open one takes the caller's key and this server's, and neither is in the database.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from sqlalchemy import delete
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from agent.domain.errors import Conflict, InvalidInput
from agent.doors.access import Principal, check_once, principal_of
from agent.pipeline.services import Services
from agent.store.tables import KeptAnswer
from tools.clean import clean_text

LIFE = timedelta(days=1)
STUCK = timedelta(minutes=5)
"""After so long a request without an answer was cut off, and its key may be used again."""
LONGEST_KEY, LONGEST_ANSWER = 200, 2_000_000
HEADER = "idempotent-replay"


class ApiRoute(APIRoute):
    """A route whose POST is done once for each key, and whose GET says by an ETag whether something has changed.

    Routes whose handlers keep their own keys do not use it.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def once(request: Request) -> Response:
            key = clean_text(request.headers.get("idempotency-key", "")).strip()
            if request.method == "GET":
                return _unless_known(request, await handle(request))
            if request.method != "POST" or not key:
                return await handle(request)
            if len(key) > LONGEST_KEY:
                raise InvalidInput(f"Idempotency-Key: a key has at most {LONGEST_KEY} characters.")
            services: Services = request.app.state.services
            principal = await run_in_threadpool(principal_of, request, services)
            if principal.kind == "anonymous":
                return await handle(request)
            await check_once(self, request, services, principal)
            name, wanted = await _names(request, principal, key)
            kept = await run_in_threadpool(_begin, services, name, wanted)
            if kept is not None:
                return kept
            try:
                answer = await handle(request)
            except BaseException:
                await run_in_threadpool(_forget, services, name)
                raise
            if isinstance(answer, StreamingResponse) or answer.status_code >= 500 or len(answer.body) > LONGEST_ANSWER:
                await run_in_threadpool(_forget, services, name)
            else:
                await run_in_threadpool(_keep, services, name, answer)
            return answer

        return once


def _unless_known(request: Request, answer: Response) -> Response:
    """The answer with its ETag; without its body where the caller has it already."""
    if answer.status_code != 200 or isinstance(answer, StreamingResponse):
        return answer
    answer.headers.setdefault("etag", f'"{hashlib.sha256(bytes(answer.body)).hexdigest()[:32]}"')
    known = {part.strip().removeprefix("W/") for part in request.headers.get("if-none-match", "").split(",")}
    if answer.headers["etag"].removeprefix("W/") in known or "*" in known:
        return Response(status_code=304, headers={"etag": answer.headers["etag"]})
    return answer


async def _names(request: Request, principal: Principal, key: str) -> tuple[str, str]:
    """What the key is known by, and what was asked under it. Who asks is part of the first: keys are nobody else's, and
    another token of the same person may see less."""
    who = principal.through if principal.kind in ("token", "agent") else principal.name
    name = json.dumps([request.url.path, principal.kind, who, key])
    wanted = request.url.query.encode() + b"\0" + await request.body()
    return name, hashlib.sha256(wanted).hexdigest()


def _hashed(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def _sealed(services: Services, name: str, body: bytes) -> str:
    return str(_seal(services, name).encrypt(body).decode())


def _opened(services: Services, name: str, body: str) -> bytes:
    """Raises: Conflict when this server's key is another one by now."""
    from cryptography.fernet import InvalidToken

    try:
        return bytes(_seal(services, name).decrypt(body.encode()))
    except InvalidToken:
        raise Conflict(
            "This was done under this Idempotency-Key already; what was answered then can no longer be read."
        ) from None


def _seal(services: Services, name: str) -> Any:
    from cryptography.fernet import Fernet

    key = hmac.new(services.secret, f"kept answer:{name}".encode(), hashlib.sha256).digest()
    return Fernet(base64.urlsafe_b64encode(key))


def _begin(services: Services, name: str, wanted: str) -> Response | None:
    """The answer that was given before; None where this is the first time, which is written down then."""
    now = services.wall()
    with services.store.write() as session:
        row = session.get(KeptAnswer, _hashed(name), with_for_update=True)
        if row is not None and (row.at <= now - LIFE or (row.status is None and row.at <= now - STUCK)):
            session.delete(row)
            session.flush()
            row = None
        if row is None:
            session.execute(delete(KeptAnswer).where(KeptAnswer.at < now - LIFE))
            session.add(KeptAnswer(key=_hashed(name), request=wanted, at=now))
            return None
        if row.request != wanted:
            raise InvalidInput("Idempotency-Key: this key was used for another request; take a new one.")
        if row.status is None:
            raise Conflict("The first request with this Idempotency-Key is still at work; ask again in a moment.")
        status, headers, body = row.status, row.headers, row.body
    return Response(_opened(services, name, body), status, {**headers, HEADER: "true"})


def _keep(services: Services, name: str, answer: Response) -> None:
    named = ("content-type", "etag", "location")
    with services.store.write() as session:
        row = session.get(KeptAnswer, _hashed(name))
        if row is not None:
            row.status, row.body = answer.status_code, _sealed(services, name, bytes(answer.body))
            row.headers = {key: answer.headers[key] for key in named if key in answer.headers}


def _forget(services: Services, name: str) -> None:
    with services.store.write() as session:
        session.execute(delete(KeptAnswer).where(KeptAnswer.key == _hashed(name)))
