"""What a form sent, and in whose name."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import Depends, Request

from agent.domain.errors import InvalidInput
from agent.doors.access import Principal, acting
from tools.clean import clean_text

MOST_FIELDS = 20
MOST_FEATURES = 1000


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a form, cleaned. Raises: InvalidInput for what is no form."""
    most = MOST_FEATURES if request.url.path.endswith("/predict") else MOST_FIELDS
    body = (await request.body()).decode("utf-8", "replace")
    try:
        fields = parse_qsl(body, keep_blank_values=True, max_num_fields=most)
    except ValueError:
        raise InvalidInput(f"A form has at most {most} fields here; use the one on the page.") from None
    return {name: clean_text(value)[:2000].strip() for name, value in fields}


Form = Annotated[dict[str, str], Depends(read_form)]


def person_of(principal: Principal, form: dict[str, str]) -> str:
    """Who is signed in; where nobody signs in, who the form says. Raises: InvalidInput, NotAllowed."""
    if principal.kind == "local" and not form.get("person"):
        raise InvalidInput("Say who you are: choose a name in the form. The names are those of approvals.yaml.")
    return acting(principal, form.get("person"))
