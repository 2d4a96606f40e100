"""The dashboards as code: `make dashboards` writes them as JSON, which Grafana is provisioned with.

Every panel says its unit, its thresholds and what it shows; a test asks a real Prometheus, scraping the running system,
every query of every panel. Prices are dollars a share of CALL.
"""

from __future__ import annotations

import json
from pathlib import Path

from grafana_foundation_sdk.builders import timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.grafana.panels import (
    ACTIONS,
    BYTES,
    COUNT,
    FEED_STATES,
    GREEN,
    LOSS,
    MARKET,
    PER_SECOND,
    PLAIN,
    RATIO,
    RED,
    REGIMES,
    SECONDS,
    SHARES,
    USD,
    YELLOW,
    YES_NO,
    Bands,
    Query,
    bad_from,
    board,
    heat,
    lines,
    numbered,
    of_instances,
    rows,
    states,
    tile,
)

FOLDER = Path(__file__).parent / "dashboards"
OF_MARKET = 'market=~"$market"'
OF_INSTANCE = 'instance=~"$instance"'
RATE = "[$__rate_interval]"
OR_NONE = " or vector(0)"  # of a part that need not run: without it there are none


def overview() -> Dashboard:
    """What stands, why, and what it earns."""
    values = lines(
        "$market: fair value, book and our ladder (CALL)",
        "The fair value with its band, the best prices of the book, and every layer that we quote. Nothing of ours is "
        "drawn while quotes are pulled.",
        USD,
        Query('sink_fair_value{market=~"$market"}', "fair value"),
        Query('quoter_fair_low{market=~"$market"}', "band, low"),
        Query('quoter_fair_high{market=~"$market"}', "band, high"),
        Query('sink_book_price{market=~"$market",outcome="CALL"}', "book {{side}}"),
        Query('sink_ladder_price{market=~"$market",outcome="CALL"}', "our {{side}} {{layer}}"),
        bands=Bands(GREEN, ((0.0, GREEN), (1.0, RED))),
        size=(24, 11),
        steps=True,
    )
    values.repeat("market").repeat_direction("v").decimals(3)
    return board(
        "overview",
        "Overview",
        "Fair value against the book and our ladder, inventory, profit and where it came from, action and reasons.",
        [MARKET],
        [
            (
                "",
                [
                    tile(
                        "Parts up", "Parts that answer Prometheus.", RATIO,
                        Query('avg(up{job="market-maker"})'), bands=Bands(RED, ((1.0, GREEN),)), columns=3,
                    ),
                    tile(
                        "Alerts", "Firing alerts; one is the dead-man switch, which fires always.", COUNT,
                        Query('count(ALERTS{alertstate="firing"})'), bands=bad_from(2.0, 4.0), columns=3,
                    ),
                    tile(
                        "Action", "What stands in the quotes file.", COUNT,
                        Query(numbered("sink_action", "action", ACTIONS), "{{market}}"),
                        names=ACTIONS, columns=6,
                    ),
                    tile(
                        "Time left", "Seconds left in the period.", SECONDS,
                        Query(f"max by (market) (quoter_time_to_expiry_seconds{{{OF_MARKET}}})", "{{market}}"),
                        bands=Bands(RED, ((30.0, YELLOW), (60.0, GREEN))),
                    ),
                    tile(
                        "Inventory", "CALL less PUT shares.", SHARES,
                        Query(
                            f'sum by (market) (hedger_position_shares{{{OF_MARKET},outcome="CALL"}}) - '
                            f'sum by (market) (hedger_position_shares{{{OF_MARKET},outcome="PUT"}})',
                            "{{market}}",
                        ),
                        bands=Bands(RED, ((-400.0, YELLOW), (-250.0, GREEN), (250.0, YELLOW), (400.0, RED))),
                    ),
                    tile(
                        "Profit, 24 hours", "Realized net of fees, and what is held at the fair value.", USD,
                        Query(f"market:pnl_usd:day{{{OF_MARKET}}}", "{{market}}"), bands=LOSS,
                    ),
                ],
            ),
            ("Quotes", [values]),
            (
                "Action and reasons",
                [
                    states(
                        "Action", "What stood in the quotes file.", ACTIONS,
                        Query(numbered("sink_action", "action", ACTIONS), "{{market}}"), size=(12, 8),
                    ),
                    lines(
                        "Reasons", "How often a quote set gave each reason.", PER_SECOND,
                        Query(
                            f"topk(12, sum by (reason) (market_reason:quoter_reasons:rate1m{{{OF_MARKET}}}))",
                            "{{reason}}",
                        ),
                        stacked=True, size=(12, 8), low=0.0,
                    ),
                ],
            ),
            (
                "Money",
                [
                    lines(
                        "Inventory", "Shares held in the current period.", SHARES,
                        Query(f"hedger_position_shares{{{OF_MARKET}}}", "{{market}} {{outcome}}"),
                        bands=Bands(GREEN, ((400.0, RED),)), steps=True, size=(8, 8),
                    ),
                    lines(
                        "Profit of the current period", "Realized; what is held at the fair value; the worst case.",
                        USD,
                        Query(f"hedger_realized_pnl_usd{{{OF_MARKET}}}", "{{market}} realized"),
                        Query(f"hedger_unrealized_pnl_usd{{{OF_MARKET}}}", "{{market}} at fair value"),
                        Query(f"hedger_worst_case_usd{{{OF_MARKET}}}", "{{market}} worst case"),
                        bands=LOSS, size=(8, 8),
                    ),
                    lines(
                        "Where profit came from",
                        "Spread captured, inventory and settlement moves, fees, rebates; since the hedger started. "
                        "unattributed: no mid was known at the fill.",
                        USD,
                        Query(f"sum by (part) (hedger_attribution_usd{{{OF_MARKET}}})", "{{part}}"),
                        bands=LOSS, size=(8, 8),
                    ),
                ],
            ),
            (
                "Why these prices",
                [
                    lines(
                        "Half-spread of the inner layer, and its floors", "The largest floor decides when it binds.",
                        USD,
                        Query(
                            f'quoter_breakdown{{{OF_MARKET},term=~"half_spread|floor_.+"}}', "{{market}} {{term}}"
                        ),
                        bands=bad_from(0.05, 0.1), low=0.0, size=(8, 8),
                    ),
                    lines(
                        "Spread factors", "What multiplies the base spread.", COUNT,
                        Query(f'quoter_breakdown{{{OF_MARKET},term=~"factor_.+"}}', "{{market}} {{term}}"),
                        bands=bad_from(2.0, 4.0), low=0.0, size=(8, 8),
                    ),
                    lines(
                        "Skews and projection", "What leans the prices: inventory, momentum, the projected oracle.",
                        USD,
                        Query(
                            f'quoter_breakdown{{{OF_MARKET},term=~"inventory_skew|momentum_skew|projection"}}',
                            "{{market}} {{term}}",
                        ),
                        bands=Bands(GREEN, ((0.05, YELLOW),)), size=(8, 8),
                    ),
                ],
            ),
        ],
    )  # fmt: skip


def feeds() -> Dashboard:
    """Whether what comes in can be relied on."""
    return board(
        "feeds",
        "Feeds",
        "State, age, rate and faults of every stream of every venue.",
        [of_instances("feed-.*")],
        [
            (
                "",
                [
                    tile(
                        "Streams live", "Share of all streams.", RATIO,
                        Query(f"avg(feed_state{{{OF_INSTANCE}}} == bool 3)"),
                        bands=Bands(RED, ((1.0, GREEN),)), columns=6,
                    ),
                    tile(
                        "Least delay", "From an exchange's stamp to our receipt. Below zero: a clock is wrong.",
                        SECONDS,
                        Query("venue:feed_least_delay_seconds:min2m", "{{venue}}"),
                        bands=Bands(RED, ((-0.05, GREEN), (0.3, YELLOW), (0.5, RED))), columns=9,
                    ),
                    tile(
                        "Settlements that disagree", "The venue's outcome against our own recomputation.", COUNT,
                        Query('sum by (market) (sink_settlements_total{agrees="no"})', "{{market}}"),
                        bands=bad_from(1.0, 1.0), columns=9,
                    ),
                ],
            ),
            (
                "Freshness",
                [
                    states(
                        "State of each stream", "What the feed judges of it; anything but LIVE is not quoted on.",
                        FEED_STATES,
                        Query(f"feed_state{{{OF_INSTANCE}}}", "{{venue}} {{channel}} {{subject}}"), size=(12, 12),
                    ),
                    lines(
                        "Age of prices", "Seconds since the last data; oracle prices by their own stamps.", SECONDS,
                        Query(
                            "max by (venue, channel, subject) ("
                            f'feed_age_seconds{{{OF_INSTANCE},channel=~"SpotQuote|OraclePrice|OutcomeBook"}})',
                            "{{venue}} {{channel}} {{subject}}",
                        ),
                        bands=bad_from(3.0, 5.0), low=0.0, size=(12, 12),
                    ),
                ],
            ),
            (
                "Traffic",
                [
                    lines(
                        "Frames", "Frames received.", PER_SECOND,
                        Query(f"sum by (venue) (rate(feed_frames_total{{{OF_INSTANCE}}}{RATE}))", "{{venue}}"), low=0.0,
                    ),
                    lines(
                        "Delay", "The least delay of each second with data; its floor is distance plus clock error.",
                        SECONDS, Query(f"feed_least_delay_seconds{{{OF_INSTANCE}}}", "{{venue}}"),
                        bands=bad_from(0.3, 0.5),
                    ),
                ],
            ),
            (
                "Faults",
                [
                    lines(
                        "Gaps", "Losses of continuity, each repaired by a snapshot.", PER_SECOND,
                        Query(
                            f"sum by (venue, channel) (rate(feed_gaps_total{{{OF_INSTANCE}}}{RATE}))",
                            "{{venue}} {{channel}}",
                        ),
                        bands=bad_from(0.01, 0.1), low=0.0, size=(8, 8),
                    ),
                    lines(
                        "Reconnects", "Connections that ended, by why.", PER_SECOND,
                        Query(
                            f"sum by (venue, reason) (rate(feed_reconnects_total{{{OF_INSTANCE}}}{RATE}))",
                            "{{venue}} {{reason}}",
                        ),
                        bands=bad_from(0.01, 0.1), low=0.0, size=(8, 8),
                    ),
                    lines(
                        "Refused frames", "Frames, or parts of them, that were not believed.", PER_SECOND,
                        Query(
                            f"sum by (venue, reason) (rate(feed_dropped_total{{{OF_INSTANCE}}}{RATE}))",
                            "{{venue}} {{reason}}",
                        ),
                        bands=bad_from(0.1, 1.0), low=0.0, size=(8, 8),
                    ),
                ],
            ),
        ],
    )  # fmt: skip


def analyzers() -> Dashboard:
    """The signals."""
    both = f"{OF_MARKET},{OF_INSTANCE}"
    annual = "* 31536000 ^ 0.5"
    return board(
        "analyzers",
        "Analyzers",
        "Lead-lag, regime, volatility and flow: what they say, whether they are warm, how old they are.",
        [MARKET, of_instances("analyzer-.*")],
        [
            (
                "",
                [
                    states(
                        "Warm", "Whether a signal may be relied on.", YES_NO,
                        Query(f"max by (market, signal) (analyzer_warm{{{both}}})", "{{market}} {{signal}}"),
                        size=(12, 8),
                    ),
                    lines(
                        "Age of signals", "Age of the data behind the last signal that the quoter received.", SECONDS,
                        Query(f"quoter_signal_age_seconds{{{OF_MARKET}}}", "{{market}} {{signal}}"),
                        bands=bad_from(3.0, 5.0), low=0.0,
                    ),
                ],
            ),
            (
                "Volatility",
                [
                    lines(
                        "Volatility a year", "Blended as quoted on, realized from prices, implied by the CALL book.",
                        RATIO,
                        Query(f"volatility_per_sqrt_second{{{both}}} {annual}", "{{market}} {{kind}}"),
                        bands=bad_from(1.5, 3.0), low=0.0, size=(8, 8),
                    ),
                    lines(
                        "Relative error", "One standard error of the volatility.", RATIO,
                        Query(f"volatility_relative_error_ratio{{{both}}}", "{{market}}"),
                        bands=bad_from(0.3, 0.5), low=0.0, size=(8, 8),
                    ),
                    lines(
                        "Spikes and jumps", "1 while the spike alarm is on; jumps a minute.", COUNT,
                        Query(f"volatility_spike{{{both}}}", "{{market}} spike"),
                        Query(f"60 * volatility_jumps_per_second{{{both}}}", "{{market}} jumps a minute"),
                        bands=bad_from(1.0, 5.0), low=0.0, size=(8, 8),
                    ),
                ],
            ),
            (
                "Regime",
                [
                    states(
                        "Regime", "State of the underlying.", REGIMES,
                        Query(numbered("regime_state", "regime", REGIMES), "{{market}}"), size=(8, 8),
                    ),
                    lines(
                        "Momentum", "Drift in its standard deviations; beyond 2 it moves quotes.", COUNT,
                        Query(f"regime_momentum_zscore{{{both}}}", "{{market}}"),
                        bands=Bands(RED, ((-3.0, YELLOW), (-2.0, GREEN), (2.0, YELLOW), (3.0, RED))), size=(8, 8),
                    ),
                    lines(
                        "Ratios", "Variance ratio (1: random walk), efficiency ratio, probability of volatile.", COUNT,
                        Query(
                            f'{{__name__=~"regime_(variance_ratio|efficiency_ratio|volatile_probability)",{both}}}',
                            "{{market}} {{__name__}}",
                        ),
                        bands=bad_from(1.5, 2.0), low=0.0, size=(8, 8),
                    ),
                ],
            ),
            (
                "Flow and lead",
                [
                    lines(
                        "Toxicity", "How informed the flow is; and VPIN once it has enough volume.", RATIO,
                        Query(f'{{__name__=~"flow_(toxicity|vpin)_ratio",{both}}}', "{{market}} {{__name__}}"),
                        bands=bad_from(0.5, 0.8), low=0.0, high=1.0, size=(8, 8),
                    ),
                    lines(
                        "Imbalance", "Signed flow in CALL units, and the leading venue's order flow.", COUNT,
                        Query(
                            f'{{__name__=~"flow_(imbalance|lead_order_flow)_ratio",{both}}}', "{{market}} {{__name__}}"
                        ),
                        bands=Bands(YELLOW, ((-0.5, GREEN), (0.5, YELLOW))), low=-1.0, high=1.0, size=(8, 8),
                    ),
                    lines(
                        "Markouts", "Dollars a share: takers' gain, their impact, and what our own fills earned.", USD,
                        Query(
                            f'{{__name__=~"flow_(markout|impact|own_markout)_usd",{both}}}', "{{market}} {{__name__}}"
                        ),
                        bands=LOSS, size=(8, 8),
                    ),
                    lines(
                        "Lead-lag correlation", "The largest, and what a lead must exceed to be believed.", COUNT,
                        Query(f"lead_lag_correlation{{{both}}}", "{{market}}"),
                        Query(f"lead_lag_threshold{{{both}}}", "{{market}} threshold"),
                        bands=Bands(RED, ((0.1, YELLOW), (0.3, GREEN))), low=0.0, high=1.0,
                    ),
                    rows(
                        "Leader", "The venue that leads the oracle.", COUNT,
                        Query(f"max by (market, venue) (lead_lag_leader{{{both}}})"),
                        columns={"market": "Market", "venue": "Leading venue"}, bands=PLAIN,
                    ),
                ],
            ),
        ],
    )  # fmt: skip


def latency() -> Dashboard:
    """From a tick to a quote, to a file, to the ledger."""
    stages = f"tick_to_quote_seconds_bucket{{{OF_INSTANCE}}}{RATE}"
    total = f'tick_to_quote_seconds_bucket{{{OF_INSTANCE},stage="total"}}{RATE}'

    def quantiles(metric: str) -> list[Query]:
        window = f"increase({metric}_bucket{{{OF_INSTANCE}}}[$__range])"
        return [
            Query(f"histogram_quantile({q}, sum by (le) ({window}))", f"p{round(100 * q)}") for q in (0.5, 0.9, 0.99)
        ]

    def by_stage(quantile: float) -> timeseries.Panel:
        return lines(
            f"p{round(100 * quantile)} by stage",
            "feed: venue frame to bus; bus: publish to receipt; compute: one update of the quoter; total: venue frame "
            "to quote set.",
            SECONDS,
            Query(f"histogram_quantile({quantile}, sum by (stage, le) (rate({stages})))", "{{stage}}"),
            bands=bad_from(0.02, 0.1), low=0.0, size=(8, 9),
        )  # fmt: skip

    return board(
        "latency",
        "Latency by stage",
        "How long a tick takes to become a quote, and what comes after.",
        [of_instances(".*")],
        [
            ("Tick to quote", [by_stage(0.5), by_stage(0.9), by_stage(0.99)]),
            (
                "",
                [
                    heat(
                        "Total", "Venue frame to quote set.", SECONDS,
                        Query(f"sum by (le) (increase({total}))", "{{le}}"),
                    ),
                    lines(
                        "Quote sets", "Published, by market and action.", PER_SECOND,
                        Query("market_action:quoter_quote_sets:rate1m", "{{market}} {{action}}"), stacked=True, low=0.0,
                        size=(12, 8),
                    ),
                ],
            ),
            (
                "After the quote",
                [
                    lines(
                        "Writing files", "Making and replacing the files that were due.", SECONDS,
                        *quantiles("sink_write_seconds"), bands=bad_from(0.01, 0.05), low=0.0, size=(8, 8),
                    ),
                    lines(
                        "Booking a fill", "From handing it over to the ledger's answer.", SECONDS,
                        *quantiles("executor_booking_seconds"), bands=bad_from(0.1, 1.0), low=0.0, size=(8, 8),
                    ),
                    lines(
                        "Ledger commit", "Writing one batch of entries durably.", SECONDS,
                        *quantiles("hedger_commit_seconds"), bands=bad_from(0.02, 0.1), low=0.0, size=(8, 8),
                    ),
                ],
            ),
        ],
    )  # fmt: skip


def positions() -> Dashboard:
    """What we hold and what it is worth."""

    def held(name: str) -> str:
        return f"{name}{{{OF_MARKET}}}"

    return board(
        "positions",
        "Positions",
        "What we hold, what it cost, what it is worth, which orders are open, and the ledger behind it.",
        [MARKET],
        [
            (
                "",
                [
                    tile(
                        "Profit, 24 hours", "Realized net of fees, and what is held at the fair value.", USD,
                        Query(held("market:pnl_usd:day"), "{{market}}"), bands=LOSS, columns=6,
                    ),
                    tile(
                        "Worst case", "Of the current period: the worse outcome, all open orders filled to our harm.",
                        USD,
                        Query(held("hedger_worst_case_usd"), "{{market}}"),
                        bands=Bands(RED, ((-500.0, YELLOW), (-250.0, GREEN))), columns=6,
                    ),
                    tile(
                        "Fills", "Of the current period.", COUNT, Query(held("hedger_period_fills"), "{{market}}"),
                        columns=4,
                    ),
                    tile(
                        "Fills waiting", "Fills that the ledger has not answered.", COUNT,
                        Query(f"sum(executor_outbox_fills){OR_NONE}"), bands=bad_from(1.0, 10.0),
                    ),
                    tile(
                        "Outcomes missing", "Periods over whose outcome nobody booked.", COUNT,
                        Query("sum(hedger_waiting_periods)"), bands=bad_from(3.0, 10.0),
                    ),
                ],
            ),
            (
                "Held",
                [
                    lines(
                        "Shares", "Held in the current period.", SHARES,
                        Query(held("hedger_position_shares"), "{{market}} {{outcome}}"),
                        bands=Bands(GREEN, ((400.0, RED),)), steps=True,
                    ),
                    lines(
                        "Average cost", "Dollars a share of what is held.", USD,
                        Query(held("hedger_average_price"), "{{market}} {{outcome}}"),
                        bands=Bands(GREEN, ((0.9, YELLOW),)), low=0.0, high=1.0, steps=True,
                    ).no_value("nothing is held"),
                    lines(
                        "Mergeable pairs", "One CALL and one PUT are worth a dollar together.", SHARES,
                        Query(held("hedger_mergeable_pairs"), "{{market}}"), bands=bad_from(200.0, 400.0), low=0.0,
                        steps=True,
                    ),
                    lines(
                        "Profit of the current period", "Realized; held at the fair value; held and sold now.", USD,
                        Query(held("hedger_realized_pnl_usd"), "{{market}} realized"),
                        Query(held("hedger_unrealized_pnl_usd"), "{{market}} at fair value"),
                        Query(held("hedger_liquidation_pnl_usd"), "{{market}} sold now"),
                        bands=LOSS,
                    ),
                ],
            ),
            (
                "Where profit came from",
                [
                    lines(
                        "By part", "Since the hedger started; open periods at the last mid.", USD,
                        Query(held("hedger_attribution_usd"), "{{market}} {{part}}"), bands=LOSS,
                    ),
                    lines(
                        "Fees and rebates", "Of the current period; rebates are expected, not yet paid.", USD,
                        Query(held("hedger_period_fees_usd"), "{{market}} fees"),
                        Query(held("hedger_period_rebates_usd"), "{{market}} rebates"),
                        bands=bad_from(10.0, 50.0), low=0.0,
                    ),
                ],
            ),
            (
                "Paper execution (with --dry-run)",
                [
                    lines(
                        "Open orders", "Paper orders that can still fill.", COUNT,
                        Query(held("executor_live_orders"), "{{market}}"), bands=bad_from(40.0, 100.0), low=0.0,
                        size=(8, 8),
                    ),
                    lines(
                        "What happened to orders", "Placed, canceled, rejected, skipped, filled; and why.", PER_SECOND,
                        Query(
                            f"topk(12, sum by (what, reason) (rate(executor_orders_total{{{OF_MARKET}}}{RATE})))",
                            "{{what}} {{reason}}",
                        ),
                        stacked=True, low=0.0, size=(8, 8),
                    ),
                    lines(
                        "Filled", "Shares filled.", SHARES,
                        Query(f"increase(executor_filled_shares_total{{{OF_MARKET}}}[$__range])",
                              "{{market}} {{outcome}}"),
                        low=0.0, size=(8, 8),
                    ),
                ],
            ),
            (
                "Ledger",
                [
                    lines(
                        "Ledger", "Entries that stand in it, and errors.", COUNT,
                        Query("hedger_ledger_entries", "entries"), Query("hedger_ledger_errors_total", "errors"),
                        low=0.0,
                    ),
                    lines(
                        "Bookings", "Booked by kind.", COUNT,
                        Query("sum by (kind) (hedger_entries_booked_total)", "{{kind}}"), low=0.0,
                    ),
                ],
            ),
        ],
    )  # fmt: skip


def processes() -> Dashboard:
    """The machine room."""
    names = "{{service}} {{instance}}"
    return board(
        "processes",
        "Processes and bus",
        "Every instance: whether it lives, what it needs, what it sends, what it lost.",
        [of_instances(".*")],
        [
            (
                "",
                [
                    states(
                        "Up", "Whether it answers Prometheus.", YES_NO,
                        Query(f'up{{job="market-maker",{OF_INSTANCE}}}', names), size=(12, 12),
                    ),
                    rows(
                        "Age", "Seconds since each part began to serve, with its name on the bus.", SECONDS,
                        Query(f"time() - service_start_time_seconds{{{OF_INSTANCE}}}"),
                        columns={"service": "Service", "name": "Name", "instance": "Instance", "Value": "Age"},
                        bands=Bands(YELLOW, ((60.0, GREEN),)), size=(12, 12),
                    ),
                    lines(
                        "Memory", "Resident memory.", BYTES,
                        Query(f'process_resident_memory_bytes{{job="market-maker",{OF_INSTANCE}}}', names),
                        bands=bad_from(500e6, 1e9), low=0.0,
                    ),
                    lines(
                        "Processor", "Share of one core.", RATIO,
                        Query(f'rate(process_cpu_seconds_total{{job="market-maker",{OF_INSTANCE}}}{RATE})', names),
                        bands=bad_from(0.7, 0.9), low=0.0,
                    ),
                    lines(
                        "Open files", "File descriptors in use.", COUNT,
                        Query(f'process_open_fds{{job="market-maker",{OF_INSTANCE}}}', names),
                        bands=bad_from(500.0, 900.0), low=0.0,
                    ),
                    lines(
                        "Simulator", "Events of the simulated world, and faults that are on.", PER_SECOND,
                        Query(f"sum(rate(simulator_events_total{RATE})){OR_NONE}", "events"),
                        Query(f"sum(simulator_active_faults){OR_NONE}", "faults"), low=0.0,
                    ),
                ],
            ),
            (
                "Bus",
                [
                    lines(
                        "Published", "Messages published.", PER_SECOND,
                        Query(
                            f"sum by (service) (rate(bus_published_messages_total{{{OF_INSTANCE}}}{RATE}))",
                            "{{service}}",
                        ),
                        low=0.0, size=(8, 8),
                    ),
                    lines(
                        "Forwarded", "Messages through the broker.", PER_SECOND,
                        Query(f"sum(rate(broker_forwarded_messages_total{{{OF_INSTANCE}}}{RATE}))", "forwarded"),
                        bands=bad_from(50_000.0, 200_000.0), low=0.0, size=(8, 8),
                    ),
                    lines(
                        "Last values", "Topics that the broker keeps.", COUNT,
                        Query(f"broker_cached_topics{{{OF_INSTANCE}}}", "topics"), bands=bad_from(5_000.0, 20_000.0),
                        low=0.0, size=(8, 8),
                    ),
                    lines(
                        "Lost", "Messages missing from the sequence.", PER_SECOND,
                        Query(
                            f"sum by (service) (rate(bus_lost_messages_total{{{OF_INSTANCE}}}{RATE}))",
                            "{{service}}",
                        ),
                        bands=bad_from(0.01, 1.0), low=0.0, size=(8, 8),
                    ),
                    lines(
                        "Dropped", "Messages dropped at the high-water mark.", PER_SECOND,
                        Query(
                            f"sum by (service) (rate(bus_dropped_messages_total{{{OF_INSTANCE}}}{RATE}))",
                            "{{service}}",
                        ),
                        bands=bad_from(0.01, 1.0), low=0.0, size=(8, 8),
                    ),
                    lines(
                        "Superseded", "Snapshots skipped because a newer one was at hand: the part is behind.",
                        PER_SECOND,
                        Query(
                            f"sum by (service) (rate(bus_superseded_messages_total{{{OF_INSTANCE}}}{RATE}))",
                            "{{service}}",
                        ),
                        bands=bad_from(100.0, 1_000.0), low=0.0, size=(8, 8),
                    ),
                ],
            ),
            (
                "Files",
                [
                    lines(
                        "Files written", "Quotes and status files replaced.", PER_SECOND,
                        Query(f"sum(rate(sink_files_written_total{RATE}))", "written"),
                        Query(f"sum(rate(sink_write_errors_total{RATE}))", "refused by the disk"),
                        low=0.0, size=(8, 8),
                    ),
                    lines(
                        "Lease expiries", "Quote sets whose lease ran out before the next one came.", COUNT,
                        Query("sum by (market) (increase(sink_lease_expiries_total[$__range]))", "{{market}}"),
                        bands=bad_from(1.0, 10.0), low=0.0, size=(8, 8),
                    ),
                    lines(
                        "Recorder", "Records written and lost; nothing while nobody records.", PER_SECOND,
                        Query(f"sum(rate(recorder_written_records_total{RATE})){OR_NONE}", "written"),
                        Query(f"sum(rate(recorder_dropped_records_total{RATE})){OR_NONE}", "lost"),
                        low=0.0, size=(8, 8),
                    ),
                ],
            ),
        ],
    )  # fmt: skip


def all_dashboards() -> dict[str, Dashboard]:
    """Every dashboard, by the name of its file."""
    boards = (overview(), feeds(), analyzers(), latency(), positions(), processes())
    return {f"{str(each.uid).removeprefix('mm-')}.json": each for each in boards}


def as_json(made: Dashboard) -> str:
    """What Grafana reads."""
    return json.dumps(made, cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def main() -> None:
    """Write all of them; a dashboard that is no more is removed."""
    boards = all_dashboards()
    FOLDER.mkdir(exist_ok=True)
    for path in FOLDER.glob("*.json"):
        if path.name not in boards:
            path.unlink()
    for name, made in boards.items():
        (FOLDER / name).write_text(as_json(made))


if __name__ == "__main__":
    main()
