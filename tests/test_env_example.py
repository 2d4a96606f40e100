from __future__ import annotations

import re
from pathlib import Path

from services.executor.settings import ExecutorSettings
from services.feeds.settings import FeedSettings, PolyBoltSettings
from services.hedger.settings import HedgerSettings
from services.simulator.settings import SimulatorSettings
from shared.config import ENVIRONMENT_PREFIX, MMConfig, load_config
from shared.settings import ServiceSettings, StrictSettings

EXAMPLE = (Path(__file__).parents[1] / ".env.example").read_text()
# Set by the supervisor for its children, or of no use to a user of the simulator.
NOT_FOR_USERS = {"MM_SUPERVISOR_PID", "MM_CONFIG_JSON"}
SIMULATOR_ONLY = {"MM_SIM_HOST", "MM_SIM_PORT", "MM_SIM_SERIES", "MM_SIM_MAKER_LAG_MS", "MM_SIM_MISSING_SHARE"}
SIMULATOR_ONLY |= {"MM_SIM_QUOTE_RATE", "MM_SIM_STEP_MS"}


def variables_of(settings: type[StrictSettings]) -> set[str]:
    return {f"{settings.model_config['env_prefix']}{name}".upper() for name in settings.model_fields}


def test_the_example_lists_every_variable_and_no_other() -> None:
    classes = (
        ServiceSettings,
        ExecutorSettings,
        FeedSettings,
        PolyBoltSettings,
        HedgerSettings,
        SimulatorSettings,
    )
    known = set().union(*map(variables_of, classes))
    listed = set(re.findall(r"^# (MM_[A-Z0-9_]+)=", EXAMPLE, re.MULTILINE))
    strategy = {name for name in listed if name.startswith(ENVIRONMENT_PREFIX)}
    assert listed - strategy == known - NOT_FOR_USERS - SIMULATOR_ONLY


def test_the_strategy_settings_of_the_example_are_understood_and_change_something() -> None:
    lines = dict(re.findall(rf"^# ({ENVIRONMENT_PREFIX}\w+)=(.*)$", EXAMPLE, re.MULTILINE))
    assert any("__" in variable for variable in lines)
    for variable, text in lines.items():
        assert load_config(environment={variable: text}) != MMConfig(), variable
