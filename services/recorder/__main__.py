"""`python -m services.recorder`: every bus message into segments; raw venue frames are the feeds' own.

Writes `<MM_RECORD>/bus/bus-*.seg.zst`; a record's source is the topic, its payload the envelope as it was on the bus
(the publisher's name is not kept).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from shared.codec import encode
from shared.core import Delivery, Event
from shared.messages import SCHEMA_VERSION, AnyMessage, Envelope
from shared.segments_io import SegmentWriter
from shared.service import EXIT_CONFIGURATION, Runtime, load_settings, run
from shared.settings import ServiceSettings

SOURCE = "bus"


class Recorder:
    """Writes each delivery; gaps need no record, the sequence numbers show them."""

    def __init__(self, writer: SegmentWriter, counters: dict[str, float]) -> None:
        self._writer = writer
        self._counters = counters

    def update(self, event: Event) -> Sequence[AnyMessage]:
        """Take one event; returns no messages."""
        if isinstance(event, Delivery):
            self._writer.write(event.message.ts_recv_ns, encode(envelope_of(event)), source=event.topic)
        return ()

    def count(self) -> None:
        """Bring the writer's counts into the heartbeat."""
        self._counters["written_records"] = self._writer.written
        self._counters["dropped_records"] = self._writer.dropped


def envelope_of(delivery: Delivery) -> Envelope:
    """The envelope a delivery came in, without its publisher's name."""
    return Envelope(SCHEMA_VERSION, "", delivery.epoch, delivery.seq, delivery.ts_pub_ns, delivery.message)


class WriterCollector(Collector):
    """What the writer counted."""

    def __init__(self, writer: SegmentWriter) -> None:
        self._writer = writer

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """Records written and dropped."""
        yield CounterMetricFamily("recorder_written_records", "Records in a segment.", value=self._writer.written)
        yield CounterMetricFamily(
            "recorder_dropped_records", "Records lost to a full or failing disk.", value=self._writer.dropped
        )


def main() -> None:
    """Record until stopped."""
    settings = load_settings(ServiceSettings)
    if settings.record is None:
        print("configuration: MM_RECORD: name the folder to record into", file=sys.stderr)
        raise SystemExit(EXIT_CONFIGURATION)
    with SegmentWriter(settings.record / SOURCE, SOURCE, keep_s=settings.record_keep_s) as writer:
        REGISTRY.register(WriterCollector(writer))

        def make_core(runtime: Runtime) -> Recorder:
            return Recorder(writer, runtime.counters)

        run("recorder", make_core, each_turn=Recorder.count)


if __name__ == "__main__":
    main()
