"""Recordings on disk: append-only segments of compressed records, safe to cut off anywhere.

A segment is a file `<source>-<start ns>-<pid>.seg.zst` of blocks. A block is a zstd *skippable* frame of 16 bytes
(magic, length 8, `MMS1`, length of what follows) and one self-contained zstd frame with a checksum. Its content is one
MessagePack array of records `[ts_recv_ns, source, payload]`; a record never spans two blocks. So `zstdcat` unpacks a
segment, any MessagePack library reads it, and what a crash cuts off is at most the block being written: everything
before it is read, and what was dropped is named. A writer never appends to the segment of another run.
"""

from __future__ import annotations

import heapq
import os
import re
import struct
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from threading import Condition, Lock, Thread
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple, Self

import msgspec
import zstandard

SUFFIX = ".seg.zst"
MAX_SEGMENT_BYTES = 64 << 20
MAX_SEGMENT_AGE_S = 900.0
FLUSH_S = 1.0
MAX_BLOCK_BYTES = 1 << 20  # of records before compression; a full block is written without waiting for the second
MAX_PENDING_BYTES = 32 << 20  # of records that a stuck disk may hold back before what follows is dropped, and counted
COMPRESSION_LEVEL = 3

_BLOCK = struct.Struct("<II4sI")
_SKIPPABLE_MAGIC = 0x184D2A5E
_TAG = b"MMS1"
_BLOCK_START = struct.pack("<II", _SKIPPABLE_MAGIC, 8) + _TAG
_SOURCE = re.compile(r"^[A-Za-z0-9_.]+$")
_decode_records = msgspec.msgpack.Decoder(list[tuple[int, str, Any]]).decode
_array_header = struct.Struct(">BI").pack  # MessagePack array 32
_NAME = re.compile(rf"^(.+)-([0-9]+)-([0-9]+){re.escape(SUFFIX)}$")


class Record(NamedTuple):
    """One recorded frame: when it was received (Unix, nanoseconds), from where, and its content as it came."""

    ts_recv_ns: int
    source: str
    payload: bytes | str


class Drop(NamedTuple):
    """Bytes of a segment that could not be read: a torn tail, or a damaged block."""

    path: Path
    offset: int
    length: int
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.length} bytes at offset {self.offset} dropped: {self.reason}"


class SegmentWriter:
    """Writes records of one source into segments in a folder, from a thread of its own.

    `write` only queues (about a microsecond); compression and the disk are the thread's. Records are in the file at
    most `flush_s` after they were written, also when nothing follows them. A disk that fails never stops the caller:
    the block is dropped and counted in `dropped`, and `last_error` names the fault. Safe for several threads.

    With `keep_s`, segments of the same source that were last written longer ago are removed whenever one is begun and
    another is younger.
    """

    def __init__(
        self,
        folder: Path,
        source: str,
        *,
        flush_s: float = FLUSH_S,
        max_bytes: int = MAX_SEGMENT_BYTES,
        max_age_s: float = MAX_SEGMENT_AGE_S,
        keep_s: float | None = None,
    ) -> None:
        if not _SOURCE.match(source):
            raise ValueError(f"source {source!r}: letters, digits, dots and underscores only")
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.source = source
        self.written = 0
        self.dropped = 0
        self.last_error = ""
        self.path: Path | None = None
        self._flush_s = flush_s
        self._max_bytes = max_bytes
        self._max_age_s = max_age_s
        self._keep_s = keep_s
        self._file: BinaryIO | None = None
        self._file_bytes = 0
        self._file_opened_s = 0.0
        self._compressor = zstandard.ZstdCompressor(level=COMPRESSION_LEVEL, write_checksum=True)
        self._encode = msgspec.msgpack.Encoder().encode
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._closing = False
        self._wake = Condition()
        self._disk = Lock()
        self._thread = Thread(target=self._flush_forever, name=f"record-{source}", daemon=True)
        self._thread.start()

    def write(self, ts_recv_ns: int, payload: bytes | str, *, source: str | None = None) -> None:
        """Queue one record; `source` names a stream within this writer (the recorder: the topic). Never raises."""
        packed = self._encode((ts_recv_ns, self.source if source is None else source, payload))
        with self._wake:
            if self._closing or self._pending_bytes + len(packed) > MAX_PENDING_BYTES:
                self.dropped += 1
                return
            self._pending.append(packed)
            self._pending_bytes += len(packed)
            if len(self._pending) == 1 or self._pending_bytes >= MAX_BLOCK_BYTES:
                self._wake.notify()

    def flush(self) -> None:
        """Bring everything written so far into the file now."""
        with self._disk:
            with self._wake:
                records, self._pending, self._pending_bytes = self._pending, [], 0
            if not records:
                return
            try:
                self._append(records)
                self.written += len(records)
            except OSError as error:
                self.dropped += len(records)
                self.last_error = str(error)
                self._close_segment()

    def _append(self, records: list[bytes]) -> None:
        block = self._compressor.compress(_array_header(0xDD, len(records)) + b"".join(records))
        now_s = time.monotonic()
        is_old = now_s - self._file_opened_s > self._max_age_s
        if self._file is None or is_old or self._file_bytes + len(block) > self._max_bytes:
            self._close_segment()
            self._remove_old()
            self.path = self.folder / f"{self.source}-{time.time_ns()}-{os.getpid()}{SUFFIX}"
            self._file = self.path.open("xb", buffering=0)
            self._file_bytes, self._file_opened_s = 0, now_s
        framed = _BLOCK.pack(_SKIPPABLE_MAGIC, 8, _TAG, len(block)) + block
        done = self._file.write(framed)
        self._file_bytes += done
        if done != len(framed):
            raise OSError(f"only {done} of {len(framed)} bytes were written: is the disk full?")

    def _remove_old(self) -> None:
        if self._keep_s is None:
            return
        oldest_s = time.time() - self._keep_s
        try:
            written_s = {each: each.stat().st_mtime for each in self._segments()}
            if max(written_s.values(), default=0.0) < oldest_s:
                return  # a clock that is ahead, or the first recording after a long pause: not yet
            for each, at_s in written_s.items():
                if at_s < oldest_s:
                    each.unlink()
        except OSError as error:  # no reason to lose what is recorded now
            self.last_error = str(error)

    def _segments(self) -> Iterator[Path]:
        for each in self.folder.glob(f"{self.source}-*{SUFFIX}"):
            found = _NAME.match(each.name)
            if found is not None and found[1] == self.source:
                yield each

    def _close_segment(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _flush_forever(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._pending or self._closing)
                self._wake.wait_for(
                    lambda: self._pending_bytes >= MAX_BLOCK_BYTES or self._closing, timeout=self._flush_s * 0.9
                )
                closing = self._closing
            self.flush()
            if closing:
                return

    def close(self) -> None:
        """Write what is queued and close the segment; harmless when repeated."""
        with self._wake:
            self._closing = True
            self._wake.notify_all()
        self._thread.join()
        with self._disk:
            self._close_segment()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _warn(drop: Drop) -> None:
    warnings.warn(str(drop), RuntimeWarning, stacklevel=3)


def read_segments(path: Path, *, on_drop: Callable[[Drop], None] = _warn) -> Iterator[Record]:
    """The records of one segment, or of a folder of segments merged in order of receipt.

    What cannot be read is passed to `on_drop` (by default a warning) and skipped. Raises FileNotFoundError when there
    is no segment.
    """
    if path.is_file():
        return _records_of(path, on_drop)
    by_source: dict[str, list[tuple[int, Path]]] = {}
    for each in path.glob(f"*{SUFFIX}"):
        found = _NAME.match(each.name)
        if found is not None:
            by_source.setdefault(found[1], []).append((int(found[2]), each))
    if not by_source:
        raise FileNotFoundError(f"{path}: no recording here (no *{SUFFIX})")
    streams = (_chained((each for _, each in sorted(files)), on_drop) for files in by_source.values())
    return heapq.merge(*streams, key=lambda record: record.ts_recv_ns)


def _chained(paths: Iterable[Path], on_drop: Callable[[Drop], None]) -> Iterator[Record]:
    return chain.from_iterable(_records_of(each, on_drop) for each in paths)


def _records_of(path: Path, on_drop: Callable[[Drop], None]) -> Iterator[Record]:
    decompressor = zstandard.ZstdDecompressor()
    with path.open("rb") as file:
        end = os.fstat(file.fileno()).st_size
        offset = 0
        while offset < end:
            file.seek(offset)
            header = file.read(_BLOCK.size)
            fault = "torn tail" if len(header) < _BLOCK.size else ""
            length = 0
            if not fault and not header.startswith(_BLOCK_START):
                fault = "damaged block"
            if not fault:
                length = int(_BLOCK.unpack(header)[3])
                if offset + _BLOCK.size + length > end:
                    fault = "torn tail"
            records: list[Record] = []
            if not fault:
                try:
                    records = _unpack(decompressor, file.read(length))
                except (zstandard.ZstdError, ValueError) as error:
                    fault = f"damaged block: {error}"
            if not fault:
                yield from records
                offset += _BLOCK.size + length
                continue
            next_block = _find_block(file, offset + 1, end)
            on_drop(Drop(path, offset, next_block - offset, fault))
            offset = next_block


def _unpack(decompressor: zstandard.ZstdDecompressor, block: bytes) -> list[Record]:
    length = zstandard.frame_content_size(block)
    if not 0 <= length <= MAX_PENDING_BYTES + MAX_BLOCK_BYTES:
        raise ValueError(f"a content of {length} bytes")
    # Nothing may follow the frame: a damaged length would swallow the next block, a damaged flag the checksum.
    content = decompressor.decompress(block, allow_extra_data=False)
    records = [Record(*each) for each in _decode_records(content)]
    if not all(isinstance(each.payload, bytes | str) for each in records):
        raise ValueError("a payload that is neither bytes nor text")
    return records


def _find_block(file: BinaryIO, start: int, end: int) -> int:
    """Offset of the next block at or after `start`, or the end of the file."""
    offset = start
    tail = len(_BLOCK_START) - 1
    while offset < end:
        file.seek(offset)
        chunk = file.read(MAX_BLOCK_BYTES + tail)
        found = chunk.find(_BLOCK_START)
        if found >= 0:
            return offset + found
        offset += max(len(chunk) - tail, 1)
    return end
