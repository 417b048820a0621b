"""A model card: one version, what it is, what it was made of, how it did when tested and since, who decided what."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from agent.domain.wording import moment, names, shown, visible, words
from agent.reports import phrases
from agent.reports.compose_period import footer
from agent.reports.document import (
    Block,
    Bullets,
    Document,
    Heading,
    Line,
    PageBreak,
    Pairs,
    Paragraph,
    Strong,
    Table,
    Tile,
    Tiles,
)
from agent.reports.language import say
from agent.reports.shape_card import CardFacts
from agent.reports.timeline import noun

PARAMETERS = {
    "rows": "Rows it learned from", "from": "Rows from", "to": "Rows to", "seed": "Seed",
    "holdout.rows": "Rows it was tested on", "holdout.from": "Tested from", "holdout.to": "Tested to",
}  # fmt: skip


def compose(facts: CardFacts) -> Document:
    name = visible(facts.model.name, 80)
    owner = f" · {visible(facts.model.owner, 80)}" if facts.model.owner else ""
    return Document(
        title=say("{model}, version {version}", model=name, version=visible(facts.version, 40)),
        over=say("Model card · {at}", at=moment(facts.at)) + owner,
        badges=(phrases.badge(facts.state),),
        blocks=[*_first_page(facts), PageBreak(), *_since(facts), *_decisions(facts)],
        footer=footer(facts.summary_by),
    )


def _first_page(facts: CardFacts) -> Iterator[Block]:
    yield Paragraph((facts.summary,), "lead")
    tiles = [Tile(say("{metric} when tested", metric=b.name), phrases.ranged(b.value, b.low, b.high), b.note)
             for b in facts.metrics if b.name == facts.model.metric]  # fmt: skip
    if facts.live is not None:
        note = say("{n} labelled rows, {at}", n=facts.live.n, at=moment(facts.live.at))
        tiles.append(Tile(say("{metric} now", metric=facts.model.metric), phrases.point(facts.live), note))
    if facts.threshold is not None:
        tiles.append(
            Tile(say("threshold"), shown(facts.threshold), say("{better} is better", better=say(facts.better)))
        )
    if tiles:
        yield Tiles(tiles)
    yield Heading(say("What it is"))
    yield Pairs(list(_origin(facts)))
    yield Heading(say("How it did when it was tested"))
    if facts.metrics:
        if facts.held_out:
            yield Paragraph((facts.held_out,), "muted")
        rows: list[Sequence[Line]] = [[(b.name,), (phrases.ranged(b.value, b.low, b.high),)] for b in facts.metrics]
        yield Table([say("metric"), say("held-out rows (95 % interval)")], rows, right=(1,))
    else:
        yield Paragraph((say("The registry has no figures of this version."),), "muted")


def _origin(facts: CardFacts) -> Iterator[tuple[str, Line]]:
    if facts.model.description:
        yield say("Purpose"), (visible(facts.model.description, 600),)
    yield say("Task"), (words(facts.model.task),)
    yield say("Made"), (moment(facts.made_at) + (say(" by {trainer}", trainer=visible(facts.trainer, 80))),)
    about = {
        say("Data version"): facts.data_version, say("Code version"): facts.code_version,
        say("Made to replace version"): facts.parent_version, say("Ordered by proposal"): facts.proposal_id,
    }  # fmt: skip
    for name, value in about.items():
        if value:
            yield name, (visible(value, 120),)
    for name, value in facts.parameters.items():
        if name != "trainer":  # stands beside when it was made
            yield say(PARAMETERS.get(name, "{name}"), name=visible(name, 60)), (phrases.plain(value),)
    used = [c.name for c in facts.columns if c.used]
    more = say(" and {n} more", n=facts.columns_left_out) if facts.columns_left_out else ""
    yield say("Features"), (", ".join(visible(name, 60) for name in used) + more,)
    if seen := [c.name for c in facts.columns if not c.used]:
        yield say("Watched, not fed"), (", ".join(visible(name, 60) for name in seen),)
    if facts.segments:
        yield say("Slices"), (names(facts.segments),)
    yield say("Labels"), (say("known {delay} after the prediction", delay=facts.label_delay),)
    yield say("A look covers"), (facts.window,)


def _since(facts: CardFacts) -> Iterator[Block]:
    yield Heading(say("How it has done since"))
    if facts.chart is not None:
        yield phrases.chart_figure(facts.chart)
    else:
        yield Paragraph((say("No look had enough labelled rows yet."),), "muted")
    if facts.versions is not None:
        yield phrases.bars_figure(facts.versions)
    for data, title in ((facts.slices, say("By slice")), (facts.drift, say("Drift of the inputs"))):
        if data is not None:
            yield Heading(title, 3)
            yield phrases.map_figure(data)
    if facts.importance is not None:
        yield Heading(say("What moves its answers"), 3)
        yield phrases.importance_figure(facts.importance)


def _decisions(facts: CardFacts) -> Iterator[Block]:
    yield Heading(say("Deployments and decisions"))
    if facts.deployments:
        yield Bullets([
            (say("{at}: version {version} went live ({kind})", at=moment(d.at), version=visible(d.version, 40),
                 kind=noun(d.kind)),)
            for d in facts.deployments
        ])  # fmt: skip
    if facts.decisions:
        rows: list[Sequence[Line]] = [
            [
                (moment(d.at),), (Strong(d.id), f" {visible(d.what, 300)}"), (phrases.badge(d.state),),
                (names(d.people) + (f": {visible(d.reason, 300)}" if d.reason else ""),),
            ]
            for d in facts.decisions
        ]  # fmt: skip
        yield Table([say("when"), say("proposal"), say("state"), say("people")], rows, wide=(1, 3))
    else:
        yield Paragraph((say("No proposal about this model yet."),), "muted")
    if facts.outcomes:
        yield phrases.outcome_table(facts.outcomes)
