"""What a form sent, and in whose name."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import Depends, Request

from agent.domain.errors import InvalidInput
from agent.doors.access import Principal, acting
from tools.clean import clean_text

MOST_FIELDS = 20


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a form, cleaned. Raises: InvalidInput for what is no form."""
    body = (await request.body()).decode("utf-8", "replace")
    try:
        fields = parse_qsl(body, keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError:
        raise InvalidInput(f"A form has at most {MOST_FIELDS} fields here; use the one on the page.") from None
    return {name: clean_text(value)[:2000].strip() for name, value in fields}


Form = Annotated[dict[str, str], Depends(read_form)]


def person_of(principal: Principal, form: dict[str, str]) -> str:
    """Who is signed in; where nobody signs in, who the form says. Raises: InvalidInput, NotAllowed."""
    if principal.kind == "local" and not form.get("person"):
        raise InvalidInput("Say who you are: choose a name in the form. The names are those of approvals.yaml.")
    return acting(principal, form.get("person"))
