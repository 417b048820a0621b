"""The elements of Block Kit and their documented limits: https://docs.slack.dev/reference/block-kit/block-elements"""

from __future__ import annotations

from typing import Any

from agent.doors.slack.loopback.shapes import (
    Check,
    Found,
    anything,
    flag,
    items,
    number,
    record,
    string,
    text,
    typed,
    word,
)

PLAIN = ("plain_text",)
CONFIRM = record(
    {
        "title": text(100, *PLAIN),
        "text": text(300),
        "confirm": text(30, *PLAIN),
        "deny": text(30, *PLAIN),
    },
    {"style": word("primary", "danger")},
)
OPTION = record(
    {"text": text(75), "value": string(150)}, {"description": text(75), "url": string(3000, pattern=r"https?://\S+")}
)
OPTION_GROUP = record({"label": text(75, *PLAIN), "options": items(OPTION, 100)})
DISPATCH = record({"trigger_actions_on": items(word("on_enter_pressed", "on_character_entered"), 2)})
PLACEHOLDER = text(150, *PLAIN)
URL = string(3000, pattern=r"https?://\S+")
DATE = string(10, pattern=r"\d{4}-\d\d-\d\d")
TIME = string(5, pattern=r"\d\d:\d\d")
FEEDBACK = record({"text": text(75, *PLAIN), "value": string(2000)}, {"accessibility_label": string(75)})


def action_id(value: Any, place: str, found: Found) -> None:
    string(255)(value, place, found)
    if value in found.action_ids:
        found.wrong(place, f"action_id {value!r} stands there twice")
    found.action_ids.add(str(value))


def element(required: dict[str, Check] | None = None, /, **optional: Check) -> Check:
    return record({"type": anything, **(required or {})}, {"action_id": action_id, **optional})


def chosen(check: Check, most: int) -> dict[str, Check]:
    return {"initial_options": items(check, most), "max_selected_items": number(1, 100)}


def select(**optional: Check) -> Check:
    return element(None, placeholder=PLACEHOLDER, confirm=CONFIRM, focus_on_load=flag, **optional)


def one_list(check: Check) -> Check:
    """Options or groups of options, not both."""

    def checked(value: Any, place: str, found: Found) -> None:
        check(value, place, found)
        if isinstance(value, dict) and ("options" in value) == ("option_groups" in value):
            found.wrong(place, "needs options or option_groups, and not both")

    return checked


OPTIONS: dict[str, Check] = {"options": items(OPTION, 100), "option_groups": items(OPTION_GROUP, 100)}
IMAGE = record(
    {"type": anything, "alt_text": string(2000, 0)},
    {"image_url": URL, "slack_file": record({}, {"id": string(40), "url": URL})},
)
BUTTON = element(
    {"text": text(75, *PLAIN)},
    url=URL,
    value=string(2000),
    style=word("primary", "danger"),
    confirm=CONFIRM,
    accessibility_label=string(75),
)
OVERFLOW = element({"options": items(OPTION, 5)}, confirm=CONFIRM)
CHOICES: dict[str, Check] = {"options": items(OPTION, 10)}

CLICKED: dict[str, Check] = {
    "button": BUTTON,
    "overflow": OVERFLOW,
    "checkboxes": element(CHOICES, initial_options=items(OPTION, 10), confirm=CONFIRM, focus_on_load=flag),
    "radio_buttons": element(CHOICES, initial_option=OPTION, confirm=CONFIRM, focus_on_load=flag),
    "datepicker": select(initial_date=DATE),
    "timepicker": select(initial_time=TIME, timezone=string(60)),
    "datetimepicker": element(
        initial_date_time=number(1_000_000_000, 9_999_999_999), confirm=CONFIRM, focus_on_load=flag
    ),
    "static_select": one_list(select(initial_option=OPTION, **OPTIONS)),
    "multi_static_select": one_list(select(**OPTIONS, **chosen(OPTION, 100))),
    "users_select": select(initial_user=string(40)),
    "multi_users_select": select(initial_users=items(string(40), 100), max_selected_items=number(1, 100)),
    "conversations_select": select(
        initial_conversation=string(40),
        default_to_current_conversation=flag,
        response_url_enabled=flag,
        filter=anything,
    ),
    "channels_select": select(initial_channel=string(40), response_url_enabled=flag),
}
INPUTS: dict[str, Check] = {
    "plain_text_input": element(
        initial_value=string(3000, 0),
        multiline=flag,
        min_length=number(0, 3000),
        max_length=number(1, 3000),
        dispatch_action_config=DISPATCH,
        focus_on_load=flag,
        placeholder=PLACEHOLDER,
    ),
    "number_input": element(
        {"is_decimal_allowed": flag},
        initial_value=string(40),
        min_value=string(40),
        max_value=string(40),
        dispatch_action_config=DISPATCH,
        focus_on_load=flag,
        placeholder=PLACEHOLDER,
    ),
    "email_text_input": element(
        initial_value=string(3000), dispatch_action_config=DISPATCH, focus_on_load=flag, placeholder=PLACEHOLDER
    ),
    "url_text_input": element(
        initial_value=string(3000), dispatch_action_config=DISPATCH, focus_on_load=flag, placeholder=PLACEHOLDER
    ),
    **{kind: check for kind, check in CLICKED.items() if kind not in ("button", "overflow")},
}
CONTEXT_ACTIONS: dict[str, Check] = {
    "feedback_buttons": element({"positive_button": FEEDBACK, "negative_button": FEEDBACK}),
    "icon_button": element(
        {"icon": word("trash"), "text": text(75, *PLAIN)},
        value=string(2000),
        confirm=CONFIRM,
        accessibility_label=string(75),
        visible_to_user_ids=items(string(40), 100),
    ),
}
ACTION = typed(CLICKED, "element in actions")
ACCESSORY = typed({**CLICKED, "image": IMAGE}, "accessory")
INPUT = typed(INPUTS, "element in input")
CONTEXT_ACTION = typed(CONTEXT_ACTIONS, "element in context_actions")
CONTEXT = typed(
    {"image": IMAGE, "plain_text": text(2000, *PLAIN), "mrkdwn": text(2000, "mrkdwn")}, "element in context"
)
