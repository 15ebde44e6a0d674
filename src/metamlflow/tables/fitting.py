"""Whether the columns of a file fit those of a data set: nothing of it may be left out or changed without a word."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from metamlflow.errors import InvalidInputError

_HINT = "Give path=: a file, or a folder whose files belong together."
_TEXTS = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
_BYTES = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view)
_LISTS = (pa.types.is_list, pa.types.is_large_list, pa.types.is_list_view, pa.types.is_large_list_view)
_LOSSLESS = (  # Arrow refuses values of these that another type of the kind does not hold
    (pa.types.is_integer,),
    (pa.types.is_decimal,),
    (pa.types.is_duration,),
    (pa.types.is_time,),
    (pa.types.is_date,),
    _TEXTS,
    _BYTES,
)


def check_fit(path: str, given: Any, schema: Any, *, is_text: bool) -> None:
    """Compare the columns of a file with those of the data set that it belongs to. It may lack some.

    Args:
        path: the file.
        given: its schema.
        schema: that of the data set.
        is_text: it holds texts, which are parsed as the types of the data set, or refused.

    Raises:
        InvalidInputError: the data set would leave out a column of the file, or change values of it.
    """
    kinds = {field.name: field.type for field in schema}
    if more := sorted(set(given.names) - kinds.keys()):
        raise InvalidInputError(
            f"the files' columns are not the same: the first file lacks {', '.join(map(repr, more))[:300]} of {path!r}",
            hint=_HINT,
        )
    for field in given:
        kind = kinds[field.name]
        if not (_fits_as_text(kind, field.type) if is_text else _fits(kind, field.type)):
            raise InvalidInputError(
                f"the files' columns do not fit together: {field.name!r} is {field.type!s:.200} in {path!r}, "
                f"and {kind!s:.200} in the first file",
                hint=_HINT,
            )


def whole_numbers(kept: Any, given: Any) -> Any:
    """Return the type to which a text's values are parsed before they become ``kept``: its whole numbers as such."""
    types = pa.types
    if types.is_floating(kept) and types.is_integer(given):
        return given
    if types.is_struct(kept) and types.is_struct(given):
        own = {field.name: field.type for field in given}
        return pa.struct([each.with_type(whole_numbers(each.type, own.get(each.name, each.type))) for each in kept])
    if types.is_list(kept) and types.is_list(given):
        return pa.list_(kept.value_field.with_type(whole_numbers(kept.value_type, given.value_type)))
    return kept


def _fits_as_text(kept: Any, given: Any) -> bool:
    return not pa.types.is_boolean(kept) or pa.types.is_boolean(given) or pa.types.is_null(given)  # 7 would be true


def _fits(kept: Any, given: Any) -> bool:
    """Return whether values of a type come as they are, or as an error, where another type is wanted."""
    kept, given = (kind.value_type if pa.types.is_dictionary(kind) else kind for kind in (kept, given))
    return kept.equals(given) or pa.types.is_null(given) or _fits_inside(kept, given) or _is_lossless(kept, given)


def _fits_inside(kept: Any, given: Any) -> bool:
    types = pa.types
    if types.is_struct(kept) and types.is_struct(given):
        return _members(given) <= _members(kept) and all(_fits(kept.field(each.name).type, each.type) for each in given)
    if types.is_map(kept) and types.is_map(given):
        return _fits(kept.key_type, given.key_type) and _fits(kept.item_type, given.item_type)
    return _is_any(kept, _LISTS) and _is_any(given, _LISTS) and _fits(kept.value_type, given.value_type)


def _is_lossless(kept: Any, given: Any) -> bool:
    types = pa.types
    if types.is_floating(kept) and types.is_floating(given):
        return bool(given.bit_width <= kept.bit_width)
    if types.is_timestamp(kept) and types.is_timestamp(given):
        return bool(kept.tz == given.tz)
    if types.is_floating(kept) and types.is_integer(given):
        return True
    return any(_is_any(kept, kind) and _is_any(given, kind) for kind in _LOSSLESS)


def _members(kind: Any) -> set[str]:
    return {field.name for field in kind}


def _is_any(kind: Any, tests: Any) -> bool:
    return any(test(kind) for test in tests)
