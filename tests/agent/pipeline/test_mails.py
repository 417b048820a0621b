"""What people read in their mail: of a proposal, an incident with its pictures, a report with its PDF, a digest."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

import pytest
from sqlalchemy import select

from agent.pipeline.event import DIGEST, event_of
from agent.pipeline.mail.compose import compose
from agent.pipeline.report import write_report
from agent.store import queries
from agent.store.tables import Delivery, Outbox
from notifications.mime import as_mail
from tests.agent.reports.story import Story, day


@pytest.fixture
def database_url(tmp_path):
    return f"sqlite:///{tmp_path / 'watchkeeper.db'}"


class Page(HTMLParser):
    """The words of an HTML part, its links and its pictures."""

    def __init__(self, text):
        super().__init__()
        self.words, self.links, self.pictures, self.tags = [], [], {}, set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        values = dict(attrs)
        if tag == "a":
            self.links.append(values["href"])
        if tag == "img":
            self.pictures[values["src"]] = values["alt"]

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def mail_of(bench, row, **more):
    """The mail of an event to ann: as a mail program reads it."""
    services = replace(bench.services, public_url="https://w.example")
    event = replace(event_of(row, Delivery(channel="mail", address="ann@example.com", person="")), **more)
    with services.store.read() as session:
        (post,) = compose(services, session, event)
    mail = as_mail(post.message, "watch@example.com", bench.clock())
    plain, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert plain is not None
    assert html is not None
    return mail, plain.get_content(), Page(html.get_content())


def promised(bench, kind):
    with bench.services.store.read() as session:
        return session.scalars(select(Outbox).where(Outbox.kind == kind)).one()


def test_a_proposal_says_what_will_be_done_at_what_risk_and_who_decides_until_when(bench):
    bench.propose(bench.rollback(), incident=True)
    row = promised(bench, "proposal")
    _, plain, page = mail_of(bench, row, topic="")
    for said in ("Roll back to version 1", "Risk", "To undo it", "1 of ann and ben, until"):
        assert said in page.text
        assert said in plain
    assert f"https://w.example/approvals/{row.subject}" in page.links
    assert "Decide: watchkeeper approve" in plain
    assert "watchkeeper approve" not in page.text, "there is a button for it"


def test_an_incident_has_its_picture_inside_with_its_words_and_a_report_its_pdf(bench):
    with bench.services.store.write() as session:
        story = Story(session, name="bikes").whole()
        wanted = story.incident.id
        write_report(bench.services, session, queries.spec_of(session, "bikes"), story.incident, day(43))
        opened = Outbox(
            key="incident:1", recipient="#a", title="bikes: <b>critical</b>", body="it fell", subject=wanted,
            created_at=day(31), kind="incident", model="bikes", severity="critical", topic=wanted, document={},
            files=[],
        )  # fmt: skip
        session.add(opened)
    bench.clock.time = day(50)
    mail, _, page = mail_of(bench, promised(bench, "incident"))
    parts = {part.get_filename(): part for part in mail.walk() if part.get_filename()}
    assert {f"cid:{name}" for name in parts} == set(page.pictures) == {"cid:metric.png"}
    assert all(len(words) > 20 for words in page.pictures.values())
    assert all(part.get_content().startswith(b"\x89PNG") for part in parts.values())
    assert "<b>critical</b>" in page.text, "it is text, not markup"
    assert mail["References"] is not None
    mail, plain, page = mail_of(bench, promised(bench, "report"))
    (pdf,) = mail.iter_attachments()
    assert (pdf.get_content_type(), pdf.get_content()[:5]) == ("application/pdf", b"%PDF-")
    assert pdf.get_filename() in page.text
    assert "Watchkeeper opened an incident on bikes" in plain


def test_a_digest_names_each_with_its_page_and_nothing_in_it_is_markup(bench):
    events = [
        {"title": f"<script>{n}</script>", "severity": severity, "subject": subject}
        for n, (severity, subject) in enumerate([("critical", "i-1"), ("info", "t-2"), ("odd", "p-3"), ("", "")])
    ] * 20
    row = Outbox(
        key="digest:1", recipient="a", title="80 messages", body="• many", subject="", created_at=bench.clock(),
        kind=DIGEST, model="", severity="critical", topic="", document={"count": 80, "events": events}, files=[],
    )  # fmt: skip
    _, _, page = mail_of(bench, row)
    assert "script" not in page.tags
    pages = ("incidents/i-1", "reports/t-2", "approvals/p-3")
    assert {f"https://w.example/{path}" for path in pages} <= set(page.links)
