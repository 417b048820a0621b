"""Who is told: by notifications.yaml, by what people want, at their hours; storms, digests; who wants no more."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import pytest
from sqlalchemy import select

from agent.domain.errors import InvalidInput, NotAllowed
from agent.domain.notifying import parse_notifications
from agent.pipeline import people, redeliver
from agent.pipeline.digest import release_due
from agent.pipeline.notify import deliver_due, serve
from agent.pipeline.preferences import Wishes, set_wishes, wishes_of
from agent.pipeline.route import route_due
from agent.pipeline.routes_file import routes_of
from agent.pipeline.unsubscribe import link_of, read_token, token_of, unsubscribe
from agent.store.changes import promise
from agent.store.tables import Delivery
from notifications.message import DeliveryFailed, Receipt, Refused


@pytest.fixture
def database_url(tmp_path):
    return f"sqlite:///{tmp_path / 'watchkeeper.db'}"


class Heard:
    """A channel that keeps what it is told; `trouble` by address is raised instead."""

    pace = 0.0

    def __init__(self):
        self.told, self.trouble = defaultdict(list), {}

    def deliver(self, message):
        if message.recipient in self.trouble:
            raise self.trouble[message.recipient]
        self.told[message.recipient].append(message)
        return Receipt()

    def titles(self, address):
        return [message.title for message in self.told[address]]


@pytest.fixture
def heard():
    return Heard()


@pytest.fixture
def office(bench, heard):
    """A function that sets `notifications.yaml`; gives the services."""

    def with_routes(text="{}"):
        channels = {"slack": heard, "mail": heard, "webhook": heard, "apprise": heard, "push": heard}
        return replace(
            bench.services,
            channels=channels,
            notifications=lambda: parse_notifications(text),
            public_url="https://w.example",
        )

    return with_routes


def tell(bench, count=1, *, kind="incident", start=0, **more):
    with bench.services.store.write() as session:
        for number in range(start, start + count):
            promise(
                session,
                **{
                    "key": f"{kind}:{number}", "recipient": "#churn", "title": f"{kind} {number}", "body": "b",
                    "subject": f"{kind}-{number}", "at": bench.clock(), "severity": "warning", "model": "churn", **more,
                },
            )  # fmt: skip


def want(bench, person, **wishes):
    with bench.services.store.write() as session:
        set_wishes(bench.services, session, person, Wishes(**wishes))


def test_without_a_file_the_owner_hears_in_slack_and_the_journal_hears_everything(bench, office, heard):
    tell(bench)
    tell(bench, recipient="team", model="unknown", start=1)
    assert deliver_due(office()) == 2 + 1
    assert heard.titles("#churn") == ["incident 0"]
    assert deliver_due(office("slack: {channel: '#all'}")) == 0
    tell(bench, recipient="team", model="unknown", start=2)
    deliver_due(office("slack: {channel: '#all'}"))
    assert heard.titles("#all") == ["incident 2"]


def test_routes_choose_by_kind_model_and_severity_and_an_address_is_told_once(bench, office, heard):
    routes = """
routes:
  - {to: mail, address: a@example.com, kinds: [incident]}
  - {to: mail, address: a@example.com}
  - {to: mail, address: b@example.com, models: ["fraud*"]}
  - {to: mail, address: c@example.com, severity: critical}
"""
    tell(bench)
    tell(bench, kind="report", severity="critical")
    deliver_due(office(routes))
    assert {name: len(told) for name, told in heard.told.items()} == {"a@example.com": 2, "c@example.com": 1}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("routes: [{to: fax}]", "notifications.yaml:1: routes.0.to"),
        ("routes: [{to: mail, address: ann}]", "no mail address"),
        ("routes: [{to: webhook, address: ops}]", "webhooks has no 'ops'"),
        ("routes: [{to: slack, adress: '#a'}]", "did you mean 'address'"),
        ("storm: {more_than: 0}", "storm.more_than"),
        ("slack: {channel: general}", "no Slack channel"),
        ("webhooks: {ops: {url: 'http://example.com'}}", "only https"),
        ("routes: [", "not valid YAML"),
    ],
)
def test_a_mistake_in_the_file_is_named_with_its_line(text, said):
    with pytest.raises(InvalidInput, match=said):
        parse_notifications(text)


def test_a_mistake_made_later_leaves_the_routes_that_held(tmp_path, caplog):
    file = tmp_path / "notifications.yaml"
    file.write_text("slack: {channel: '#all'}")
    routes = routes_of(tmp_path)
    file.write_text("slack: {chanel: '#other'}  # a slip")
    assert routes().slack.channel == "#all"
    assert "did you mean 'channel'" in caplog.text
    file.write_text("slack: {channel: '#other'}")
    assert routes().slack.channel == "#other"


def serve_slack(services):
    """What `deliver_due` does, but for the journal, which takes every event of the storm."""
    route_due(services)
    release_due(services)
    serve(services, "slack", "#ops")


def test_five_hundred_alerts_in_minutes_are_at_most_ten_messages_that_say_how_many_and_which(bench, office, heard):
    services = office("routes: [{to: slack, address: '#ops'}]")
    for number in range(0, 500, 25):
        tell(bench, 25, start=number)
        serve_slack(services)
        bench.clock.advance("15s")
    for _ in range(12):
        bench.clock.advance("1m")
        serve_slack(services)
    told = heard.told["#ops"]
    digests = [message for message in told if "messages:" in message.title]
    assert 6 <= len(told) <= 10
    assert sum(int(message.title.split()[0]) for message in digests) == 500 - (len(told) - len(digests))
    with services.store.read() as session:
        here = select(Delivery).where(Delivery.channel == "slack")
        states = [row.state for row in session.scalars(here)]
    assert set(states) == {"delivered", "collapsed"}


def test_what_belongs_to_an_incident_that_was_told_goes_on_in_a_storm(bench, office, heard):
    services = office("routes: [{to: slack, address: '#ops'}]\nstorm: {more_than: 2}")
    tell(bench, 4)
    tell(bench, kind="verified", subject="incident-0")
    tell(bench, kind="verified", subject="incident-3", start=1)
    deliver_due(services)
    assert heard.titles("#ops") == ["incident 0", "incident 1", "verified 0"]


def test_quiet_hours_in_their_own_zone_hold_back_all_but_what_is_critical(bench, office, heard):
    services = office("routes: []")
    want(
        bench, "ann", channels={"mail": "ann@example.com"}, quiet="20:00-23:30", time_zone="Asia/Tokyo", severity="info"
    )
    tell(bench)  # noon UTC is nine in the evening there
    tell(bench, start=1)
    tell(bench, kind="worse", severity="critical")
    deliver_due(services)
    assert heard.titles("ann@example.com") == ["worse 0"]
    bench.clock.advance("149m")
    deliver_due(services)
    assert len(heard.told["ann@example.com"]) == 1
    bench.clock.advance("2m")
    deliver_due(services)
    assert heard.titles("ann@example.com")[1:] == ["2 messages: 2 × incident on churn"]


def test_a_digest_collects_but_no_decision_waits_for_it(bench, office, heard):
    services = office("routes: []")
    want(bench, "ann", channels={"slack": "U0123ABCD"}, digest="1h", models=("churn",))
    tell(bench, 3)
    tell(bench, kind="proposal")
    tell(bench, kind="report", model="fraud")
    tell(bench, kind="note", severity="info")
    deliver_due(services)
    assert heard.titles("U0123ABCD") == ["proposal 0"]
    bench.clock.advance("61m")
    deliver_due(services)
    assert heard.titles("U0123ABCD")[1:] == ["3 messages: 3 × incident on churn"]


def test_wishes_are_checked_and_kept(bench):
    want(
        bench, "ann", channels={"mail": "ann@example.com"}, quiet="22:00-07:00", digest="1d", time_zone="Europe/Berlin"
    )
    with bench.services.store.read() as session:
        kept = wishes_of(session, "ann")
    assert (kept.quiet, kept.digest, kept.channels) == ("22:00-07:00", "1d", {"mail": "ann@example.com"})
    for wrong in (
        {"channels": {"fax": "1"}}, {"channels": {"mail": "ann"}}, {"severity": "grave"}, {"quiet": "10-7"},
        {"time_zone": "Mars"}, {"digest": "1s"}, {"digest": "often"}, {"quiet": "25:00-07:00"},
    ):  # fmt: skip
        with pytest.raises(InvalidInput):
            want(bench, "ann", **wrong)


def test_who_unsubscribes_is_left_alone_until_they_ask_again(bench, office, heard):
    services = office("routes: [{to: mail, address: a@example.com}]")
    token = link_of(services, "mail", "a@example.com").partition("token=")[2]
    assert read_token(services.secret, token) == ("mail", "a@example.com")
    for forged in ("", "x", token[:-2], token[::-1], token_of(b"another", "mail", "a@example.com"), "\ud800", "é"):
        with pytest.raises(NotAllowed):
            read_token(services.secret, forged)
    with services.store.write() as session:
        assert unsubscribe(services, session, "mail", "a@example.com")
        assert not unsubscribe(services, session, "mail", "a@example.com")
    tell(bench)
    assert deliver_due(services) == 1
    assert heard.told == {}
    want(bench, "ann", channels={"mail": "a@example.com"})
    tell(bench, start=1)
    deliver_due(services)
    assert heard.titles("a@example.com") == ["incident 1"]


def test_a_broken_address_rests_longer_each_time_and_holds_up_no_other(bench, office, heard):
    services = office("routes: [{to: mail, address: a@example.com}, {to: mail, address: b@example.com}]")
    heard.trouble["a@example.com"] = DeliveryFailed("down")
    tell(bench, 3)
    deliver_due(services)
    assert (len(heard.told["a@example.com"]), len(heard.told["b@example.com"])) == (0, 3)
    tries = 0
    for _ in range(30):
        bench.clock.advance("5s")
        before = attempts(services)
        deliver_due(services)
        tries += attempts(services) > before
    assert tries == 4  # after 5, 10, 20 and 40 s; the next comes 80 s later
    del heard.trouble["a@example.com"]
    bench.clock.advance("15m")
    deliver_due(services)
    assert heard.titles("a@example.com") == ["incident 0", "incident 1", "incident 2"]


def attempts(services):
    with services.store.read() as session:
        return sum(row.attempts for row in session.scalars(select(Delivery).where(Delivery.address == "a@example.com")))


def test_what_is_refused_stops_nothing_and_is_sent_again_on_request(bench, office, heard):
    services = office("routes: [{to: mail, address: a@example.com}]")
    heard.trouble["a@example.com"] = Refused("no such person")
    tell(bench, 2)
    deliver_due(services)
    with services.store.read() as session:
        assert redeliver.counts(session) == {"delivered": 2, "failed": 2}
        first = redeliver.deliveries(session, state="failed")[-1][0]
    del heard.trouble["a@example.com"]
    redeliver.retry(services, first.id, actor="ann")
    assert deliver_due(services) == 1
    assert redeliver.retry_failed(services, actor="ann") == 1
    assert deliver_due(services) == 1
    assert len(heard.told["a@example.com"]) == 2
    assert bench.events(first.id) == ["delivery retried"]


def test_a_channel_that_waits_to_be_asked_again_counts_no_failure(bench, office, heard):
    services = office("routes: [{to: mail, address: a@example.com}]")
    heard.trouble["a@example.com"] = DeliveryFailed("slow down", 30.0)
    tell(bench)
    deliver_due(services)
    bench.clock.advance("29s")
    del heard.trouble["a@example.com"]
    assert deliver_due(services) == 0
    bench.clock.advance("2s")
    assert deliver_due(services) == 1


def test_who_is_deactivated_is_told_nothing_and_who_sees_some_models_hears_of_those(bench, office, heard):
    services = office("routes: []")
    with services.store.write() as session:
        for name, models in (("ann", ("churn",)), ("ben", ("other-*",)), ("cat", ())):
            people.add(session, services, name, role="viewer", models=models, by="test")
        people.deactivate(session, services, people.by_name(session, "cat"), by="test")
    for name in ("ann", "ben", "cat", "dan"):
        want(bench, name, channels={"mail": f"{name}@example.com"})
    tell(bench)
    deliver_due(services)
    assert sorted(heard.told) == ["ann@example.com", "dan@example.com"]
    assert bench.events("ann")[-1] == "wishes changed"
