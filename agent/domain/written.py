"""A YAML file that says something exactly: unknown and repeated keys are refused, errors name file, line and key."""

from __future__ import annotations

import difflib
import types
from collections.abc import Sequence
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from agent.domain.errors import InvalidInput

Written = TypeVar("Written", bound=BaseModel)
Place = Sequence[int | str]


def parse_written(text: str, model: type[Written], source: str, see: str) -> Written:
    """The model that a text writes down. `source` names it in errors, `see` the page that explains it.

    Raises: InvalidInput with one line for each fault: file, line, key, rule.
    """
    try:
        data = yaml.safe_load(text)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{source}:{mark.line + 1}" if mark is not None else source
        raise InvalidInput(f"{where}: not valid YAML ({getattr(error, 'problem', None) or error}).") from None
    except (ValueError, RecursionError) as error:  # an impossible date, or a thousand brackets
        raise InvalidInput(f"{source}: not valid YAML ({error}).") from None
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise InvalidInput(f"{source}: this must be a mapping of keys to values; see {see}.")
    if said := _wrong_key(root):
        raise InvalidInput(f"{source}:{said}")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        faults = [_fault(item, model, root, source) for item in error.errors(include_url=False, include_context=False)]
        raise InvalidInput("\n".join(faults) + f"\nSee {see}.") from None


def _wrong_key(node: yaml.Node | None) -> str | None:
    """The line and the fault of the first key that stands twice, or that YAML does not read as text (`no`, `12`)."""
    if isinstance(node, yaml.SequenceNode):
        return next((found for part in node.value if (found := _wrong_key(part))), None)
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if key.tag != "tag:yaml.org,2002:str":
                return f"{line}: {name}: YAML does not read this as text; put it in quotes"
            if name in seen:
                return f"{line}: the key {name!r} stands twice; keep one"
            seen.add(name)
            if found := _wrong_key(value):
                return found
    return None


def _fault(item: Any, model: type[BaseModel], root: yaml.Node | None, source: str) -> str:
    place: Place = [part for part in item["loc"] if part != "[key]"]
    message = item["msg"].removeprefix("Value error, ")
    if item["type"] == "extra_forbidden":
        known = _known_keys(model, place[:-1])
        near = difflib.get_close_matches(str(place[-1]), known, 1)
        message = "unknown key; " + (f"did you mean {near[0]!r}?" if near else f"known keys are {', '.join(known)}")
    elif item["type"] == "missing":
        message = "this key is required and missing"
    key = ".".join(str(part) for part in place) or message.partition(":")[0]
    return f"{source}:{_line(root, place or key.split('.'))}: {key}: {message.removeprefix(f'{key}: ')}"


def _line(node: yaml.Node | None, place: Place) -> int:
    """The line of the deepest part of `place` that the text has."""
    line = 1
    for step in place:
        if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = node.start_mark.line + 1
            continue
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        found = next(((key, value) for key, value in pairs if str(key.value) == str(step)), None)
        if found is None:
            break
        line, node = found[0].start_mark.line + 1, found[1]
    return line


def _known_keys(model: Any, place: Place) -> list[str]:
    for step in place:
        fields = getattr(model, "model_fields", None)
        model = _inner(fields[str(step)].annotation) if fields and str(step) in fields else model
    return list(getattr(model, "model_fields", {}))


def _inner(annotation: Any) -> Any:
    """The model inside `dict[str, M]`, `tuple[M, ...]` or `M | None`."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return next((_inner(part) for part in arguments if part is not type(None)), None)
    if origin is dict:
        return _inner(arguments[1])
    if origin in (tuple, list, Annotated):
        return _inner(arguments[0])
    return annotation
