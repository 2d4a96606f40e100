from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from services.feeds.chainlink.polybolt import Credentials
from services.feeds.settings import FeedSettings, PolyBoltSettings


def test_the_defaults_are_the_real_venues() -> None:
    settings = FeedSettings()
    assert settings.bybit_url == "wss://stream.bybit.com/v5/public/spot"
    assert settings.polymarket_urls().gamma == "https://gamma-api.polymarket.com"
    assert settings.oracle_stream == "auto"


def test_every_url_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MM_FEED_GAMMA_URL", "http://127.0.0.1:1/")
    monkeypatch.setenv("MM_FEED_MARKET_URL", "ws://127.0.0.1:1/ws/market")
    urls = FeedSettings().polymarket_urls()
    assert (urls.gamma, urls.market_channel) == ("http://127.0.0.1:1", "ws://127.0.0.1:1/ws/market")


def test_a_misspelt_variable_stops_the_start_with_the_right_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MM_FEED_BYBIT_ULR", "ws://x")
    with pytest.raises(ValidationError, match="MM_FEED_BYBIT_URL"):
        FeedSettings()


def test_credentials_are_all_or_none_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    assert PolyBoltSettings().credentials() is None
    monkeypatch.setenv("MM_POLYBOLT_API_KEY", "key")
    monkeypatch.setenv("MM_POLYBOLT_SECRET", "hush")
    assert PolyBoltSettings().credentials() is None
    monkeypatch.setenv("MM_POLYBOLT_PASSPHRASE", "pass")
    settings = PolyBoltSettings()
    assert settings.credentials() == Credentials("key", "hush", "pass")
    assert "hush" not in repr(settings)


def test_credentials_are_read_from_files_and_the_environment_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("api_key", "secret", "passphrase"):
        (tmp_path / f"mm_polybolt_{name}").write_text(f"{name} of a file\n")
    monkeypatch.setenv("MM_POLYBOLT_PASSPHRASE", "pass")
    settings = PolyBoltSettings(_secrets_dir=tmp_path)
    assert settings.credentials() == Credentials("api_key of a file", "secret of a file", "pass")
