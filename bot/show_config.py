"""`mm_bot.py --show-config`: the effective configuration as TOML, with what each setting is and where it comes from.

TOML is written here because the standard library only reads it: numbers, strings, booleans, arrays of them, and tables.
What is printed can be given back with --config, and is then the same configuration.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator

from pydantic import BaseModel

from shared.config import LoadedConfig, config_hash

_COMMENT_AT = 44


def show_config(loaded: LoadedConfig) -> str:
    """The text: first the hash, then a line for each setting. A comment says the origin of what is not the default."""
    heading = f"# The effective configuration, hash {config_hash(loaded.config)}. Give it back with --config FILE."
    return "\n".join([heading, "", *_table(loaded.config, type(loaded.config)(), "", loaded.origins)]) + "\n"


def _table(model: BaseModel, default: BaseModel, prefix: str, origins: dict[str, str]) -> Iterator[str]:
    """The lines of a table: TOML wants what it holds itself before the tables in it."""
    tables: list[str] = []
    for name, field in type(model).model_fields.items():
        held, usual = getattr(model, name), getattr(default, name)
        if isinstance(held, BaseModel):
            tables.append(name)
            continue
        remarks = []
        if held != usual:
            remarks.append(f"{origins[prefix + name]} (default {_literal(usual) or 'none'})")
        if field.description:
            remarks.append(" ".join(field.description.split()))
        literal = _literal(held)
        line = f"{name} = {literal}" if literal else f"# {name} is not set"  # TOML has no word for nothing
        yield f"{line:<{_COMMENT_AT}}# {': '.join(remarks)}" if remarks else line
    for name in tables:
        field = type(model).model_fields[name]
        yield ""
        if field.description:
            yield f"# {' '.join(field.description.split())}"
        yield f"[{prefix}{name}]"
        yield from _table(getattr(model, name), getattr(default, name), f"{prefix}{name}.", origins)


def _literal(held: object) -> str:
    """A value as TOML; empty for None. Raises TypeError for what this subset has no form for."""
    match held:
        case None:
            return ""
        case bool():
            return "true" if held else "false"
        case int():
            return str(held)
        case float():
            return repr(held) if math.isfinite(held) else str(held)
        case str():
            return json.dumps(held, ensure_ascii=False).replace("\x7f", "\\u007f")
        case tuple() | list():
            return f"[{', '.join(_literal(each) for each in held)}]"
        case _:
            raise TypeError(f"{type(held).__name__} has no form in TOML here: {held!r}")
