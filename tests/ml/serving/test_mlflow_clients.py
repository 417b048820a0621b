"""Clients written for `mlflow models serve` work unchanged, and get what it would have said."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest

from tests.ml.serving.conftest import HOUSE, Counter, Shop, houses, running, subscribers


@pytest.fixture(scope="module")
def mlflow_server(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, httpx.Client]]:
    """MLflow's own scoring server over the same models, by name."""
    from mlflow import pyfunc
    from mlflow.pyfunc import scoring_server

    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "true")
        found = {}
        for model in ("price", "churn"):
            path = shop.registry.fetch(model, "1", tmp_path_factory.mktemp("files"))
            address = stack.enter_context(running(scoring_server.init(pyfunc.load_model(str(path)))))
            found[model] = stack.enter_context(httpx.Client(base_url=address, timeout=60))
        yield found


def by_mlflow(server: dict[str, httpx.Client], model: str, content: str, kind: str = "application/json") -> Any:
    answer = server[model].post("/invocations", content=content, headers={"content-type": kind})
    assert answer.status_code == 200, answer.text
    return answer.json()["predictions"]


def people() -> pd.DataFrame:
    return subscribers(40)[["age", "plan"]]


def test_the_answers_are_those_of_mlflows_own_server(counter: Counter, mlflow_server: Any) -> None:
    from mlflow.utils.proto_json_utils import dump_input_data

    frame = people()
    bodies = [
        dump_input_data(frame),
        json.dumps({"dataframe_records": frame.to_dict("records")}),
        json.dumps({"instances": frame.to_dict("records")}),
        json.dumps({"inputs": frame.to_dict("list")}),
    ]
    for body in bodies:
        ours = counter.score(body.encode(), "churn")
        assert ours.json()["predictions"] == by_mlflow(mlflow_server, "churn", body)
    text = frame.to_csv(index=False)
    ours = counter.score(text.encode(), "churn", content_type="text/csv")
    assert ours.json()["predictions"] == by_mlflow(mlflow_server, "churn", text, "text/csv")


def test_numbers_are_those_of_mlflows_own_server(counter: Counter, mlflow_server: Any) -> None:
    frame = houses(5, price=1)[list(HOUSE)].assign(built="2001-01-01T00:00:00")
    body = json.dumps({"dataframe_split": frame.to_dict("split")})
    theirs = by_mlflow(mlflow_server, "price", body)
    assert np.allclose(counter.score(body.encode()).json()["predictions"], theirs, rtol=1e-6)


def test_mlflows_own_client(counter: Counter) -> None:
    from mlflow.pyfunc.scoring_server.client import ScoringServerClient

    counter.tell(type(counter.follower.state)(models={"churn": counter.follower.state.models["churn"]}, asked=True))
    client = ScoringServerClient(counter.client.base_url.host, counter.client.base_url.port)
    client.wait_server_ready(timeout=10)
    assert client.get_version()
    frame = people()
    frame.loc[3, "age"] = np.nan  # which MLflow's client writes as NaN, and so does JSON not have it
    predictions = client.invoke(frame).get_predictions()
    assert len(predictions) == len(frame)
    assert set(predictions[0]) == {0, 1}
    with pytest.raises(Exception, match=r"error code 400.*plan"):
        client.invoke(frame[["age"]])


def test_health_as_mlflow_has_it(counter: Counter, mlflow_server: Any) -> None:
    for path in ("/ping", "/health", "/version"):
        ours, theirs = counter.client.get(path), mlflow_server["churn"].get(path)
        assert (ours.status_code, ours.content) == (theirs.status_code, theirs.content)
