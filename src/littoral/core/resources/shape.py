"""Every place where a plain value does not fit a msgspec type.

`msgspec.convert` stops at the first mistake and names paths without their keys. This walks the same types and names
them all, in the words of whoever wrote the document. It never accepts more than `convert` does.
"""

import math
import re
from collections.abc import Iterator
from functools import cache

import msgspec
from msgspec import inspect

from littoral.core.resources.problem import Path, suggestion
from littoral.core.resources.syntax import Value

Mistake = tuple[Path, str]


def mistakes(value: Value, kind: inspect.Type, path: Path = ()) -> Iterator[Mistake]:
    """Where and how `value` does not fit `kind`."""
    if isinstance(kind, inspect.UnionType):
        kind = _choose(value, kind)
    note = ""
    if isinstance(kind, inspect.Metadata):
        note = (kind.extra_json_schema or {}).get("description", "")
        kind = kind.type
    if isinstance(kind, inspect.StructType):
        yield from _struct(value, kind, path)
    elif isinstance(kind, inspect.ListType):
        yield from _list(value, kind, path)
    elif isinstance(kind, inspect.DictType):
        yield from _dict(value, kind, path)
    elif isinstance(kind, inspect.AnyType):
        yield from _anything(value, path)
    elif not _fits(value, kind):
        yield path, _leaf_cause(value, kind, note)


def found(value: Value) -> str:
    """A value as shown in an error, cut short where it is long."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = msgspec.json.encode(value).decode()
    if value is None:
        return "nothing"
    return text if len(text) <= 80 else f"{text[:80]}…"


def _struct(value: Value, kind: inspect.StructType, path: Path) -> Iterator[Mistake]:
    fields = {field.encode_name: field for field in kind.fields}
    if kind.tag_field is None:
        allowed = ", ".join(fields)
    else:
        allowed = ", ".join([kind.tag_field, *fields])
    if not isinstance(value, dict):
        yield path, f"found {found(value)}; expected a mapping with the fields {allowed}"
        return
    for name, member in value.items():
        if name == kind.tag_field:
            continue
        if name in fields:
            yield from mistakes(member, fields[name].type, (*path, name))
        else:
            yield (*path, name), f"unknown field.{suggestion(name, fields)} Allowed: {allowed}"
    for name, field in fields.items():
        if field.required and name not in value:
            yield path, f'the field "{name}" is missing; it is {_expected(field.type)}'


def _list(value: Value, kind: inspect.ListType, path: Path) -> Iterator[Mistake]:
    if not isinstance(value, list):
        yield path, f"found {found(value)}; expected a list"
        return
    if kind.min_length is not None and len(value) < kind.min_length:
        yield path, f"found {len(value) or 'no'} elements; expected at least {kind.min_length}"
    if kind.max_length is not None and len(value) > kind.max_length:
        yield path, f"found {len(value)} elements; expected at most {kind.max_length}"
    for index, element in enumerate(value):
        yield from mistakes(element, kind.item_type, (*path, index))


def _dict(value: Value, kind: inspect.DictType, path: Path) -> Iterator[Mistake]:
    if not isinstance(value, dict):
        yield path, f"found {found(value)}; expected a mapping"
        return
    for name, member in value.items():
        yield from mistakes(member, kind.value_type, (*path, name))


def _anything(value: Value, path: Path) -> Iterator[Mistake]:
    """Whatever JSON can hold: numbers that are none, or are too large for it, YAML can say and JSON cannot."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield from _anything(member, (*path, name))
    elif isinstance(value, list):
        for index, element in enumerate(value):
            yield from _anything(element, (*path, index))
    elif isinstance(value, float) and not math.isfinite(value):
        yield path, f"found {value}; expected what JSON can hold"


def _choose(value: Value, union: inspect.UnionType) -> inspect.Type:
    """The member of a union that `value` was most likely meant for, or the union if none is."""
    for kind in union.types:
        plain = kind.type if isinstance(kind, inspect.Metadata) else kind
        if value is None and isinstance(plain, inspect.NoneType):
            return kind
        if isinstance(value, dict) and isinstance(plain, inspect.StructType):
            return kind
    others = [kind for kind in union.types if not isinstance(kind, inspect.NoneType)]
    return others[0] if len(others) == 1 else union


@cache
def _pattern(pattern: str) -> re.Pattern[str]:
    # JSON Schema anchors with ^ and $, but Python's $ also matches before a line break at the end.
    anchored = pattern.endswith("$") and not pattern.endswith(r"\$")
    return re.compile(pattern[:-1] + r"\Z" if anchored else pattern)


def _fits(value: Value, kind: inspect.Type) -> bool:
    if isinstance(kind, inspect.UnionType):
        return any(not list(mistakes(value, member)) for member in kind.types)
    if isinstance(kind, inspect.LiteralType):
        return isinstance(value, str) and value in kind.values
    if isinstance(kind, inspect.StrType):
        return isinstance(value, str) and _text_fits(value, kind)
    if isinstance(kind, inspect.BoolType):
        return isinstance(value, bool)
    if isinstance(kind, inspect.NoneType):
        return value is None
    if isinstance(kind, inspect.IntType):
        return isinstance(value, int) and not isinstance(value, bool) and _number_fits(value, kind)
    assert isinstance(kind, inspect.FloatType), f"no document uses {kind}"
    return isinstance(value, int | float) and not isinstance(value, bool) and _number_fits(value, kind)


def _text_fits(value: str, kind: inspect.StrType) -> bool:
    if kind.min_length is not None and len(value) < kind.min_length:
        return False
    if kind.max_length is not None and len(value) > kind.max_length:
        return False
    return kind.pattern is None or _pattern(kind.pattern).search(value) is not None


def _number_fits(value: float, kind: inspect.IntType | inspect.FloatType) -> bool:
    # Written so that a float too large for its type, which reads as infinite, does not pass an open range.
    return (
        abs(value) != float("inf")
        and (kind.ge is None or value >= kind.ge)
        and (kind.gt is None or value > kind.gt)
        and (kind.le is None or value <= kind.le)
        and (kind.lt is None or value < kind.lt)
    )


def _leaf_cause(value: Value, kind: inspect.Type, note: str) -> str:
    expected = _expected(kind)
    if note:
        expected = f"{note[0].lower()}{note[1:]} ({expected})" if note[0].isalpha() else f"{note} ({expected})"
    cause = f"found {found(value)}; expected {expected}"
    if isinstance(kind, inspect.LiteralType) and isinstance(value, str):
        near = suggestion(value, map(str, kind.values))
        cause += f".{near}" if near else ""
    if isinstance(kind, inspect.StrType) and isinstance(value, bool | int | float):
        cause += f'. Write it in quotes: "{found(value)}"'
    return cause


def _expected(kind: inspect.Type) -> str:
    if isinstance(kind, inspect.Metadata):
        return _expected(kind.type)
    if isinstance(kind, inspect.UnionType):
        return " or ".join(_expected(member) for member in kind.types if not isinstance(member, inspect.NoneType))
    if isinstance(kind, inspect.LiteralType):
        words = [f'"{word}"' for word in kind.values]
        return words[0] if len(words) == 1 else f"one of {', '.join(words)}"
    if isinstance(kind, inspect.StructType):
        return f"a mapping with the fields {', '.join(field.encode_name for field in kind.fields)}"
    if isinstance(kind, inspect.StrType):
        return "text" + _text_range(kind)
    if isinstance(kind, inspect.IntType):
        return "a whole number" + _number_range(kind)
    if isinstance(kind, inspect.FloatType):
        return "a number" + _number_range(kind)
    if isinstance(kind, inspect.BoolType):
        return "true or false"
    return "a list" if isinstance(kind, inspect.ListType) else "a mapping"


def _text_range(kind: inspect.StrType) -> str:
    if kind.pattern is not None:
        return f" that matches {kind.pattern}"
    if kind.max_length is not None:
        return f" of {kind.min_length or 0} to {kind.max_length} characters"
    return ""


def _number_range(kind: inspect.IntType | inspect.FloatType) -> str:
    words = {"at least": kind.ge, "above": kind.gt, "at most": kind.le, "below": kind.lt}
    bounds = [f"{word} {bound}" for word, bound in words.items() if bound is not None]
    return f", {' and '.join(bounds)}" if bounds else ""
