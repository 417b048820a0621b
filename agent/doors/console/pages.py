"""The pages: the loop at a glance, an incident, a report; and the forms by which a person decides."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from agent.domain import wording
from agent.domain.errors import InvalidInput
from agent.doors.api.inputs import RecordId, ServicesDep
from agent.doors.api.problems import Problem
from agent.doors.api.reports import find_report
from agent.doors.console import charts, words
from agent.doors.console.incident import read_incident
from agent.doors.console.loop import read_bar, read_loop
from agent.doors.guard import CONTENT_POLICY
from agent.pipeline import approve as decisions
from agent.pipeline.freeze import freeze, unfreeze
from agent.store import queries
from agent.store.tables import Proposal
from tools.clean import clean_text

HERE = Path(__file__).parent
MOST_FIELDS = 20
router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


def mount(app: FastAPI) -> None:
    """Add the pages and their static files."""
    app.include_router(router)
    app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")


def _environment() -> Environment:
    env = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters.update(
        moment=words.moment,
        number=words.number,
        metric=words.metric_name,
        duration=wording.length,
        words=wording.words,
        names=wording.names,
        percent=wording.percent,
        visible=wording.visible,
        sentence=_sentence,
        heading=_heading,
    )
    env.globals.update(bars=charts.bars, gain=charts.gain)
    return env


def _heading(text: object) -> str:
    """Free text as a heading: a capital at the start, nothing hidden."""
    said = wording.visible(text, 160).strip()
    return said[:1].upper() + said[1:]


def _sentence(text: object) -> str:
    """Free text as a sentence: a capital at the start, a full stop at the end, nothing hidden."""
    said = wording.visible(text).strip()
    return said[:1].upper() + said[1:] + ("" if not said or said.endswith((".", "!", "?", ")")) else ".")


TEMPLATES = _environment()


def _page(name: str, status: int = 200, **facts: Any) -> HTMLResponse:
    return HTMLResponse(TEMPLATES.get_template(name).render(**facts), status)


def error_page(request: Request, problem: Problem) -> Response:
    """An error for a person: what it is, and the way back."""
    return _page("error.html", problem.status, problem=problem, wrote=request.method == "POST")


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a form, cleaned. Raises: InvalidInput for what is no form."""
    body = (await request.body()).decode("utf-8", "replace")
    try:
        fields = parse_qsl(body, keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError:
        raise InvalidInput(f"A form has at most {MOST_FIELDS} fields here; use the one on the page.") from None
    return {name: clean_text(value)[:2000].strip() for name, value in fields}


Form = Annotated[dict[str, str], Depends(read_form)]


@router.get("/")
def show_loop(services: ServicesDep) -> Response:
    with services.store.read() as session:
        return _page("loop.html", view=read_loop(services, session))


@router.get("/incidents/{id}")
def show_incident(services: ServicesDep, id: RecordId) -> Response:
    with services.store.read() as session:
        return _page("incident.html", bar_facts=read_bar(services, session), page=read_incident(services, session, id))


@router.get("/reports/{id}")
def show_report(services: ServicesDep, id: RecordId) -> Response:
    with services.store.read() as session:
        page = _page("report.html", bar_facts=read_bar(services, session), report=find_report(session, id))
    page.headers["content-security-policy"] = f"{CONTENT_POLICY}; frame-src 'self'"
    return page


@router.post("/proposals/{id}/approve")
def approve_here(services: ServicesDep, id: RecordId, form: Form) -> Response:
    decisions.approve(services, id, person=_person(form), reason=form.get("reason", ""), digest=form.get("digest", ""))
    return _back_to(services, id)


@router.post("/proposals/{id}/reject")
def reject_here(services: ServicesDep, id: RecordId, form: Form) -> Response:
    decisions.reject(services, id, person=_person(form), reason=form.get("reason", ""), digest=form.get("digest", ""))
    return _back_to(services, id)


@router.post("/freeze")
def freeze_here(services: ServicesDep, form: Form) -> Response:
    with services.store.write() as session:
        freeze(services, session, person=_person(form), reason=form.get("reason", ""))
    return RedirectResponse("/", 303)


@router.post("/unfreeze")
def unfreeze_here(services: ServicesDep, form: Form) -> Response:
    with services.store.write() as session:
        unfreeze(services, session, person=_person(form), reason=form.get("reason", ""))
    return RedirectResponse("/", 303)


def _person(form: dict[str, str]) -> str:
    if not form.get("person"):
        raise InvalidInput("Say who you are: choose a name in the form. The names are those of approvals.yaml.")
    return form["person"]


def _back_to(services: ServicesDep, proposal_id: str) -> Response:
    """To the incident, where the rest of the loop can be watched."""
    with services.store.read() as session:
        incident = queries.by_id(session, Proposal, proposal_id).incident_id
    return RedirectResponse(f"/incidents/{incident}" if incident else "/", 303)
