"""What the dashboards are made of: panels with a unit, thresholds and a text, from Grafana's Foundation SDK."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from grafana_foundation_sdk.builders import (
    common,
    dashboard,
    heatmap,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.models.common import (
    GraphDrawStyle,
    GraphTresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    LineInterpolation,
    ScaleDistribution,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    Dashboard,
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    DataTransformerConfig,
    RangeMap,
    RegexMap,
    SpecialValueMap,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
    VariableOption,
    VariableRefresh,
    VariableSort,
)
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

SOURCE = DataSourceRef(type_val="prometheus", uid="prometheus")
TAG = "market-maker"
GREEN, YELLOW, ORANGE, RED, GRAY, BLUE = "green", "yellow", "orange", "red", "gray", "blue"
USD, SHARES, SECONDS, PER_SECOND, RATIO, COUNT, BYTES = (
    "currencyUSD",
    "short",
    "s",
    "cps",
    "percentunit",
    "none",
    "bytes",
)

# Grafana's builders share no type that has these methods; a panel here is one of them.
Panel = timeseries.Panel | stat.Panel | statetimeline.Panel | table.Panel | heatmap.Panel
AnyPanel = TypeVar("AnyPanel", bound=Panel)


class Query(NamedTuple):
    """One PromQL query and the name of its lines."""

    expr: str
    legend: str = ""


class Bands(NamedTuple):
    """Thresholds: the color below the first bound, then each bound with the color from there on."""

    base: str
    steps: tuple[tuple[float, str], ...] = ()


PLAIN = Bands(GREEN)
LOSS = Bands(RED, ((0.0, GREEN),))


def bad_from(warn: float, bad: float) -> Bands:
    """Green, yellow from the first bound, red from the second."""
    return Bands(GREEN, ((warn, YELLOW), (bad, RED)))


class Mapped(NamedTuple):
    """What a number stands for."""

    text: str
    color: str


FEED_STATES = {0: Mapped("DOWN", RED), 1: Mapped("GAP", ORANGE), 2: Mapped("STALE", YELLOW), 3: Mapped("LIVE", GREEN)}
ACTIONS = {
    0: Mapped("PULL_QUOTES", RED),
    1: Mapped("WIDEN_SPREADS", YELLOW),
    2: Mapped("QUOTE_BID_ONLY", ORANGE),
    3: Mapped("QUOTE_ASK_ONLY", ORANGE),
    4: Mapped("QUOTE_BOTH", GREEN),
}
REGIMES = {
    0: Mapped("unknown", GRAY),
    1: Mapped("quiet", GREEN),
    2: Mapped("mean_reverting", BLUE),
    3: Mapped("trending_up", YELLOW),
    4: Mapped("trending_down", ORANGE),
    5: Mapped("volatile", RED),
}
YES_NO = {0: Mapped("no", RED), 1: Mapped("yes", GREEN)}


def numbered(metric: str, label: str, names: dict[int, Mapped]) -> str:
    """One number a market from a metric that is 1 for the label that holds: its place in `names`."""
    return (
        "max by (market) ("
        + " or ".join(
            f'({metric}{{market=~"$market",{label}="{each.text}"}} == 1) * {number}' for number, each in names.items()
        )
        + ")"
    )


def dress(
    panel: AnyPanel, title: str, text: str, unit: str, bands: Bands, queries: Sequence[Query], *, size: tuple[int, int],
    instant: bool = False, form: PromQueryFormat | None = None,
) -> AnyPanel:  # fmt: skip
    """What all panels have in common. `size` is columns of 24 and rows."""
    steps = [Threshold(None, bands.base), *(Threshold(bound, color) for bound, color in bands.steps)]
    panel.title(title).description(text).unit(unit).datasource(SOURCE).span(size[0]).height(size[1])
    panel.thresholds(dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps))
    for place, each in enumerate(queries):
        query = prometheus.Dataquery().expr(each.expr).ref_id(chr(ord("A") + place)).datasource(SOURCE)
        query.legend_format(each.legend or "__auto")
        if instant:
            query.instant()
        else:
            query.range()
        if form is not None:
            query.format(form)
        panel.with_target(query)
    return panel


def mappings(names: dict[int, Mapped]) -> list[ValueMap | RangeMap | RegexMap | SpecialValueMap]:
    """Numbers shown as words."""
    return [
        ValueMap(
            {str(number): ValueMappingResult(each.text, each.color, None, number) for number, each in names.items()}
        )
    ]


def lines(
    title: str, text: str, unit: str, *queries: Query, bands: Bands = PLAIN, size: tuple[int, int] = (12, 8),
    stacked: bool = False, steps: bool = False, low: float | None = None, high: float | None = None,
) -> timeseries.Panel:  # fmt: skip
    """Lines over time; `stacked` bars instead, or lines in `steps`."""
    panel = dress(timeseries.Panel(), title, text, unit, bands, queries, size=size)
    panel.legend(
        common.VizLegendOptions()
        .display_mode(LegendDisplayMode.TABLE)
        .placement(LegendPlacement.BOTTOM)
        .show_legend(True)
        .calcs(["lastNotNull", "max"])
    )
    panel.tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
    panel.show_points(VisibilityMode.NEVER).line_width(1)
    if bands.steps:
        panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(GraphTresholdsStyleMode.DASHED))
    if stacked:
        panel.draw_style(GraphDrawStyle.BARS).fill_opacity(70).line_width(0)
        panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL).group("A"))
    if steps:
        panel.line_interpolation(LineInterpolation.STEP_AFTER)
    if low is not None:
        panel.min(low)
    if high is not None:
        panel.max(high)
    return panel


def tile(
    title: str, text: str, unit: str, query: Query, *, bands: Bands = PLAIN, columns: int = 4,
    names: dict[int, Mapped] | None = None,
) -> stat.Panel:  # fmt: skip
    """The last number of each line, large."""
    panel = dress(stat.Panel(), title, text, unit, bands, [query], size=(columns, 4), instant=True)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    if names:
        panel.mappings(mappings(names))
    return panel


def states(
    title: str, text: str, names: dict[int, Mapped], *queries: Query, size: tuple[int, int] = (12, 6)
) -> statetimeline.Panel:
    """States over time, one row a line."""
    bounds = tuple((float(number), each.color) for number, each in names.items() if number > 0)
    panel = dress(statetimeline.Panel(), title, text, COUNT, Bands(names[0].color, bounds), queries, size=size)
    panel.fill_opacity(70).line_width(0)
    return panel.mappings(mappings(names)).merge_values(True).show_value(VisibilityMode.AUTO)


def rows(
    title: str, text: str, unit: str, query: Query, *, columns: dict[str, str], bands: Bands = PLAIN,
    size: tuple[int, int] = (12, 8),
) -> table.Panel:  # fmt: skip
    """A table of the newest numbers; `columns` are the labels shown, by their heading, the number last."""
    panel = dress(table.Panel(), title, text, unit, bands, [query], size=size, instant=True, form=PromQueryFormat.TABLE)
    organize = {
        "renameByName": columns,
        "indexByName": {name: place for place, name in enumerate(columns)},
        "excludeByName": {"Time": True},
    }
    keep = {"include": {"names": list(columns)}}
    panel.show_header(True)
    return panel.transformations(
        [
            DataTransformerConfig("filterFieldsByName", None, None, keep),
            DataTransformerConfig("organize", None, None, organize),
        ]
    )


def heat(title: str, text: str, unit: str, query: Query, *, size: tuple[int, int] = (12, 8)) -> heatmap.Panel:
    """A histogram over time."""
    panel = dress(heatmap.Panel(), title, text, unit, PLAIN, [query], size=size, form=PromQueryFormat.HEATMAP)
    panel.calculate(False).color(
        heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Oranges").steps(64)
    )
    panel.scale_distribution(common.ScaleDistributionConfig().type(ScaleDistribution.LINEAR))
    return panel.y_axis(heatmap.YAxisConfig().unit(unit)).cell_gap(1)


def variable(name: str, query: str, label: str) -> dashboard.QueryVariable:
    """A choice of several, all of them at first."""
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .query(query)
        .datasource(SOURCE)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".+")
        .current(VariableOption(True, "All", "$__all"))
    )


MARKET = ("market", "label_values(quoter_published_timestamp_seconds, market)", "Market")


def of_instances(services: str) -> tuple[str, str, str]:
    """The variable that chooses among the instances of some services."""
    return "instance", f'label_values(up{{job="market-maker",service=~"{services}"}}, instance)', "Instance"


def board(
    uid: str, title: str, text: str, variables: Sequence[tuple[str, str, str]],
    sections: Sequence[tuple[str, Sequence[Panel]]],
) -> Dashboard:  # fmt: skip
    """One dashboard; a section is a row title (empty: none) and its panels."""
    built = dashboard.Dashboard(title).uid(f"mm-{uid}").description(text).tags([TAG]).readonly()
    built.time("now-15m", "now").refresh("5s").timezone("utc").tooltip(DashboardCursorSync.CROSSHAIR)
    others = (
        dashboard.DashboardLink("Other dashboards").type(DashboardLinkType.DASHBOARDS).tags([TAG]).as_dropdown(True)
    )
    built.link(others.include_vars(True).keep_time(True))
    for each in variables:
        built.with_variable(variable(*each))
    for name, panels in sections:
        if name:
            built.with_row(dashboard.Row(name))
        for panel in panels:
            built.with_panel(panel)
    made = built.build()
    for number, panel_made in enumerate(made.panels or [], start=1):
        panel_made.id_val = number
    return made
