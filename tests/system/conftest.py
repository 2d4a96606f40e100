from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module", autouse=True)
def no_cyclic_garbage_collection() -> Iterator[None]:
    """Virtual systems keep what they saw; looking through it for cycles again and again takes a quarter of the time."""
    gc.disable()
    yield
    gc.enable()
    gc.collect()
