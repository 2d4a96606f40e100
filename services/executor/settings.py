"""Settings of paper execution (`MM_EXECUTOR_...`)."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from shared.exchange import QueueName
from shared.settings import StrictSettings


class ExecutorSettings(StrictSettings):
    """How long orders travel, and what is believed about the queue."""

    model_config = SettingsConfigDict(env_prefix="MM_EXECUTOR_", frozen=True, extra="forbid", env_ignore_empty=True)

    order_latency_s: float = Field(
        default=0.1, ge=0.0, le=5.0, description="From sending an order to its arrival at the venue."
    )
    cancel_latency_s: float = Field(
        default=0.1, ge=0.0, le=5.0, description="From sending a cancel to its arrival; until then the order can fill."
    )
    queue: QueueName = Field(
        default="probabilistic", description="Queue model: pessimistic, probabilistic or optimistic."
    )
    patience_ticks: int = Field(
        default=1,
        ge=0,
        le=10,
        description="An order that rests at most this many ticks further from the market than wanted stays: its place "
        "in the queue is worth more than the tick.",
    )
