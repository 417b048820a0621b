"""Is it alive, can it answer, and what does it serve: as MLflow's server, the Open Inference Protocol and we say it."""

from __future__ import annotations

from importlib.metadata import version as version_of

from ml.serving.follower import Follower, describe
from ml.serving.problems import Refused
from ml.serving.protocols import open_inference
from ml.serving.wire import Handler, Reply, Request, json_reply

OPEN = frozenset({"/ping", "/health", "/version", "/healthz", "/readyz", "/v2", "/v2/health/live", "/v2/health/ready"})
"""Paths that say nothing but whether the server is well; they need no token."""


class Health:
    """What a follower's process says of itself."""

    def __init__(self, follower: Follower) -> None:
        self._follower = follower

    def paths(self) -> dict[str, Handler]:
        return {
            "/ping": self.ping,
            "/health": self.ping,
            "/version": self.version,
            "/healthz": self.alive,
            "/readyz": self.ready,
            "/v2": self.server,
            "/v2/health/live": self.live,
            "/v2/health/ready": self.can_answer,
        }

    async def ping(self, request: Request) -> Reply:
        if not self._follower.served:
            raise Refused(503, "not ready", "No model is served yet; /readyz says why.", headers={"retry-after": "2"})
        return Reply(200, b"\n")

    async def version(self, request: Request) -> Reply:
        return Reply(200, version_of("mlflow").encode())

    async def alive(self, request: Request) -> Reply:
        return json_reply({"status": "ok"})

    async def ready(self, request: Request) -> Reply:
        """503 until every model that has a champion can answer; what is amiss beside that is told, and is 200."""
        ready = self._follower.ready
        return json_reply(
            {"status": "ready" if ready else "not ready", **describe(self._follower)}, 200 if ready else 503
        )

    async def server(self, request: Request) -> Reply:
        return json_reply({"name": "watchkeeper", "version": version_of("watchkeeper"), "extensions": []})

    async def live(self, request: Request) -> Reply:
        return json_reply({"live": True})

    async def can_answer(self, request: Request) -> Reply:
        ready = self._follower.ready
        return json_reply({"ready": ready}, 200 if ready else 503)

    async def metadata(self, name: str, version: str | None) -> Reply:
        served = self._follower.find(name)
        versions = [version] if version else served.routes.versions
        platform = f"watchkeeper-{served.kind}" if served.kind else "watchkeeper"
        return json_reply(open_inference.metadata(served.signature, versions, platform, served.predicts))

    async def model_ready(self, name: str, version: str | None) -> Reply:
        served = self._follower.find(name)
        ready = (version or served.routes.champion) in served.folders
        return json_reply({"name": served.model, "ready": ready}, 200 if ready else 503)
