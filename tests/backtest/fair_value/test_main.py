"""The command writes a page with every section and figure, and refuses what it cannot read."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from backtest.fair_value.__main__ import main
from tests.backtest.fair_value import recordings as made

SECTIONS = (
    "verdict",
    "scores",
    "last-minutes",
    "by-time-left",
    "calibration",
    "books",
    "offset",
    "volatility",
    "limits",
    "validation",
)
FIGURES = ("losses", "differences", "slopes", "reliability", "books", "mids", "offsets", "volatility", "jumps")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    made.write_all(folder / "recordings")
    assert main(["--recordings", str(folder / "recordings"), "--out", str(folder / "out")]) == 0
    return folder / "out"


@pytest.fixture(scope="module")
def page(written: Path) -> str:
    return (written / "index.html").read_text()


def test_the_page_has_every_section_and_every_figure(page: str) -> None:
    for section in SECTIONS:
        assert f'<h2 id="{section}">' in page
    for figure in FIGURES:
        assert f'<figure id="figure-{figure}"><img src="data:image/svg+xml;base64,' in page


def test_the_page_needs_nothing_from_elsewhere(page: str) -> None:
    assert re.findall(r'(?:src|href)="(?!data:)', page) == []
    assert "{{" not in page
    assert "nan" not in re.sub(r'data:image[^"]*', "", page).lower().split()


def test_the_page_says_in_words_whether_the_targets_hold(page: str) -> None:
    head = page[page.index('id="verdict"') : page.index('id="scores"')]
    assert "not worse than the book mid" in head
    assert "beats the naive digital in the last 120 s" in head
    assert "The blend is at least as good as" in head
    assert "cannot decide" in head


def test_the_numbers_are_also_written_as_json(written: Path) -> None:
    numbers = json.loads((written / "figures.json").read_text())
    books = numbers["groups"]["windows_with_a_book"]
    assert books["periods"] == 4  # two of each recording that has a book and an oracle
    assert {each["competitor"] for each in books["overall"]} >= {"ours", "mid", "naive", "blend"}
    assert numbers["offset"]["best_offset_s"] == 3
    assert numbers["groups"]["recomputed_twap_5m"]["periods"] == 23
    assert numbers["refused_windows"]["recomputed_twap_5m"] == 1
    assert {each["inside_s"] for each in numbers["overlaps"]} == {0.0, 20.0}
    assert numbers["scored"]["thevalerka_btc15m_tob"] == 8
    assert len(numbers["targets"]) >= 5


def test_a_part_of_the_recordings_is_enough_and_the_rest_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made.write_resolvedkit(tmp_path / "recordings" / "resolvedkit_btc15m_books")
    assert main(["--recordings", str(tmp_path / "recordings"), "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "out" / "index.html")
    page = (tmp_path / "out" / "index.html").read_text()
    assert "No recording here lets any of the questions be asked" in page
    assert '<p class="none" id="figure-losses">' in page
    assert "weiuou_btc15m (absent)" in page


def test_absent_recordings_and_bad_arguments_are_refused_with_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--recordings", str(tmp_path / "nowhere")]) == 2
    assert "--recordings PATH" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["--colour"])
