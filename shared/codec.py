"""Message <-> MessagePack bytes. Refuses what the bus must never carry.

Refused, each with a reason that is a metric label: bytes that are not an envelope (`malformed`), another schema
version (`version`), and NaN or infinity anywhere (`not_finite`).
"""

from __future__ import annotations

import math
import re
from typing import Any

import msgspec

from shared.messages import SCHEMA_VERSION, Envelope

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Envelope)
_any_decoder = msgspec.msgpack.Decoder()

_OTHER_VERSION = f"schema version {{}}, this engine speaks {SCHEMA_VERSION}"

# A float64 whose exponent bits are all ones is NaN or infinity; a float32 likewise. Other bytes can look like one,
# so a hit is only a reason to look closely, and no hit is a proof that there is none.
_maybe_not_finite = re.compile(rb"\xcb[\x7f\xff][\xf0-\xff]|\xca[\x7f\xff][\x80-\xff]").search


class RefusedMessageError(ValueError):
    """A message the codec will not pass on. `reason` is `malformed`, `version` or `not_finite`."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason


def encode(envelope: Envelope) -> bytes:
    """The bytes of an envelope. Raises `RefusedMessageError` when a number in it is not finite."""
    encoded = _encoder.encode(envelope)
    if _maybe_not_finite(encoded):
        _refuse_not_finite(encoded)
    return encoded


def decode(encoded: bytes) -> Envelope:
    """The envelope in these bytes. Raises `RefusedMessageError`."""
    try:
        envelope = _decoder.decode(encoded)
    except (ValueError, RecursionError) as error:  # msgspec's own errors, and invalid UTF-8, are ValueErrors
        version = _version_of(encoded)
        if version is not None and version != SCHEMA_VERSION:
            raise RefusedMessageError("version", _OTHER_VERSION.format(version)) from error
        raise RefusedMessageError("malformed", str(error)) from error
    if envelope.version != SCHEMA_VERSION:
        raise RefusedMessageError("version", _OTHER_VERSION.format(envelope.version))
    if _maybe_not_finite(encoded):
        _refuse_not_finite(encoded)
    return envelope


def _version_of(encoded: bytes) -> int | None:
    try:
        decoded = _any_decoder.decode(encoded)
    except (ValueError, RecursionError):
        return None
    if isinstance(decoded, list) and decoded and isinstance(decoded[0], int):
        return decoded[0]
    return None


def _refuse_not_finite(encoded: bytes) -> None:
    path = _path_to_not_finite(_any_decoder.decode(encoded), "message")
    if path is not None:
        raise RefusedMessageError("not_finite", f"{path} is NaN or infinite")


def _path_to_not_finite(node: Any, path: str) -> str | None:
    if isinstance(node, float):
        return None if math.isfinite(node) else path
    if isinstance(node, list):
        children = ((f"{path}[{index}]", child) for index, child in enumerate(node))
    elif isinstance(node, dict):
        children = ((f"{path}[{key!r}]", child) for key, child in node.items())
    else:
        return None
    for child_path, child in children:
        found = _path_to_not_finite(child, child_path)
        if found is not None:
            return found
    return None
