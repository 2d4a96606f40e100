from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.analyzers.ownership import SILENT_BEATS, Ownership, weight
from shared.messages import Heartbeat
from tests.builders import build

MARKETS = tuple(f"{asset}-{length}" for asset in ("btc", "eth", "sol", "xrp") for length in ("15m", "4h", "5m"))
ALL = frozenset(MARKETS)


def beat(instance: str, *, markets: Any = MARKETS, started_ns: int = 1) -> Heartbeat:
    return build(Heartbeat, service="volatility", instance=instance, started_ns=started_ns, markets=tuple(markets))


def seen_by(instance: str, members: dict[str, frozenset[str]]) -> Ownership:
    """What an instance knows once it heard everybody."""
    ownership = Ownership(instance, 1, sorted(members[instance]))
    for name, markets in members.items():
        ownership.hear(beat(name, markets=sorted(markets)))
    return ownership


def owners(members: dict[str, frozenset[str]]) -> dict[str, list[str]]:
    """By market, everybody who says that it is theirs."""
    found: dict[str, list[str]] = {market: [] for market in MARKETS}
    for name in members:
        for market in seen_by(name, members).owned():
            found[market].append(name)
    return found


NAMES = st.text("abcdef0123-", min_size=1, max_size=12)
TEAMS = st.dictionaries(NAMES, st.just(ALL), min_size=1, max_size=8)
PINNED = st.frozensets(st.sampled_from(MARKETS), min_size=1)
MIXED_TEAMS = st.dictionaries(NAMES, st.just(ALL) | PINNED, min_size=1, max_size=8)


@given(MIXED_TEAMS)
def test_every_market_that_somebody_serves_has_exactly_one_owner(members: dict[str, frozenset[str]]) -> None:
    served = frozenset().union(*members.values())
    found = owners(members)
    assert {market: len(names) for market, names in found.items()} == {market: market in served for market in MARKETS}
    assert all(market in members[name] for market, names in found.items() for name in names)


@given(MIXED_TEAMS, st.data())
def test_when_one_goes_only_its_markets_move(members: dict[str, frozenset[str]], data: st.DataObject) -> None:
    gone = data.draw(st.sampled_from(sorted(members)))
    before = owners(members)
    after = owners({name: markets for name, markets in members.items() if name != gone} or {"other": ALL})
    if len(members) > 1:
        assert {market for market in MARKETS if before[market] != after[market]} == {
            market for market in MARKETS if before[market] == [gone]
        }


@given(TEAMS, NAMES)
def test_who_comes_takes_markets_and_moves_no_others(members: dict[str, frozenset[str]], newcomer: str) -> None:
    before, after = owners(members), owners(members | {newcomer: ALL})
    assert all(after[market] in (before[market], [newcomer]) for market in MARKETS)


@given(TEAMS, NAMES, PINNED)
def test_a_pinned_instance_has_its_markets_and_no_others(
    members: dict[str, frozenset[str]], pinned: str, markets: frozenset[str]
) -> None:
    found = owners(members | {f"{pinned}+": markets})
    if markets != ALL:
        assert {market for market in MARKETS if found[market] == [f"{pinned}+"]} == markets


def test_the_markets_of_many_instances_are_spread_evenly() -> None:
    markets = [f"m{number}" for number in range(3000)]
    names = ("a", "b", "c")
    won = [max(names, key=lambda name: weight(name, market)) for market in markets]
    assert all(won.count(name) == pytest.approx(1000, abs=100) for name in names)


def test_a_weight_is_the_same_in_every_process() -> None:
    program = "from services.analyzers.ownership import weight; print(weight('volatility-1', 'btc-15m'))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert int(done.stdout) == weight("volatility-1", "btc-15m")


def test_alone_everything_is_owned_at_once() -> None:
    assert Ownership("a", 1, MARKETS).owned() == MARKETS


def test_a_silent_instance_is_gone_after_three_of_our_heartbeats_and_not_before() -> None:
    ownership = seen_by("a", {"a": ALL, "b": ALL})
    share = ownership.owned()
    assert 0 < len(share) < len(MARKETS)
    for _ in range(SILENT_BEATS - 1):
        assert not ownership.hear(beat("a"))
    assert ownership.owned() == share
    assert ownership.hear(beat("a"))
    assert ownership.owned() == MARKETS
    assert ownership.hear(beat("b"))
    assert ownership.owned() == share


def test_an_instance_that_speaks_between_our_heartbeats_stays() -> None:
    ownership = seen_by("a", {"a": ALL, "b": ALL})
    share = ownership.owned()
    for _ in range(5):
        for each in ("a", "a", "b"):
            ownership.hear(beat(each))
    assert ownership.owned() == share


def test_a_bus_that_stands_still_ends_nobody() -> None:
    """Only our own heartbeats, as the bus brings them back, count time: others' alone prove nothing."""
    ownership = seen_by("a", {"a": ALL, "b": ALL, "c": ALL})
    share = ownership.owned()
    for _ in range(10):
        assert not ownership.hear(beat("b"))
    assert ownership.owned() == share


def test_a_farewell_frees_the_markets_at_once() -> None:
    ownership = seen_by("a", {"a": ALL, "b": ALL})
    assert ownership.hear(beat("b", markets=()))
    assert ownership.owned() == MARKETS
    assert not ownership.hear(beat("b", markets=()))


def test_a_restart_under_the_same_name_keeps_its_markets_and_does_not_wait_for_its_former_self() -> None:
    share = seen_by("a", {"a": ALL, "b": ALL}).owned()
    restarted = Ownership("a", 2, MARKETS)
    for each in (beat("a", started_ns=1), beat("b")):
        restarted.hear(each)
    assert restarted.owned() == share


def test_of_two_processes_under_one_name_the_later_serves_until_it_is_gone() -> None:
    earlier, later = Ownership("a", 1, MARKETS), Ownership("a", 2, MARKETS)
    for each in (beat("a", started_ns=1), beat("a", started_ns=2)):
        earlier.hear(each)
        later.hear(each)
    assert (earlier.owned(), later.owned()) == ((), MARKETS)
    for _ in range(SILENT_BEATS):
        earlier.hear(beat("a", started_ns=1))
    assert earlier.owned() == MARKETS
