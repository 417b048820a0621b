"""A thousand hostile names, as models, features, alerts and people: nothing runs, nothing is asked of another host."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import cycle, islice
from typing import Any

import pytest

from agent.conversation import turns
from agent.store.tables import Alert, Incident, Message, Person
from ml.errors import SpecError
from ml.spec import parse_spec
from tests.agent.reports.story import Story, day
from tests.browser.conftest import Served, Tab
from tools.context import Caller

RUNS = "window.hit=(window.hit||0)+1"
SHAPES = (
    "<script>{run}</script>",
    "<img src=x onerror={run}>",
    "<svg onload={run}>",
    "<svg><script>{run}</script></svg>",
    '"><script>{run}</script>',
    "'><img src=x onerror={run}>",
    '" onmouseover="{run}" x="',
    "' autofocus onfocus='{run}",
    "</script><script>{run}</script>",
    "</title><script>{run}</script>",
    "</textarea><script>{run}</script>",
    "</style><img src=x onerror={run}>",
    "<iframe srcdoc='<script>parent.{run}</script>'>",
    "<base href=//evil.example/>",
    "<link rel=stylesheet href=//evil.example/a.css>",
    "<img src=//evil.example/{n}.png>",
    "<a href=javascript:{run}>x</a>",
    "[x](javascript:{run})",
    "![x](https://evil.example/{n}.png)",
    "<math><mi xlink:href=javascript:{run}>x",
    "{{{{ {n} * 7 }}}}",
    "{{% include '/etc/passwd' %}}",
    "${{{run}}}",
    "<%= {run} %>",
    "#{{{run}}}",
    "\\u003cscript>{run}",
    "&lt;script&gt;{run}&lt;/script&gt;",
    "&#60;img src=x onerror={run}&#62;",
    "\u202e{run}\u202c",
    "\u2066APPROVED\u2069",
    "\u200b\u200d{n}",
    "\x00<script>{run}</script>",
    "<!--><script>{run}</script>",
    "<![CDATA[<script>{run}</script>]]>",
    "<form action=//evil.example/><button>ok",
    "<meta http-equiv=refresh content='0;url=//evil.example/'>",
    "<div hx-get=//evil.example/ hx-trigger=load>",
    "<div hx-on:load='{run}' data-hx-on:load='{run}'>",
    "<div data-part id=queue data-src=//evil.example/>",
    "<template><script>{run}</script></template>",
)
COUNT = 1000


def payloads() -> list[str]:
    """Each different from all others; a quarter is long."""
    made = [shape.format(run=RUNS, n=n) for n, shape in enumerate(islice(cycle(SHAPES), COUNT))]
    return [f"{text} #{n}" + (" x" * 60 if n % 4 == 0 else "") for n, text in enumerate(made)]


@pytest.fixture(scope="module")
def hostile(served: Served) -> list[str]:
    """Every payload stands in the records somewhere: most as alerts, the others as names and words."""
    texts = [text.replace("\0", "") for text in payloads()]
    with served.place.services.store.write() as session:
        for number, part in enumerate((texts[:300], texts[300:600], texts[600:900])):
            _alerts(session, f"hostile-{number}", part)
        for text in texts[900:960]:
            session.add(Person(name=text, folded=text.casefold(), role="viewer", created_at=day(0), created_by="x"))
        ann = Caller("ann", "person", None)
        talk = turns.opened(session, "web:hostile", ann, day(40))
        talk.title = texts[960]
        for position, text in enumerate(texts[960:1000]):
            role = "person" if position % 2 else "watchkeeper"
            call = {"tool": text, "arguments": {"model": text}, "result": {"status": text, "data": {text: text}}}
            session.add(
                Message(
                    conversation_id=talk.id, position=position + 1, role=role, person="ann", text=f"{text}\n- {text}",
                    at=day(40), label=text, models=[], document={"calls": [call], "sources": [text]},
                )
            )  # fmt: skip
        found = [f"/chat/{talk.id}", *(f"/incidents/{row.id}" for row in session.query(Incident))]
    return [*found, "/", "/incidents", "/approvals", "/alerts", "/activity", "/reports", "/settings", "/chat"]


def _alerts(session: Any, model: str, texts: list[str]) -> None:
    """An incident whose alerts, evidence, causes, proposal and report carry the payloads."""
    story = Story(session, name=model, title=texts[0], features=(texts[1],)).watched().opened()
    document = story.diagnosed().document
    document["evidence"] = [{**one, "statement": text} for one, text in zip(document["evidence"], texts, strict=False)]
    proposal = story.proposed(number=38)
    proposal.why, proposal.requested_by = texts[2], texts[3]
    for number, text in enumerate(texts):
        session.add(
            Alert(
                model=model, incident_id=story.incident.id, fingerprint=f"h{number}", severity="warning", monitor=text,
                feature=text, detail=text, first_seen=day(36), last_seen=day(36),
            )
        )  # fmt: skip


def test_nothing_runs_and_nobody_else_is_asked(served: Served, hostile: list[str], tab: Callable[..., Tab]) -> None:
    window = tab("ann")
    window.context.add_init_script("window.alert = window.confirm = window.prompt = () => { window.hit = 1 }")
    shown = 0
    for path in hostile:
        page = window.go(path)
        page.mouse.move(300, 300)
        shown += page.content().count("#")
        assert page.evaluate("window.hit || 0") == 0, path
        assert (
            page.evaluate("document.querySelectorAll('main img, main script:not([type]), base, main object').length")
            == 0
        )
        assert page.evaluate("[...document.links].filter(a => a.origin !== location.origin).length") == 0, path
        assert window.overflow() == 0, path
    assert shown > COUNT, "the payloads were on these pages"
    assert window.foreign == []
    assert window.errors == []


def test_a_model_of_such_a_name_is_refused() -> None:
    """Names of models are letters, digits and hyphens: what asks for another is no spec."""
    for text in payloads()[:80]:
        with pytest.raises(SpecError):
            parse_spec(f"name: {json.dumps(text)}\ntask: binary\nfeatures:\n  a: {{type: numeric}}\n")
