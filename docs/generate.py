"""Write the reference pages that are made from code: `python docs/generate.py`, or `--check` to compare only."""

from __future__ import annotations

import enum
import sys
import tempfile
import types
import typing
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from agent.domain.notifying import Notifications  # noqa: E402
from agent.domain.policy import Policy  # noqa: E402
from agent.doors.api.app import create_app  # noqa: E402
from agent.doors.routes import Declared, declared  # noqa: E402
from agent.pipeline.services import Services  # noqa: E402
from agent.store.session import Store  # noqa: E402
from ml.data.prediction_log import PredictionLog  # noqa: E402
from ml.models.registry import Registry  # noqa: E402
from ml.spec import DEFAULT_METRIC, METRICS, RESERVED, ModelSpec, format_duration  # noqa: E402
from notifications.journal import Journal  # noqa: E402
from tools.catalogue import CATALOGUE, Tool  # noqa: E402

INTRODUCTION = """\
<!-- Made by docs/generate.py from ml/spec.py: change that, then run `make docs`. -->
# The model spec

One YAML file says everything about a model under watch. Only `name`, `task` and `features` are required; an unknown
key is refused, and every error names the file, the line and the key. The thresholds stand here and nowhere else:
monitors, reports and answers read them from the spec.

A length of time is a number and a unit: `90m`, `12h`, `2d`, `1w`; `0` is none.
"""


POLICY_INTRODUCTION = """\
<!-- Made by docs/generate.py from agent/domain/policy.py and freezes.py: change those, then run `make docs`. -->
# The policy: approvals.yaml

Who may decide what, when nothing runs, and how much may run. The file stands in the workspace and is read again for
each decision and for each start, so a change counts at once, also for what was approved before it. Nothing is required;
what is not written is refused or has the default below. An unknown or repeated key is refused; every error names the
file, the line and the key. [How to use it](../how-to/approvals.md).

A length of time is a number and a unit: `90m`, `12h`, `2d`, `1w`; `0` is none. Patterns are those of file names:
`bike-*`.
"""


ROUTES_INTRODUCTION = """\
<!-- Made by docs/generate.py from agent/domain/notifying.py: change that, then run `make docs`. -->
# The routes: notifications.yaml

Who is told what, where and when. The file stands in the workspace and is read again when it changes. Nothing is
required; an unknown or repeated key is refused, and every error names the file, the line and the key.
[How to use it](../how-to/notifications.md).

A length of time is a number and a unit: `90m`, `12h`, `2d`, `1w`; `0` is none. Patterns are those of file names:
`bike-*`.
"""


TOOLS_INTRODUCTION = """\
<!-- Made by docs/generate.py from tools/: change that, then run `make docs`. -->
# The tools

What a language model may call, here or in another assistant ([over MCP](../how-to/mcp.md)), and what Python may call as
`tools.catalogue.call(name, arguments, context)`. The list is closed. A tool that reads changes nothing. A tool that
proposes puts one pending proposal in the queue, in the caller's name, at most 3 for a model and 10 in all in an hour; a
person decides on it, elsewhere. No tool decides or carries out.

A time is ISO 8601 (UTC where it has no zone), or a length such as `24h` or `7d`: that long ago, or from now for
`propose_silence`. An argument in *italics* may be left out; one that is not listed is refused.

## A result

| field | value |
|---|---|
| `status` | `ok`; `no_data` (nothing is known: never an all-clear); `error` (what was wrong, and what to do) |
| `data` | plain JSON, see each tool |
| `message` | why there is no data, or what was wrong |
| `window`, `n`, `unit` | the time that it is about, the rows that it rests on, the unit of its numbers |
| `evidence` | ids that a claim may cite: `i-…`, `p-…`, `d-…`, `x-…`, `r-…`, and a fact of a diagnosis as `d-…/E3` |
| `source` | the query that gives the same, as a person can type it |
| `next` | there is more: give it as `cursor` |

A result has at most 20,000 bytes. A longer list is paged; an entry that is too long by itself is shortened, and says by
how much. Who may see some models only gets no other, in lists, by name or by id.
"""


ACCESS_INTRODUCTION = """\
<!-- Made by docs/generate.py from the routes' own declarations: change those, then run `make docs`. -->
# Who may ask for what

Every route declares one rule; an application with a route that declares none does not start.
[Roles, scopes and sign-in](../how-to/sign-in.md). While nobody has to sign in, whoever is at this machine is `admin`.

- *viewer*, *operator*, *approver*, *admin*: the least role; a token needs the scope beside it too, within its owner's
  role. A token that a language model holds (`--agent`) never gets through `decide` or `admin`.
- *public*: everybody. *signed*: the handler checks a signature itself (Slack, alerts from outside, links in mails).
- Who may see some models only gets 404 for a path that names another, and lists without it; the audit is 403.
- Deciding takes the word of `approvals.yaml` beside the role; of high risk, a sign-in of the last ten minutes.
- A sign-in of the last ten minutes is asked of a person also for adding and changing people, links for passwords, and
  tokens with the scope `decide` or `admin`.
- A browser's writes carry the token of its session (`csrf`, or the header `x-csrf-token`).

What each kind of caller really gets, from anonymous to revoked, is a file that the tests compare with the running
application: `tests/agent/doors/signing/access_matrix.txt`.
"""


def access_page() -> str:
    """The whole of docs/reference/access.md."""
    parts = [ACCESS_INTRODUCTION]
    routes = sorted(_declared(), key=lambda one: (one.path, one.method))
    for title, api in (("The API", True), ("Pages, health, other doors", False)):
        rows = [
            f"| `{one.method}` | `{one.path}` | {one.rule.role or one.rule.how} | {one.rule.scope or ''} |"
            for one in routes
            if one.path.startswith("/api/") is api
        ]
        parts += [f"## {title}\n", "| method | path | role | scope |", "|---|---|---|---|", *rows, ""]
    return "\n".join(parts)


def _declared() -> list[Declared]:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        services = Services(
            home=home,
            store=Store("sqlite://"),
            log=PredictionLog(str(home / "log")),
            registry=Registry(f"sqlite:///{home / 'mlflow.db'}"),
            policy=Policy,
            channel=Journal(home / "notifications.jsonl"),
            wall=lambda: datetime.now(UTC),
        )
        found = list(declared(create_app(services)))
        services.store.close()
        return found


def tools_page() -> str:
    """The whole of docs/reference/tools.md."""
    parts = [TOOLS_INTRODUCTION]
    for effect, title in (("read", "Reading"), ("propose", "Proposing")):
        parts += [f"## {title}\n", *(_tool(tool) for tool in CATALOGUE.values() if tool.effect == effect)]
    return "\n".join(parts)


def _tool(tool: Tool) -> str:
    schema = tool.schema()
    rows = [
        f"| {f'`{name}`' if name in schema['required'] else f'*{name}*'} | {_kind(field)} | {_meaning(field)} |"
        for name, field in schema["properties"].items()
    ]
    table = ["| argument | value | meaning |", "|---|---|---|", *rows, ""]
    return "\n".join([f"### `{tool.name}`\n", f"{tool.description}\n", *table])


def _meaning(field: dict[str, typing.Any]) -> str:
    return str(field.get("description", ""))


def _kind(field: dict[str, typing.Any]) -> str:
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if field.get("type") == "array":
        return f"{field.get('minItems', 0)} to {field['maxItems']} texts" if "maxItems" in field else "texts"
    return "text" + (f" (`{field['default']}`)" if field.get("default") else "")


def policy_page() -> str:
    """The whole of docs/reference/approvals.md."""
    parts = [POLICY_INTRODUCTION, "## Keys\n", _table(Policy)]
    for path, model in _sections(Policy, ""):
        parts += [f"## `{path}`\n", *([f"{_summary(model)}\n"] if _summary(model) else []), _table(model)]
    return "\n".join(parts)


def routes_page() -> str:
    """The whole of docs/reference/notifications.md."""
    parts = [ROUTES_INTRODUCTION, "## Keys\n", _table(Notifications)]
    for path, model in _sections(Notifications, ""):
        parts += [f"## `{path}`\n", *([f"{_summary(model)}\n"] if _summary(model) else []), _table(model)]
    return "\n".join(parts)


def spec_page() -> str:
    """The whole of docs/reference/spec.md."""
    parts = [INTRODUCTION, "## Keys\n", _table(ModelSpec)]
    for path, model in _sections(ModelSpec, ""):
        parts += [f"## `{path}`\n", *([f"{_summary(model)}\n"] if _summary(model) else []), _table(model)]
    parts += ["## Metrics\n", "| task | metrics | default |\n|---|---|---|"]
    parts += [f"| `{task}` | {_codes(names)} | `{DEFAULT_METRIC[task]}` |" for task, names in METRICS.items()]
    parts += [f"\n## Columns of the log\n\nThese names belong to the log and cannot be features: {_codes(RESERVED)}.\n"]
    return "\n".join(parts)


def _codes(names: typing.Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _summary(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").strip() if "__doc__" in vars(model) else ""


def _table(model: type[BaseModel]) -> str:
    rows = [
        f"| `{name}` | {_type(field)} | {_default(field)} | {field.description or ''} |"
        for name, field in model.model_fields.items()
    ]
    return "\n".join(["| key | value | default | meaning |", "|---|---|---|---|", *rows, ""])


def _sections(model: type[BaseModel], prefix: str) -> typing.Iterator[tuple[str, type[BaseModel]]]:
    """The nested parts of a spec in reading order; a part that stands under several keys has one section."""
    found: dict[type[BaseModel], list[str]] = {}
    for name, field in model.model_fields.items():
        if inner := _part(field.annotation):
            of_names = typing.get_origin(field.annotation) is dict
            found.setdefault(inner, []).append(f"{prefix}{name}{'.<name>' if of_names else ''}")
    for inner, paths in found.items():
        if inner.model_fields and all(_part(field.annotation) for field in inner.model_fields.values()):
            yield from _sections(inner, f"{paths[0]}.")
        else:
            yield "`, `".join(paths), inner


def _part(annotation: object) -> type[BaseModel] | None:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is dict:
        return _part(arguments[1])
    if origin is tuple:
        return _part(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return next((found for part in arguments if (found := _part(part))), None)
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _type(field: FieldInfo) -> str:
    bounds = {type(rule).__name__: getattr(rule, type(rule).__name__.lower(), "") for rule in field.metadata}
    limits = [f"{sign} {_written(bounds[name])}" for name, sign in _SIGNS.items() if name in bounds]
    return " ".join([_name(field.annotation), *([f"({', '.join(limits)})"] if limits else [])])


def _written(value: object) -> object:
    return format_duration(value) if isinstance(value, timedelta) else value


_SIGNS = {"Gt": ">", "Ge": "≥", "Lt": "<", "Le": "≤"}
_NAMES = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "`true` or `false`",
    timedelta: "length of time",
    datetime: "time, such as `2026-12-23T18:00`",
    time: "time of day, such as `18:00`",
}


def _name(annotation: object) -> str:
    if annotation in _NAMES:
        return _NAMES[annotation]
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _name(arguments[0])
    if origin is typing.Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_name(part) for part in arguments if part is not type(None))
    if origin is tuple:
        if _part(arguments[0]):
            return "list of parts, see below"
        return f"list of {_name(arguments[0])}" if arguments[-1] is ... else f"[{', '.join(map(_name, arguments))}]"
    if origin is dict:
        keys = "names" if arguments[0] is str else _name(arguments[0])
        return f"mapping of {keys} to {'parts, see below' if _part(arguments[1]) else 'values'}"
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return ", ".join(f"`{member.value}`" for member in annotation)
    if _part(annotation):
        return "see below"
    raise TypeError(f"docs/generate.py cannot say what {annotation!r} is; add it to _name")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(value, timedelta):
        return f"`{format_duration(value)}`"
    if value is None or value in ("", (), {}) or isinstance(value, BaseModel):
        return ""
    if isinstance(value, tuple) and all(isinstance(part, BaseModel) for part in value):
        return _codes(
            f"{{{', '.join(f'{k}: {v}' for k, v in part.model_dump(exclude_unset=True).items())}}}" for part in value
        )
    if isinstance(value, tuple):
        return _codes(map(str, value))
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


PAGES = {
    "docs/reference/access.md": access_page,
    "docs/reference/approvals.md": policy_page,
    "docs/reference/notifications.md": routes_page,
    "docs/reference/spec.md": spec_page,
    "docs/reference/tools.md": tools_page,
}


def main(arguments: list[str]) -> int:
    stale = [path for path, page in PAGES.items() if _read(ROOT / path) != page()]
    if "--check" in arguments:
        for path in stale:
            print(f"{path} is out of date; run `make docs`")
        return 1 if stale else 0
    for path in stale:
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_text(PAGES[path](), encoding="utf-8")
        print(f"wrote {path}")
    return 0


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
