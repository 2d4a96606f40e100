from __future__ import annotations

import pytest
from pydantic import ValidationError

from services.executor.settings import ExecutorSettings
from shared.settings import ServiceSettings


def test_the_variables_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MM_EXECUTOR_ORDER_LATENCY_S", "0.25")
    monkeypatch.setenv("MM_EXECUTOR_QUEUE", "pessimistic")
    settings = ExecutorSettings()
    assert (settings.order_latency_s, settings.cancel_latency_s, settings.queue) == (0.25, 0.1, "pessimistic")
    assert ServiceSettings().markets == "btc-15m"  # they are no mistake of anybody else's


def test_a_misspelt_variable_is_named_with_what_was_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MM_EXECUTOR_QUEUES", "pessimistic")
    with pytest.raises(ValidationError, match="did you mean MM_EXECUTOR_QUEUE"):
        ExecutorSettings()


def test_an_unknown_queue_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MM_EXECUTOR_QUEUE", "lucky")
    with pytest.raises(ValidationError):
        ExecutorSettings()
