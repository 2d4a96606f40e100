"""Events on disk: a folder with one Parquet file for each kind that occurs, and `about.json`.

Any Parquet reader understands the files: times are int64 nanoseconds since 1970, names are words, a book is one row
whose sides are lists, best level first. `about.json` is written last, so a folder that was cut off is none.
"""

from __future__ import annotations

import json
import os
import typing
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from backtest.events import (
    BOOK,
    LEVEL,
    ORACLE,
    ORACLE_KINDS,
    OUTAGE,
    OUTCOMES,
    SPOT,
    TRADE,
    Events,
    Label,
    Rows,
)
from backtest.events_build import by_receipt, packed
from shared.messages import Period

ABOUT = "about.json"
FORMAT = "market-events"
VERSION = 1
ROWS_AT_ONCE = 1 << 18  # of a row group, and in memory beside the columns

_SIDES = ("sell", "buy")  # place is (side + 1) / 2


class EventsError(ValueError):
    """A folder that cannot be read as events, or a path that nothing understands: which file, what, and the remedy."""


class _Column(NamedTuple):
    """A column: its name on disk and in memory, and the words when it is written as words (None: the set's names)."""

    name: str
    words: tuple[str, ...] | None = None
    is_word: bool = False
    is_flag: bool = False


def _plain(*names: str) -> tuple[_Column, ...]:
    return tuple(_Column(name) for name in names)


def _named(*names: str) -> tuple[_Column, ...]:
    return tuple(_Column(name, is_word=True) for name in names)


_TIMES = _plain("ts_event_ns", "ts_recv_ns")
_OUTCOME = _Column("outcome", OUTCOMES, is_word=True)
_KINDS: Mapping[str, tuple[np.dtype[Any], tuple[_Column, ...]]] = {
    "spot": (SPOT, (*_TIMES, *_named("asset", "venue"), *_plain("bid", "bid_size", "ask", "ask_size"))),
    "oracle": (
        ORACLE,
        (*_TIMES, *_named("asset", "venue"), _Column("kind", ORACLE_KINDS, is_word=True), *_plain("price")),
    ),
    "books": (BOOK, (*_TIMES, *_named("slug"), _OUTCOME, *_plain("tick_size"))),
    "trades": (
        TRADE,
        (
            *_TIMES,
            *_named("slug"),
            _OUTCOME,
            _Column("side", _SIDES, is_word=True),
            _Column("is_inferred", is_flag=True),
            *_plain("price", "shares", "number"),
        ),
    ),
    "outages": (OUTAGE, (*_plain("start_ns", "end_ns"), *_named("venue", "channel", "subject"))),
}
_LISTS = (("bid", "bids"), ("ask", "asks"))

_ARROW: Mapping[Any, pa.DataType] = {int: pa.int64(), float: pa.float64(), str: pa.string()}


def _schema_of(hints: Mapping[str, Any]) -> pa.Schema:
    """The columns of a record of Python scalars; `X | None` may be null, a Literal is a word."""
    fields = []
    for name, hint in hints.items():
        kinds = [each for each in typing.get_args(hint) or (hint,) if each is not type(None)]
        is_optional = type(None) in typing.get_args(hint)
        kind = str if isinstance(kinds[0], str) else kinds[0]
        fields.append(pa.field(name, _ARROW[kind], nullable=is_optional))
    return pa.schema(fields)


_PERIOD_SCHEMA = _schema_of({name: typing.get_type_hints(Period)[name] for name in Period.__struct_fields__})
_LABEL_SCHEMA = _schema_of(typing.get_type_hints(Label))


# -- writing ---------------------------------------------------------------------------------------------------------


def write_events(events: Events, folder: Path, *, replace: bool = False) -> None:
    """Write a folder. With `replace` events that are there already go; otherwise that is an `EventsError`."""
    folder.mkdir(parents=True, exist_ok=True)
    about = folder / ABOUT
    if about.exists():
        if not replace:
            raise EventsError(f"{folder}: holds events already; choose another folder, or replace them")
        if not is_events_folder(folder):
            raise EventsError(f"{about}: not of a folder of events, so nothing here is replaced; choose another folder")
        about.unlink()
        for kind in (*_KINDS, "periods", "labels"):
            (folder / f"{kind}.parquet").unlink(missing_ok=True)
    books, levels = packed(events.books, events.levels)
    counts = {}
    for kind in _KINDS:
        rows = books if kind == "books" else getattr(events, kind)
        if len(rows):
            counts[kind] = len(rows)
            _write_rows(folder / f"{kind}.parquet", kind, rows, levels, events.names)
    for kind, schema, records in (
        ("periods", _PERIOD_SCHEMA, [_fields_of(each) for each in events.periods]),
        ("labels", _LABEL_SCHEMA, [each._asdict() for each in events.labels]),
    ):
        if records:
            counts[kind] = len(records)
            pq.write_table(pa.Table.from_pylist(records, schema), folder / f"{kind}.parquet", compression="zstd")
    written = {
        "format": FORMAT,
        "version": VERSION,
        "source": events.source,
        "notes": list(events.notes),
        "drops": dict(events.drops),
        "counts": counts,
    }
    draft = folder / f".{ABOUT}.{os.getpid()}"
    draft.write_text(json.dumps(written, indent=1) + "\n")
    draft.replace(about)


def _fields_of(period: Period) -> dict[str, Any]:
    return {name: getattr(period, name) for name in period.__struct_fields__}


def _write_rows(path: Path, kind: str, rows: Rows, levels: Rows, names: tuple[str, ...]) -> None:
    _, columns = _KINDS[kind]
    words = [each.name for each in columns if each.is_word]
    times = [each.name for each in columns if each.name.endswith("_ns")]
    writer: pq.ParquetWriter | None = None
    try:
        for start in range(0, len(rows), ROWS_AT_ONCE):
            part = rows[start : start + ROWS_AT_ONCE]
            arrays = {each.name: _arrow_of(part, each, names) for each in columns}
            if kind == "books":
                arrays |= _sides_of(part, levels)
            table = pa.table(arrays)
            if writer is None:
                writer = pq.ParquetWriter(
                    path,
                    table.schema,
                    compression="zstd",
                    use_dictionary=words,
                    column_encoding=dict.fromkeys(times, "DELTA_BINARY_PACKED"),
                )
            writer.write_table(table, row_group_size=ROWS_AT_ONCE)
    finally:
        if writer is not None:
            writer.close()


def _arrow_of(rows: Rows, column: _Column, names: tuple[str, ...]) -> pa.Array:
    field = np.ascontiguousarray(rows[column.name])
    if column.is_flag:
        return pa.array(field != 0)
    if not column.is_word:
        return pa.array(field)
    places = (field + 1) // 2 if column.name == "side" else field
    return pa.DictionaryArray.from_arrays(pa.array(places), pa.array(column.words or names, pa.string()))


def _sides_of(books: Rows, levels: Rows) -> dict[str, pa.Array]:
    """Lists of ticks and shares of both sides. The levels are packed, so those of a side are every other run."""
    first = int(books["first"][0])
    depths = books["bids"].astype(np.int64) + books["asks"]
    mine = levels[first : first + int(depths.sum())]
    is_bid = np.repeat(np.tile([True, False], len(books)), np.column_stack((books["bids"], books["asks"])).ravel())
    arrays = {}
    for side, counter in _LISTS:
        ends = np.concatenate(([0], np.cumsum(books[counter], dtype=np.int64))).astype(np.int32)
        chosen = mine[is_bid] if side == "bid" else mine[~is_bid]
        for field in ("ticks", "shares"):
            arrays[f"{side}_{field}"] = pa.ListArray.from_arrays(
                pa.array(ends), pa.array(np.ascontiguousarray(chosen[field]))
            )
    return arrays


# -- reading ---------------------------------------------------------------------------------------------------------


def is_events_folder(path: Path) -> bool:
    """Whether a folder says that it holds events, of whatever version."""
    try:
        said = json.loads((path / ABOUT).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(said, dict) and said.get("format") == FORMAT


def read_events(folder: Path) -> Events:
    """The events in a folder that `write_events` wrote. Raises `EventsError`."""
    about = _about_of(folder)
    names: dict[str, int] = {}
    tables: dict[str, Rows] = {}
    levels: Rows = np.empty(0, LEVEL)
    for kind, (dtype, _) in _KINDS.items():
        count = about.counts.get(kind, 0)
        path = folder / f"{kind}.parquet"
        tables[kind] = np.empty(count, dtype)
        if count:
            levels_of_kind = _read_rows(path, kind, tables[kind], names)
            levels = levels_of_kind if kind == "books" else levels
    periods = _read_records(folder, about, "periods", _PERIOD_SCHEMA)
    labels = _read_records(folder, about, "labels", _LABEL_SCHEMA)
    try:
        return Events(
            source=about.source,
            notes=about.notes,
            drops=about.drops,
            names=tuple(names),
            levels=levels,
            periods=tuple(msgspec.convert(["Period", *each.values()], Period) for each in periods),
            labels=tuple(msgspec.convert(each, Label) for each in ((*row.values(),) for row in labels)),
            **tables,
        )
    except msgspec.ValidationError as error:
        raise EventsError(f"{folder}: a period or a label is none: {error}; {_REMEDY}") from error


def read_many(paths: Sequence[Path]) -> Events:
    """Folders of events, or folders that hold such folders, as one set. Raises `EventsError`."""
    folders: list[Path] = []
    for path in paths:
        inside = [] if is_events_folder(path) else sorted(each.parent for each in path.glob(f"*/{ABOUT}"))
        folders.extend(inside or [path])
    return merge([read_events(each) for each in folders])


def merge(parts: Sequence[Events]) -> Events:
    """Several sets as one, each kind in order of receipt; drops are added up, notes and sources said once.

    Nothing is compared: what two parts both hold is there twice, labels aside. ValueError of no parts.
    """
    if not parts:
        raise ValueError("merge needs at least one set of events")
    if len(parts) == 1:
        return parts[0]
    names: dict[str, int] = {}
    columns: dict[str, list[Rows]] = {kind: [] for kind in _KINDS}
    levels_before = 0
    for part in parts:
        places = np.array([names.setdefault(each, len(names)) for each in part.names], np.int32)
        for kind, (_, layout) in _KINDS.items():
            rows = getattr(part, kind).copy()
            for column in layout:
                if column.is_word and column.words is None and len(rows):
                    rows[column.name] = places[rows[column.name]]
            if kind == "books":
                rows["first"] += levels_before
            columns[kind].append(rows)
        levels_before += len(part.levels)
    whole = {kind: np.concatenate(each) for kind, each in columns.items()}
    outages = whole.pop("outages")
    whole = {kind: by_receipt(rows) for kind, rows in whole.items()}
    whole["books"], levels = packed(whole["books"], np.concatenate([part.levels for part in parts]))
    drops: Counter[str] = Counter()
    for part in parts:
        drops.update(part.drops)
    return Events(
        source=" + ".join(dict.fromkeys(part.source for part in parts)),
        notes=tuple(dict.fromkeys(note for part in parts for note in part.notes)),
        drops=dict(drops),
        names=tuple(names),
        levels=levels,
        outages=outages[np.argsort(outages["start_ns"], kind="stable")],
        periods=tuple(sorted((each for part in parts for each in part.periods), key=lambda each: each.ts_recv_ns)),
        labels=tuple(dict.fromkeys(each for part in parts for each in part.labels)),
        **whole,
    )


class _About(msgspec.Struct, frozen=True):
    """`about.json`."""

    format: str
    version: int
    source: str
    notes: tuple[str, ...]
    drops: dict[str, int]
    counts: dict[str, int]


_REMEDY = "write the folder again with write_events"


def _about_of(folder: Path) -> _About:
    path = folder / ABOUT
    if not folder.is_dir():
        raise EventsError(f"{folder}: no such folder; give one that write_events wrote")
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise EventsError(f"{folder}: no {ABOUT} in it, so it is no folder of events; {_REMEDY}") from None
    try:
        version = msgspec.json.decode(content)
        if not isinstance(version, dict) or version.get("format") != FORMAT:
            raise EventsError(f"{path}: its format is not {FORMAT!r}, so this is no folder of events; {_REMEDY}")
        if version.get("version") != VERSION:
            raise EventsError(
                f"{path}: version {version.get('version')!r}, this engine reads {VERSION}; import the recording again"
            )
        return msgspec.json.decode(content, type=_About)
    except msgspec.DecodeError as error:
        raise EventsError(f"{path}: {error}; {_REMEDY}") from error


def _open(path: Path, wanted: Sequence[str], count: int) -> pq.ParquetFile:
    try:
        file = pq.ParquetFile(path)
    except FileNotFoundError:
        raise EventsError(f"{path}: missing, and {ABOUT} counts {count} rows of it; {_REMEDY}") from None
    except (pa.ArrowException, OSError) as error:
        raise EventsError(f"{path}: not readable as Parquet: {error}; {_REMEDY}") from error
    missing = [name for name in wanted if name not in file.schema_arrow.names]
    if missing:
        file.close()
        raise EventsError(f"{path}: no column {', '.join(missing)}; {_REMEDY}")
    if file.metadata.num_rows != count:
        rows = file.metadata.num_rows
        file.close()
        raise EventsError(f"{path}: {rows} rows, and {ABOUT} counts {count}; {_REMEDY}")
    return file


def _batches(path: Path, file: pq.ParquetFile, columns: Sequence[str]) -> typing.Iterator[pa.RecordBatch]:
    try:
        yield from file.iter_batches(batch_size=ROWS_AT_ONCE, columns=list(columns))
    except (pa.ArrowException, OSError) as error:
        raise EventsError(f"{path}: damaged: {error}; {_REMEDY}") from error


def _read_rows(path: Path, kind: str, into: Rows, names: dict[str, int]) -> Rows:
    """Fill the rows of one kind; the levels when they are books."""
    dtype, columns = _KINDS[kind]
    lists = [f"{side}_{field}" for side, _ in _LISTS for field in ("ticks", "shares")] if kind == "books" else []
    wanted = [*(each.name for each in columns), *lists]
    levels: list[Rows] = []
    with _open(path, wanted, len(into)) as file:
        start = depth = 0
        for batch in _batches(path, file, wanted):
            part = into[start : start + batch.num_rows]
            for column in columns:
                part[column.name] = _numpy_of(path, batch.column(column.name), column, dtype, names)
            if lists:
                levels.append(_levels_of(path, batch, part, depth))
                depth += len(levels[-1])
            start += batch.num_rows
    return np.concatenate(levels) if levels else np.empty(0, LEVEL)


def _numpy_of(
    path: Path, array: pa.Array, column: _Column, dtype: np.dtype[Any], names: dict[str, int]
) -> NDArray[Any]:
    if array.null_count:
        raise EventsError(f"{path}: column {column.name} has rows without a value; {_REMEDY}")
    if column.is_word:
        return _places_of(path, array, column, names)
    if column.is_flag:
        return _cast(path, column.name, array, pa.types.is_boolean, "true or false", pa.bool_())
    if dtype[column.name].kind == "f":
        return _cast(path, column.name, array, _is_number, "numbers", pa.float64())
    what = "whole nanoseconds since 1970" if column.name.endswith("_ns") else "whole numbers"
    return _cast(path, column.name, array, pa.types.is_integer, what, pa.int64())


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


def _cast(
    path: Path, name: str, array: pa.Array, accepts: Callable[[pa.DataType], bool], what: str, kind: pa.DataType
) -> NDArray[Any]:
    if not accepts(array.type):
        raise EventsError(f"{path}: column {name} is {array.type}, it must be {what} ({kind}); {_REMEDY}")
    try:
        converted: NDArray[Any] = array.cast(kind).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid as error:
        raise EventsError(f"{path}: column {name}: {error}; it must be {what} ({kind})") from error
    return converted


def _places_of(path: Path, array: pa.Array, column: _Column, names: dict[str, int]) -> NDArray[Any]:
    """Words as places: of the column's own words, or of all names met so far."""
    if _is_text(array.type):
        array = array.dictionary_encode()
    if not (pa.types.is_dictionary(array.type) and _is_text(array.type.value_type)):
        raise EventsError(f"{path}: column {column.name} is {array.type}, it must be words (string); {_REMEDY}")
    indices = array.indices.to_numpy(zero_copy_only=False)
    words = array.dictionary.to_pylist()
    used = np.zeros(len(words), np.bool_)
    used[indices] = True
    places = np.zeros(len(words), np.int32)
    for place in np.flatnonzero(used):
        word = words[place]
        if column.words is None:
            places[place] = names.setdefault(word, len(names))
        elif word in column.words:
            places[place] = column.words.index(word)
        else:
            raise EventsError(f"{path}: column {column.name} holds {word!r}, only {', '.join(column.words)} are known")
    found: NDArray[Any] = places[indices]
    return 2 * found - 1 if column.name == "side" else found


def _levels_of(path: Path, batch: pa.RecordBatch, books: Rows, depth_before: int) -> Rows:
    """The levels of a batch of books, each book's bids before its asks; sets where they lie and how many they are."""
    flat: dict[str, NDArray[Any]] = {}
    for side, counter in _LISTS:
        for field, kind in (("ticks", pa.int32()), ("shares", pa.float64())):
            name = f"{side}_{field}"
            array = batch.column(name)
            if not (pa.types.is_list(array.type) or pa.types.is_large_list(array.type)):
                raise EventsError(f"{path}: column {name} is {array.type}, it must be lists; {_REMEDY}")
            lengths = pc.list_value_length(array)
            inside = array.flatten()
            if lengths.null_count or inside.null_count:
                raise EventsError(f"{path}: column {name} has rows or levels without a value; {_REMEDY}")
            accepts = pa.types.is_integer if field == "ticks" else _is_number
            flat[name] = _cast(path, name, inside, accepts, "lists of numbers", kind)
            counts = lengths.to_numpy(zero_copy_only=False)
            if field == "ticks":
                books[counter] = counts
            elif not np.array_equal(books[counter], counts):
                raise EventsError(f"{path}: column {name} has not one entry for each of {side}_ticks; {_REMEDY}")
    depths = books["bids"].astype(np.int64) + books["asks"]
    books["first"] = depth_before + np.cumsum(depths) - depths
    levels = np.empty(int(depths.sum()), LEVEL)
    is_bid = np.repeat(np.tile([True, False], len(books)), np.column_stack((books["bids"], books["asks"])).ravel())
    for field in ("ticks", "shares"):
        column = levels[field]
        column[is_bid], column[~is_bid] = flat[f"bid_{field}"], flat[f"ask_{field}"]
    return levels


def _read_records(folder: Path, about: _About, kind: str, schema: pa.Schema) -> list[dict[str, Any]]:
    count = about.counts.get(kind, 0)
    if not count:
        return []
    path = folder / f"{kind}.parquet"
    with _open(path, schema.names, count) as file:
        tables = list(_batches(path, file, schema.names))
    columns: dict[str, list[Any]] = {}
    for field in schema:
        columns[field.name] = []
        for batch in tables:
            array = batch.column(field.name)
            if array.null_count and not field.nullable:
                raise EventsError(f"{path}: column {field.name} has rows without a value; {_REMEDY}")
            try:
                columns[field.name].extend(array.cast(field.type).to_pylist())
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                raise EventsError(
                    f"{path}: column {field.name} is {array.type}, it must be {field.type}: {error}; {_REMEDY}"
                ) from error
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
