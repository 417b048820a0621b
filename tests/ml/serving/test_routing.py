"""Shares are what they say, and an id always goes the same way."""

from __future__ import annotations

import pytest

from ml.serving.routing import Routes, choose, place

IDS = [f"customer-{number}" for number in range(100_000)]


@pytest.mark.parametrize("share", [0.0, 0.01, 0.1, 0.5, 1.0])
def test_the_share_is_kept_within_a_hundredth(share: float) -> None:
    routes = Routes("1", "2", share)
    taken = sum(choose(routes, "price", one)[0] == "2" for one in IDS) / len(IDS)
    assert abs(taken - share) < 0.01
    if share in (0.0, 1.0):
        assert taken == share


def test_an_id_keeps_its_place_when_the_share_grows() -> None:
    small, large = Routes("1", "2", 0.05), Routes("1", "2", 0.2)
    for one in IDS[:10_000]:
        if choose(small, "price", one)[1] == "canary":
            assert choose(large, "price", one) == ("2", "canary")


def test_another_model_takes_other_ids() -> None:
    both = sum(place("price", one) < 0.1 and place("churn", one) < 0.1 for one in IDS) / len(IDS)
    assert 0.005 < both < 0.02


def test_without_a_canary_the_champion_answers() -> None:
    assert choose(Routes("7"), "price", "anyone") == ("7", "champion")
    assert choose(Routes("7", canary_share=1.0), "price", "anyone") == ("7", "champion")


def test_any_text_is_an_id() -> None:
    assert {choose(Routes("1", "2", 0.5), "price", one)[1] for one in ("", "\ud800", "\0", "ü" * 10_000)} <= {
        "champion",
        "canary",
    }
