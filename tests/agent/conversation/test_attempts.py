"""Who is asked, how long and how often; what is broken, what is spent, and what it costs."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from langchain_core.messages import HumanMessage

from agent.conversation.attempts import Attempts, NoModel
from agent.conversation.breaker import FAILURES, REST, Breaker
from agent.conversation.budget import Allowance, Budgets, Limits, Spent
from agent.conversation.deadline import Stop, Stopped, within
from agent.conversation.llm import LanguageModels, configured
from agent.domain.errors import InvalidInput
from tests.fake_openai.faults import Fault
from tests.fake_openai.server import FakeOpenAI, Turn, fake_openai


@pytest.fixture(scope="module", autouse=True)
def imported_ahead() -> None:
    """As an answer does before its clock runs: the first import takes seconds."""
    with fake_openai([Turn("ready")]) as server:
        asked(models(server, deadline="60"))


def models(
    server: FakeOpenAI, chain: str = "openai:gpt-4.1-mini", deadline: str = "1.5", **more: str
) -> LanguageModels:
    return configured(chain, key="k", base_url=server.url, deadline=deadline, **more)


def asked(
    chosen: LanguageModels, left: Allowance | None = None, stop: Stop | None = None, times: int = 1
) -> tuple[str, Attempts]:
    """Ask once (or `times`) outside any loop; the last text and the attempts."""
    made: list[Attempts] = []

    async def work() -> str:
        async with Attempts(chosen, left or Allowance(chosen.budgets), time.monotonic() + chosen.deadline) as attempts:
            made.append(attempts)
            for _ in range(times):
                message = await attempts.ask(lambda model: model.ainvoke([HumanMessage("hi")]), size=400, tools=False)
            return message.text

    return within(chosen.deadline + 1, work, stop=stop), made[0]


def test_the_next_model_of_the_chain_answers_and_the_first_is_not_asked_again():
    def script(body):
        return Fault.SERVER_ERROR if body["model"] == "a" else Turn("from b")

    with fake_openai(script) as server:
        text, attempts = asked(models(server, "openai:a,openai:b"), times=2)
    assert (text, attempts.answered_by) == ("from b", "openai:b")
    assert attempts.failed == {"openai:a": "its server failed (500)"}
    assert [request["model"] for request in server.requests] == ["a", "a", "b", "b"]  # one more try, then never again


def test_a_fault_of_a_moment_is_tried_once_more():
    with fake_openai([Fault.RESET, Turn("here")]) as server:
        text, attempts = asked(models(server))
    assert text == "here"
    assert attempts.failed == {}


def test_who_asks_to_wait_longer_than_there_is_time_is_not_waited_for():
    with fake_openai([Fault.RATE_LIMIT]) as server:
        began = time.monotonic()
        with pytest.raises(NoModel, match=r"429\), and asks to wait 30 s"):
            asked(models(server))
    assert len(server.requests) == 1
    assert time.monotonic() - began < 1.4


@pytest.mark.parametrize("fault", [Fault.HANG, Fault.TRICKLE])
def test_a_server_that_never_ends_is_left_and_notices_it(fault):
    with fake_openai([fault]) as server:
        began = time.monotonic()
        with pytest.raises(NoModel, match=r"did not answer within 0\.5 s"):
            asked(models(server, deadline="0.5"))
        assert time.monotonic() - began < 2
        deadline = time.monotonic() + 5
        while not server.went_away and time.monotonic() < deadline:
            time.sleep(0.01)
        assert server.went_away == 1


def test_time_is_shared_so_that_the_next_model_still_has_some():
    def script(body):
        return Fault.HANG if body["model"] == "a" else Turn("in time")

    with fake_openai(script) as server:
        assert asked(models(server, "openai:a,openai:b", deadline="2"))[0] == "in time"


def test_stopping_closes_the_connection():
    stop = Stop()
    with fake_openai([Fault.HANG]) as server:

        async def work() -> None:
            chosen = models(server, deadline="20")
            async with Attempts(chosen, Allowance(chosen.budgets), time.monotonic() + 20) as attempts:
                await attempts.ask(lambda model: model.ainvoke("hi"), size=2, tools=False)

        import threading

        threading.Timer(0.3, stop.set).start()
        began = time.monotonic()
        with pytest.raises(Stopped):
            within(20, work, stop=stop)
        assert time.monotonic() - began < 5
        deadline = time.monotonic() + 5
        while not server.went_away and time.monotonic() < deadline:
            time.sleep(0.01)
        assert server.went_away == 1


def test_a_broken_model_rests_then_one_call_tries_it():
    now = [0.0]
    breaker = Breaker(lambda: now[0])
    for _ in range(FAILURES):
        assert breaker.refuses("m") == ""
        breaker.failed("m", "500")
    assert "rests for 60 s" in breaker.refuses("m")
    now[0] = REST + 1
    assert breaker.refuses("m") == ""
    assert "another call is trying it out" in breaker.refuses("m")
    breaker.failed("m", "500")
    assert "rests" in breaker.refuses("m")
    now[0] = 2 * REST + 2
    assert breaker.refuses("m") == ""
    breaker.succeeded("m")
    assert breaker.refuses("m") == breaker.refuses("m") == ""


def test_a_trial_call_that_is_stopped_leaves_the_door_open():
    breaker = Breaker(lambda: 0.0, rest=0)
    breaker.failed("m", "wrong key", grave=True)
    assert breaker.refuses("m") == ""
    breaker.released("m")
    assert breaker.refuses("m") == ""


def test_the_breaker_spares_the_server_and_says_why():
    with fake_openai([Fault.SERVER_ERROR]) as server:
        chosen = models(server)
        for _ in range(FAILURES + 2):
            with pytest.raises(NoModel) as caught:
                asked(chosen)
    assert len(server.requests) == 2 * FAILURES
    assert "it rests for" in str(caught.value)
    assert "500" in str(caught.value)


def test_what_a_call_cost_is_counted_from_what_the_server_says():
    with fake_openai([Turn("dear", prompt_tokens=1_000_000, completion_tokens=500_000)]) as server:
        _, attempts = asked(models(server))
        assert attempts.allowance.spent.usd == pytest.approx(0.40 + 0.80)
        _, own = asked(models(server, prices="openai:gpt-4.1-mini=2/4"))
        assert own.allowance.spent.usd == pytest.approx(2 + 2)
        _, unknown = asked(models(server, "openai:homemade"))
    assert (unknown.allowance.spent.unpriced, unknown.allowance.calls[0].usd) == (1, None)


def test_what_nobody_counted_is_estimated_and_says_so():
    with fake_openai([Fault.HANG]) as server:
        chosen = models(server, deadline="0.4")
        left = Allowance(chosen.budgets)
        with pytest.raises(NoModel):
            asked(chosen, left)
    assert [(call.tokens_in, call.estimated) for call in left.calls] == [(100, True)]


@pytest.mark.parametrize(
    ("budgets", "before", "said"),
    [
        (Budgets(answer=Limits(calls=1)), {}, "of one answer is spent (1 of 1 calls)"),
        (Budgets(answer=Limits(tokens=50)), {}, "of one answer is spent (52 of 50 tokens)"),
        (Budgets(hour=Limits(tokens=100)), {"hour": Spent(tokens=60)}, "person and hour is spent (112 of 100 tokens)"),
        (Budgets(day=Limits(usd=1)), {"day": Spent(usd=1.0)}, "of the day is spent"),
        (Budgets(day=Limits(seconds=5)), {"day": Spent(seconds=4.9999)}, "of the day is spent (5"),
    ],
)  # fmt: skip
def test_a_spent_budget_ends_the_calls_and_is_named(budgets, before, said):
    with fake_openai([Turn("ok")]) as server:
        chosen = replace(models(server), budgets=budgets)
        left = Allowance(budgets, **before)
        with pytest.raises(NoModel) as caught:
            asked(chosen, left, times=3)
    assert said in str(caught.value)
    assert len(server.requests) <= 1


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("llm", "gpt-4"),
        ("deadline", "soon"),
        ("deadline", "-1"),
        ("deadline", "nan"),
        ("answer_budget", "calls"),
        ("daily_usd", "free"),
        ("prices", "openai:x=cheap"),
    ],
)
def test_a_wrong_setting_is_named(setting, value):
    given = {"llm": "openai:m", setting: value}
    with pytest.raises(InvalidInput, match="llm"):
        configured(given.pop("llm"), **given)


def test_without_a_key_the_chain_says_so_and_nothing_leaves():
    with pytest.raises(NoModel, match="OPENAI_API_KEY is not set"):
        asked(configured("openai:gpt-4.1-mini"))


def test_a_provider_that_is_not_installed_is_named():
    with pytest.raises(NoModel, match="cohere"):
        asked(configured("cohere:command"))


def test_work_that_blocks_its_thread_is_left_behind():
    import threading

    release = threading.Event()

    async def work() -> None:
        release.wait(10)

    began = time.monotonic()
    with pytest.raises(TimeoutError):
        within(0.2, work, grace=0.2)
    assert time.monotonic() - began < 3
    release.set()
