"""What the command line of the hedge analysis touches: files, the clock, and the running hedger."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from services.hedger.hedge_inputs import HedgeError
from services.hedger.hedge_parse import parse_object
from shared.bus import BusTimeoutError, request
from shared.requests import Answer, HedgeQuery, decode_answer, encode_question

BOOK_FILES = {"call": "call.json", "put": "put.json"}
ANSWER_WITHIN_S = 3.0


def now_ns() -> int:
    """Nanoseconds since 1970."""
    return time.time_ns()


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in this file. Raises HedgeError."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise HedgeError(str(path), error.strerror or "not readable", "name a file that can be read") from None
    return parse_object(raw, name=str(path))


def read_prices(path: Path) -> dict[str, Any]:
    """A prices file; of a folder its `call.json` and `put.json`, whichever are there. Raises HedgeError."""
    if not path.is_dir():
        return read_object(path)
    found = {key: read_object(path / name) for key, name in BOOK_FILES.items() if (path / name).exists()}
    if not found:
        raise HedgeError(str(path), "neither call.json nor put.json in it", "name the folder that holds them")
    return found


def ask_hedger(*, address: str, market: str) -> Answer:
    """The running hedger's answer to `HedgeQuery`. Raises HedgeError when there is none, or an unreadable one."""
    try:
        raw = request(address, encode_question(HedgeQuery(market=market)), timeout_s=ANSWER_WITHIN_S)
        return decode_answer(raw)
    except BusTimeoutError as error:
        raise HedgeError("--ask-hedger", str(error), "start mm_bot.py, or name its bus with --bus") from None
    except ValueError as error:
        raise HedgeError("--ask-hedger", str(error), "ask a hedger of this version, on the right --bus") from None
