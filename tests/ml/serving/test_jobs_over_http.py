"""A long batch as a client sends it, watches it, fetches it and ends it; over the real server."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import httpx
import pytest

from ml.data.prediction_log import PredictionLog
from ml.models.registry import Registry
from tests.ml.serving.conftest import Shop, subscribers
from tests.ml.serving.test_metrics import registry  # noqa: F401
from tests.ml.serving.test_server import serving

ROWS = subscribers(30_000)[["age", "plan"]]


def test_a_file_is_taken_answered_and_fetched(registry: Registry, shop: Shop, tmp_path: Path) -> None:  # noqa: F811
    with serving(registry, tmp_path, shop.root, workers=1) as server, server.client() as client:
        sent = client.post(
            "/models/churn/jobs", content=ROWS.to_csv(index=False).encode(), headers={"content-type": "text/csv"}
        )
        assert sent.status_code == 202, sent.text
        job = sent.json()
        assert sent.headers["location"] == f"/jobs/{job['id']}"
        assert (job["model"], job["version"], job["result"]) == ("churn", "1", None)
        early = client.get(f"/jobs/{job['id']}/result")
        assert (early.status_code, early.headers.get("retry-after")) in ((409, "2"), (200, None))
        server.wait_for(lambda client: client.get(f"/jobs/{job['id']}").json()["state"] == "done")
        done = client.get(f"/jobs/{job['id']}").json()
        assert (done["rows"], done["share"], done["problem"]) == (30_000, 1.0, None)
        assert done["expires_at"] > done["ended_at"]

        lines = client.get(done["result"])
        assert lines.headers["content-type"] == "application/x-ndjson"
        assert lines.text.count("\n") == 30_000
        table = list(csv.reader(io.StringIO(client.get(done["result"], headers={"accept": "text/csv"}).text)))
        assert table[0] == ["prediction_id", "prediction", "score"]
        assert [row[0] for row in table[1:]] == [f"{job['id']}.{row}" for row in range(30_000)]
        one = client.post("/models/churn/invocations", json={"dataframe_records": [ROWS.iloc[7].to_dict()]}).json()
        assert str(one["predictions"][0]) == table[8][1]
        assert one["scores"][0] == pytest.approx(float(table[8][2]), abs=1e-6)

        log = PredictionLog(str(tmp_path / "log"))
        server.wait_for(lambda client: log.count(shop.churn)[0] == 30_001)

        again = client.post("/models/churn/jobs", content=b"age,plan\n", headers={"content-type": "text/csv"}).json()
        ended = client.delete(f"/jobs/{again['id']}")
        assert ended.status_code == 202
        server.wait_for(lambda client: client.get(f"/jobs/{again['id']}").json()["state"] in ("cancelled", "done"))
        refuse(client, "/jobs/nothing", 404)
        refuse(client, "/jobs/..%2f..%2fetc", 404)
        zipped = client.post("/models/churn/jobs", content=b"PK", headers={"content-type": "application/zip"})
        assert zipped.status_code == 415
        assert client.post("/models/nobody/jobs", content=b"").status_code == 404


def refuse(client: httpx.Client, path: str, status: int) -> None:
    reply = client.get(path)
    assert reply.status_code == status
    assert reply.headers["content-type"] == "application/problem+json"
