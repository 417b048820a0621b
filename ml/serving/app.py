"""The model server's ASGI application: raw, because a framework's share of a request would be larger than the model's.

Nothing that a client sends ends in a server error: what cannot be read or answered is refused with a problem document.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import ParamSpec, TypeVar
from urllib.parse import parse_qs

import orjson
from starlette.types import Receive, Scope, Send

from ml.errors import WatchkeeperError
from ml.serving import backlog, ids, openapi, problems
from ml.serving.answering import Answered, Answering
from ml.serving.explanations import Explainer
from ml.serving.follower import Follower, Served
from ml.serving.health import OPEN, Health
from ml.serving.inputs import Table
from ml.serving.jobs.routes import JobRoutes
from ml.serving.limits import Limits, Rate, Tokens
from ml.serving.metrics import CONTENT_TYPE, Metrics
from ml.serving.problems import NotYet, Refused
from ml.serving.protocols import open_inference, scoring
from ml.serving.wire import JSON, Handler, Reply, Request, json_reply, read_body
from ml.serving.within import within

log = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")
LARGE = 128 * 1024
"""Bytes of a body from which on it is read in a thread."""
_ID_HEADER = b"x-watchkeeper-prediction-id"
_MODEL_HEADER = b"x-watchkeeper-model"


class App:
    """Answers HTTP. admit: raises a WatchkeeperError for what is not meant for this machine (hosts, origins)."""

    def __init__(
        self,
        follower: Follower,
        answering: Answering,
        limits: Limits,
        tokens: Tokens,
        admit: Callable[[Scope], None] | None = None,
        metrics: Metrics | None = None,
        explainer: Explainer | None = None,
        jobs: JobRoutes | None = None,
    ) -> None:
        self.follower, self.answering, self.limits, self.tokens = follower, answering, limits, tokens
        self.metrics, self.explainer, self.jobs = metrics, explainer, jobs
        self._admit = admit
        self._health = Health(follower)
        self._rate = Rate(limits.per_second)
        self._open = 0
        self._paths: dict[str, tuple[str, Handler]] = {
            "/invocations": ("POST", self._invocations),
            "/labels": ("POST", lambda request: self._labels(request, self._named(request))),
            "/metrics": ("GET", self._metrics),
            "/openapi.json": ("GET", self._openapi),
        } | {path: ("GET", handler) for path, handler in self._health.paths().items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1000})
            return
        path = scope["path"]
        self._open += 1
        try:
            reply = await self._reply(scope, receive, path)
        except WatchkeeperError as error:
            reply = self._refusal(problems.as_refused(error), path)
        except Exception as error:  # the outermost edge: the log says what, the caller that it was us
            log.error("%s %s broke.", scope["method"], path[:200], exc_info=error)
            broken = Refused(500, "broken", "Something broke that should not; the server's log says more.")
            reply = self._refusal(broken, path)
        finally:
            self._open -= 1
        if self.metrics is not None:
            self.metrics.replied(reply.status, self._open)
        if reply.stream is not None:
            await _stream(reply, reply.stream, send)
            return
        headers = [(b"content-type", reply.kind), (b"content-length", b"%d" % len(reply.body)), *reply.headers]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else reply.body})
        if reply.after is not None:
            reply.after()

    def _refusal(self, refused: Refused, path: str) -> Reply:
        if self.metrics is not None:
            self.metrics.refused(refused.rule)
        headers = [(name.encode(), value.encode()) for name, value in refused.headers.items()]
        body = orjson.dumps(problems.document(refused, path[:200]))
        return Reply(refused.status, body, problems.MEDIA_TYPE, headers)

    async def _reply(self, scope: Scope, receive: Receive, path: str) -> Reply:
        headers = dict(scope["headers"])
        if self._admit is not None:
            self._admit(scope)
        client = scope.get("client")
        request = Request(
            scope["method"], path, headers, scope["query_string"], receive, client[0] if client else "local"
        )
        if path not in OPEN:
            request.caller = self.tokens.caller(headers.get(b"authorization"))
            self._rate.take(request.caller or request.client)
            if self._open > self.limits.at_once:
                raise Refused(
                    503,
                    "too many at once",
                    f"{self.limits.at_once} requests are being answered already; try again in a second.",
                    headers={"retry-after": "1"},
                )
        found = self._paths.get(path)
        method, handler = found if found is not None else self._find(path, request.method)
        if request.method != method and not (method == "GET" and request.method == "HEAD"):
            raise Refused(405, "method", f"{path[:200]} is for {method}.", headers={"allow": method})
        if method != "POST" or path.endswith("/jobs"):
            return await handler(request)
        try:
            return await within(self.limits.seconds, self._when_ready(handler, request))
        except TimeoutError:
            raise Refused(
                504,
                "too slow",
                f"The answer took longer than {self.limits.seconds:g} s and is not waited for; send fewer rows.",
            ) from None

    async def _when_ready(self, handler: Handler, request: Request) -> Reply:
        """The handler's reply; a model that is about to be served is waited for, a little."""
        until = None
        while True:
            try:
                return await handler(request)
            except NotYet:
                now = asyncio.get_running_loop().time()
                until = until or now + self.limits.patience
                if now >= until:
                    raise
            await asyncio.sleep(0.02)

    def _find(self, path: str, method: str) -> tuple[str, Handler]:
        """The handler of a path with names in it, and its method. Raises: Refused (404)."""
        if self.jobs is not None and (found := self._find_job(self.jobs, path, method)) is not None:
            return found
        match path.split("/")[1:]:
            case ["models", name, "invocations"]:
                return "POST", lambda request: self._score(request, self.follower.find(name))
            case ["models", name, "labels"]:
                return "POST", lambda request: self._labels(request, self.follower.find(name))
            case ["models", name, "explain"]:
                return "POST", lambda request: self._explain(request, self.follower.find(name))
            case ["v2", "models", name]:
                return "GET", lambda request: self._health.metadata(name, None)
            case ["v2", "models", name, "versions", version]:
                return "GET", lambda request: self._health.metadata(name, version)
            case ["v2", "models", name, "ready"]:
                return "GET", lambda request: self._health.model_ready(name, None)
            case ["v2", "models", name, "versions", version, "ready"]:
                return "GET", lambda request: self._health.model_ready(name, version)
            case ["v2", "models", name, "infer"]:
                return "POST", lambda request: self._infer(request, name, None)
            case ["v2", "models", name, "versions", version, "infer"]:
                return "POST", lambda request: self._infer(request, name, version)
        raise Refused(404, "not found", f"There is nothing at {path[:200]!r}; see /v2 and /readyz.")

    def _find_job(self, jobs: JobRoutes, path: str, method: str) -> tuple[str, Handler] | None:
        match path.split("/")[1:]:
            case ["models", name, "jobs"]:
                return "POST", lambda request: jobs.create(request, self.follower.find(name))
            case ["jobs", job]:
                if method == "DELETE":
                    return "DELETE", lambda request: jobs.cancel(request, job)
                return "GET", lambda request: jobs.show(request, job)
            case ["jobs", job, "result"]:
                return "GET", lambda request: jobs.result(request, job)
        return None

    def _named(self, request: Request) -> Served:
        """The model of a request to /invocations: by header, by query, or the only one."""
        name = request.header(_MODEL_HEADER)
        if not name and request.query:
            name = parse_qs(request.query.decode("latin-1"), max_num_fields=20).get("model", [""])[0]
        if name:
            return self.follower.find(name)
        state = self.follower.state
        names = sorted({*state.models, *state.waiting})
        if len(names) == 1:
            return self.follower.find(names[0])
        if not names:
            kind = Refused if state.asked or state.away else NotYet
            raise kind(503, "not ready", "No model is served yet; /readyz says why.", headers={"retry-after": "2"})
        raise Refused(
            400,
            "which model",
            f"Several models are served here ({', '.join(names[:20])}); post to /models/NAME/invocations, "
            "or name one in the header X-Watchkeeper-Model.",
        )

    async def _invocations(self, request: Request) -> Reply:
        return await self._score(request, self._named(request))

    async def _score(self, request: Request, served: Served) -> Reply:
        body = await read_body(request, self.limits.most_bytes)
        content_type = request.header(b"content-type") or "application/json"
        order = served.signature.order
        table = await self._read(len(body), scoring.parse, body, content_type, order, self.limits.most_rows)
        request_id = self._given_id(request)
        answered = await self.answering.answer(served, table, request_id, None)
        return self._answer(served, table, answered, scoring.write(answered.answers, answered.ids))

    async def _explain(self, request: Request, served: Served) -> Reply:
        """What moved each answer; nothing is logged, as nothing is predicted that was not asked before."""
        if self.explainer is None:
            raise Refused(404, "not found", "Nothing is explained here.")
        body = await read_body(request, self.limits.most_bytes)
        content_type = request.header(b"content-type") or "application/json"
        order = served.signature.order
        table = await self._read(len(body), scoring.parse, body, content_type, order, self.limits.most_rows)
        if table.count == 0:
            raise Refused(400, "no rows", "There are no rows; send at least one.")
        columns = served.signature.check(table.columns, table.count)
        version = served.routes.champion
        found = await self.explainer.explain(served.signature.spec, version, columns, table.count)
        said = {"model": served.model, "version": version, "method": found.method, "unit": found.unit}
        return json_reply(said | {"contributions": found.contributions})

    async def _infer(self, request: Request, name: str, version: str | None) -> Reply:
        served = self.follower.find(name)
        if b"inference-header-content-length" in request.headers:
            raise Refused(400, "binary data", "The binary data extension is not understood; send the data as JSON.")
        body = await read_body(request, self.limits.most_bytes)
        asked = await self._read(len(body), open_inference.parse, body, served.signature)
        request_id = asked.id or self._given_id(request)
        answered = await self.answering.answer(served, asked.table, request_id, version)
        versions = ",".join(answered.versions)
        written = open_inference.write(served.model, versions, answered.request_id, answered.answers, asked)
        return self._answer(served, asked.table, answered, written)

    async def _labels(self, request: Request, served: Served) -> Reply:
        body = await read_body(request, self.limits.most_bytes)
        taken = self.answering.take_labels(served, body)
        return json_reply(taken, 202)

    async def _read(self, size: int, parse: Callable[P, T], *what: P.args, **named: P.kwargs) -> T:
        """What a body says; a large one is read in a thread, so that others are answered meanwhile."""
        if size < LARGE:
            return parse(*what, **named)
        return await asyncio.get_running_loop().run_in_executor(self.answering.threads, partial(parse, *what, **named))

    def _given_id(self, request: Request) -> str | None:
        given = request.headers.get(_ID_HEADER)
        if given is None:
            return None
        return ids.check_request_id(given.decode("latin-1"), "The header X-Watchkeeper-Prediction-Id")

    def _answer(self, served: Served, table: Table, answered: Answered, body: bytes) -> Reply:
        headers = [
            (b"x-watchkeeper-model", served.model.encode()),
            (b"x-watchkeeper-version", ",".join(answered.versions).encode()),
            (b"x-watchkeeper-route", ",".join(answered.routes).encode()),
            (b"x-watchkeeper-prediction-id", (answered.ids[0] if table.count == 1 else answered.request_id).encode()),
        ]
        after = None
        if served.routes.shadow is not None:
            after = lambda: self.answering.shadow(served, table, answered)  # noqa: E731
        return Reply(200, body, JSON, headers, after)

    async def _metrics(self, request: Request) -> Reply:
        if self.metrics is None:
            raise Refused(404, "not found", "Nothing is counted here.")
        standing = backlog.status(self.answering.journal.root)
        return Reply(200, self.metrics.text(self.follower, standing), CONTENT_TYPE)

    async def _openapi(self, request: Request) -> Reply:
        return json_reply(openapi.document(self.follower.served, tokens=self.tokens.needed))


async def _stream(reply: Reply, parts: AsyncIterator[bytes], send: Send) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": reply.status,
            "headers": [(b"content-type", reply.kind), *reply.headers],
        }
    )
    async for part in parts:
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
