"""The page shows every number of the study, explains what it cannot show, and needs nothing but itself."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from backtest.plots import drawings
from backtest.report import SECTIONS, Paired, Slice, Source, Study
from backtest.report_page_io import numbers_of, write_report
from backtest.report_words import chance, study_digits, usd, why_absent
from tests.backtest.report_builders import estimate, headline, study, whole_study


def page_of(written: Study, folder: Path) -> str:
    """The source of the page."""
    return write_report(written, folder).read_text(encoding="utf-8")


def words_of(page: str) -> str:
    """What a reader sees of the page, on one line; figures left out."""
    bare = re.sub(r"<(style|svg)\b.*?</\1>", " ", page, flags=re.DOTALL)
    joined = re.sub(r"</?(span|strong)[^>]*>", "", bare)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", joined)).split())


def section_of(page: str, section: str) -> str:
    """What a reader sees of one section."""
    return words_of(page.split(f'<h2 id="{section}">')[1].split("<h2 ")[0])


def estimates_of(thing: Any) -> Iterator[dict[str, Any]]:
    """Every estimate in a part of the JSON."""
    if isinstance(thing, dict):
        if set(thing) == {"mean", "low", "high", "periods"}:
            yield thing
        else:
            for each in thing.values():
                yield from estimates_of(each)
    elif isinstance(thing, list):
        for each in thing:
            yield from estimates_of(each)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Path]:
    """A whole study, and the folder it was written to."""
    folder = tmp_path_factory.mktemp("report")
    found = whole_study()
    write_report(found, folder)
    return found, folder


def test_every_estimate_of_the_json_stands_in_its_section(whole: tuple[Study, Path]) -> None:
    shown, folder = whole
    page = (folder / "index.html").read_text(encoding="utf-8")
    numbers = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    seen = 0
    for section in SECTIONS:
        told = section_of(page, section)
        digits = 4 if section in ("markouts", "breakdowns") else study_digits(shown)
        for each in estimates_of(numbers[section]):
            assert f"{usd(each['mean'], digits)} [{usd(each['low'], digits)}, {usd(each['high'], digits)}]" in told
            seen += 1
    assert seen > 60


def test_every_count_and_amount_of_the_json_stands_in_its_section(whole: tuple[Study, Path]) -> None:
    shown, folder = whole
    page = (folder / "index.html").read_text(encoding="utf-8")
    numbers = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    told = {section: section_of(page, section) for section in (*SECTIONS, "run")}
    for row in numbers["bracket"]:
        assert f"{usd(row['total_usd'])} {row['fills']:,} {row['shares']:,.0f}" in told["bracket"]
    for row in numbers["periods"]:
        assert f"{usd(row['pnl_usd'])} {row['fills']} {row['shares']:,.0f} {row['winner']}" in told["periods"]
    for row in numbers["win_lose"]:
        assert f"{row['shares']:,.0f} {usd(row['price_usd'], 4)} {usd(row['pnl_usd'])}" in told["win_lose"]
    for by, slices in numbers["breakdowns"].items():
        assert f"By {by}" in told["breakdowns"]
        for row in slices:
            assert f"{row['name']} {row['fills']:,} {row['shares']:,.0f} {usd(row['pnl_usd'])}" in told["breakdowns"]
    uptime = numbers["uptime"]
    for name, held_s in {**uptime["action_s"], **uptime["reason_s"]}.items():
        if held_s:
            assert f"{name} {held_s:,.0f} {100.0 * held_s / uptime['observed_s']:.1f} %" in told["uptime"]
    for row in [*numbers["ablation"], *numbers["baselines"]]:
        assert f"{chance(row['p'])} {row['difference_usd']['periods']}" in told["ablation"] + told["baselines"]
    for reason, count in numbers["source"]["drops"].items():
        assert f"{reason} {count}" in told["run"]
    for setting in numbers["settings"]:
        assert f"{setting['name']} {setting['usual']} {setting['chosen']}" in told["run"]
    for note in (*shown.source.notes, *shown.model.remarks):
        assert note in told["run"]
    assert "31.2 % of the splits" in told["optimizer"]
    assert "not explained by the parts: $0.000" in told["attribution"]


def test_the_headline_stands_before_the_sections_and_the_verdict_first(whole: tuple[Study, Path]) -> None:
    shown, folder = whole
    page = (folder / "index.html").read_text(encoding="utf-8")
    top = words_of(page.split('<h2 id="caveats">')[0])
    numbers = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    for sentence in numbers["words"]["verdict"]:
        assert sentence in top
    head = shown.headline
    expected = (usd(head.total_usd), f"{head.won}, {head.lost}", f"{head.fills:,}", usd(head.max_drawdown_usd))
    for each in (*expected, "64.3 %", "91.3 %", "order to venue 61 ms", shown.config_hash):
        assert each in top


def test_the_contents_lead_to_every_section(whole: tuple[Study, Path]) -> None:
    page = (whole[1] / "index.html").read_text(encoding="utf-8")
    links = re.findall(r'href="#([\w-]+)"', page.split("<nav")[1].split("</nav>")[0])
    assert links == ["caveats", *SECTIONS, "run"]
    for link in links:
        assert page.count(f'<h2 id="{link}"') == 1


def test_the_page_needs_no_network_and_no_other_file(whole: tuple[Study, Path]) -> None:
    page = (whole[1] / "index.html").read_text(encoding="utf-8")
    assert "//" not in page
    assert not re.search(r"<(script|link|img|iframe)\b|@import| src=", page)
    assert re.findall(r'href="(?!#)', page) == []


def test_ids_are_unique_and_every_reference_has_its_target(whole: tuple[Study, Path]) -> None:
    page = (whole[1] / "index.html").read_text(encoding="utf-8")
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    references = set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', page))
    assert {one or other for one, other in references} <= set(ids)


def test_the_figures_take_the_colors_of_the_page_in_light_and_dark(whole: tuple[Study, Path]) -> None:
    page = (whole[1] / "index.html").read_text(encoding="utf-8")
    assert "prefers-color-scheme: dark" in page
    figures = "".join(re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL))
    assert "var(--ink)" in figures
    assert not re.search(r"#[0-9a-f]{6}\b", figures)


def test_every_plot_is_on_the_page_and_a_picture_of_its_own(whole: tuple[Study, Path]) -> None:
    shown, folder = whole
    page = (folder / "index.html").read_text(encoding="utf-8")
    drawn = drawings(shown)
    assert {path.stem for path in (folder / "plots").iterdir()} == set(drawn)
    assert len(drawn) == 15
    for name, drawing in drawn.items():
        assert f'<figure id="figure-{name}">' in page
        assert drawing.caption in unescape(page)


def test_the_same_study_gives_the_same_page(tmp_path: Path) -> None:
    def written() -> str:
        row = Slice("late", 1, 20.0, 0.5)
        return page_of(
            study(baselines=(Paired("mid", None, estimate(0.1, 0.2)),), breakdowns={"phase": (row,)}), tmp_path
        )

    first = written()
    assert first.count("<svg") == 2
    assert written() == first


def test_absent_sections_are_explained_and_show_no_figure(tmp_path: Path) -> None:
    bare = study(absent={"ablation": "The ablation was switched off."})
    page = page_of(bare, tmp_path)
    assert "<figure" not in page
    assert list((tmp_path / "plots").iterdir()) == []
    for section in SECTIONS:
        assert section_of(page, section).endswith(why_absent(bare, section))
    assert "The ablation was switched off." in page
    assert set(json.loads((tmp_path / "report.json").read_text())["words"]["absent"]) == set(SECTIONS)


def test_pictures_of_an_earlier_report_do_not_stay(tmp_path: Path) -> None:
    write_report(study(baselines=(Paired("mid", None, estimate(0.1, 0.2)),)), tmp_path)
    assert [path.name for path in (tmp_path / "plots").iterdir()] == ["baselines.png"]
    write_report(study(), tmp_path)
    assert list((tmp_path / "plots").iterdir()) == []


def test_one_period_and_no_fills_make_a_page_too(tmp_path: Path) -> None:
    told = words_of(page_of(whole_study(periods=1), tmp_path / "one"))
    assert "1 period cannot give an interval: this data cannot say." in told
    unfilled = study(headline=headline(estimate(0.0), fills=0, won=0, lost=0))
    told = words_of(page_of(unfilled, tmp_path / "none"))
    assert "It did not trade" in told
    assert "No order was filled, so “markouts” has nothing to show." in told


def test_names_are_escaped_on_the_page_and_in_the_figures(tmp_path: Path) -> None:
    evil = "<script>alert('x & y')</script>"
    written = study(
        title=evil,
        source=Source(evil, (evil,), {evil: 3}),
        caveats=(evil,),
        baselines=(Paired(evil, None, estimate(0.1, 0.2)),),
        breakdowns={evil: (Slice(evil, 1, 20.0, 0.5),)},
    )
    page = page_of(written, tmp_path)
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert evil in unescape(page)
    assert {path.name for path in (tmp_path / "plots").iterdir()} == {
        "baselines.png",
        "breakdown-script-alert-x-y-script.png",
    }


def test_infinity_is_refused_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_report(study(headline=headline(estimate(0.1), max_drawdown_usd=float("inf"))), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_json_holds_the_equity_of_every_queue_model_and_null_for_what_is_not_known() -> None:
    whole = whole_study()
    assert whole.equity is not None
    numbers = numbers_of(whole)
    assert numbers["equity"][-1]["pessimistic"] == whole.equity["pessimistic"].iloc[-1]
    assert numbers["words"]["share_won"] == pytest.approx(0.4843, abs=1e-4)
    gap = numbers_of(study(equity=whole.equity.assign(optimistic=float("nan"))))
    assert gap["equity"][0]["optimistic"] is None
