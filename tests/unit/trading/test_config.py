"""Settings of the agent: names and units as their users write them, and no guess by the size of a value."""

from __future__ import annotations

import argparse
import re
import tomllib
from typing import Any

import pytest

from agent.errors import NotFound
from agent.trading import profiles
from agent.trading.config import ALIASES, Layer, ModeError, Parsed, TradingAgentConfig, parse, require_mode
from agent.trading.options import SWITCHES, VALUES, add_options, layer_of, table_of
from pipelines.errors import SettingsError
from pipelines.settings import describe

# As seed 003 and facts.md write them.
SEED_DEFAULTS: dict[str, Any] = {
    "autonomous": False,
    "max_daily_trades": 100,
    "kill_switch_gain_pct": 0.05,
    "kill_switch_loss_pct": 0.02,
    "max_drawdown_pct": 0.05,
    "risk_appetite": 50,
    "risk_percentage": 1.0,
    "sizing_stop_loss_percentage": 2.0,
    "correlation_threshold": 0.7,
    "max_correlated_assets": 3,
    "max_var_pct": 5.0,
    "var_confidence": 0.95,
    "max_concentration_pct": 30.0,
    "analysis_frequency_seconds": 300.0,
    "monitoring_frequency_seconds": 60.0,
    "min_confidence_threshold": 0.6,
    "reasoning_retry_delay_seconds": 10.0,
    "reasoning_failure_decay_seconds": 120.0,
    "main_loop_error_backoff_seconds": 60.0,
}
SEED_PROFILES: dict[str, dict[str, Any]] = {
    "conservative": {
        "autonomous": True,
        "kill_switch_gain_pct": 0.02,
        "kill_switch_loss_pct": 0.01,
        "max_drawdown_pct": 0.03,
        "max_daily_trades": 10,
        "risk_percentage": 0.5,
        "min_confidence_threshold": 0.8,
        "analysis_frequency_seconds": 600.0,
    },
    "aggressive": {
        "autonomous": True,
        "kill_switch_gain_pct": 0.15,
        "kill_switch_loss_pct": 0.05,
        "max_drawdown_pct": 0.10,
        "max_daily_trades": 100,
        "risk_percentage": 2.0,
        "min_confidence_threshold": 0.5,
        "analysis_frequency_seconds": 60.0,
    },
    "production": {
        "autonomous": True,
        "kill_switch_gain_pct": 0.05,
        "kill_switch_loss_pct": 0.02,
        "max_drawdown_pct": 0.05,
        "max_daily_trades": 50,
        "risk_percentage": 1.0,
        "min_confidence_threshold": 0.6,
        "analysis_frequency_seconds": 300.0,
    },
}


def of(**values: Any) -> Parsed:
    return parse([Layer("agent.toml", values)])


def typed(*words: str) -> Layer:
    parser = argparse.ArgumentParser()
    add_options(parser)
    return layer_of(parser.parse_args(words))


def row(parsed: Parsed, name: str) -> tuple[str, str, str]:
    (found,) = [one for one in parsed.rows if one.name == name]
    return found.written, found.understood, found.source


def test_defaults_are_those_of_the_seed() -> None:
    config = parse([]).config
    assert {name: getattr(config, name) for name in SEED_DEFAULTS} == SEED_DEFAULTS
    assert (config.approval("dry_run"), config.approval("live")) == ("auto", "manual")
    assert config.kappa == 0.25


@pytest.mark.parametrize("name", profiles.names())
def test_each_profile_loads(name: str) -> None:
    config = parse([profiles.load(name)]).config
    for field, value in SEED_PROFILES.get(name, {}).items():
        assert getattr(config, field) == value


def test_the_profiles_that_people_expect_are_there() -> None:
    assert set(profiles.names()) == {*SEED_PROFILES, "day", "swing", "position"}
    with pytest.raises(NotFound, match="no profile 'cautious'") as caught:
        profiles.load("cautious")
    assert "conservative" in caught.value.fix


def test_600_seconds_are_ten_minutes_whatever_a_comment_says() -> None:
    parsed = parse([profiles.load("conservative")])
    assert row(parsed, "analysis_frequency_seconds") == ("600", "600 s (10 min)", "profile conservative")
    assert row(parsed, "risk_percentage") == ("0.5", "0.5 %", "profile conservative")
    assert row(parsed, "kill_switch_loss_pct") == ("0.01", "1 %", "profile conservative")


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"kill_switch_loss_pct": 2}, "kill_switch_loss_pct = 2 is 200 %; above 0 and at most 0.5. For 2 % write 0.02"),
        ({"kill_switch_loss_pct": 0}, "kill_switch_loss_pct = 0 is 0 %; above 0"),
        ({"kill_switch_loss_pct": -0.02}, "is -2 %; above 0"),
        ({"kill_switch_gain_pct": 11}, "is 1100 %; above 0 and at most 10. For 11 % write 0.11"),
        ({"max_drawdown_pct": 5.0}, "max_drawdown_pct = 5 is 500 %; above 0 and at most 0.5. For 5 % write 0.05"),
        ({"max_drawdown_pct": "off"}, "is not a number"),
        ({"stop_loss": 1}, "stop_loss = 1 is 100 %; above 0 and at most 0.5. For 1 % write 0.01"),
        ({"risk_percentage": 5.5}, "risk_percentage = 5.5 is 5.5 %; above 0 and at most 5"),
        ({"risk_percentage": float("nan")}, "risk_percentage = nan"),
        ({"sizing_stop_loss_percentage": 0.05}, "is 0.05 %; at least 0.1 and at most 50"),
        ({"max_var_pct": 51}, "at most 50"),
        ({"max_exposure_pct": 101}, "at most 100"),
        (
            {"var_confidence": 95},
            "var_confidence = 95 is 9500 %; at least 0.8 and at most 0.999. For 95 % write 0.95",
        ),
        ({"min_confidence_threshold": 60}, "For 60 % write 0.6"),
        ({"risk_appetite": 101}, "risk_appetite = 101 is out of bounds: 0 to 100"),
        ({"analysis_frequency_seconds": 0}, "analysis_frequency_seconds = 0.0 is out of bounds: above 0"),
        ({"analysis_frequency_seconds": float("inf")}, "is out of bounds"),
        ({"max_daily_trades": 0}, "is out of bounds: 1 to inf"),
        ({"max_daily_trades": 1.5}, "is not a whole number"),
        ({"approval_mode": "nobody"}, "approval_mode = 'nobody' is not one of"),
        ({"max_dayly_trades": 5}, "did you mean 'max_daily_trades'"),
        ({"max_drawdown_pct": 0.05, "max_drawdown_percent": 0.06}, "are one setting: keep one of them"),
        ({"autonomous": True, "autonomous_execution": False}, "are one setting"),
        ({"approval_mode": "auto", "approval_policy": "manual"}, "are one setting"),
        ({"asset_pairs": ["BTCUSD", "BTCUSD"]}, "names 'BTCUSD' twice"),
        ({"asset_pairs": ["GOLD"], "watchlist": ["GOLD"]}, "GOLD is to be traded and only to be watched"),
    ],
)
def test_a_fault_is_named_with_what_was_meant(values: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(says)):
        of(**values)


def test_all_faults_come_at_once() -> None:
    with pytest.raises(SettingsError, match="3 settings are wrong") as caught:
        of(kill_switch_loss_pct=2, max_var_pct=99, nonsense=1)
    assert caught.value.where == "agent.toml"


def test_half_a_percent_is_half_a_percent() -> None:
    parsed = of(risk_percentage=0.5)
    assert parsed.config.risk_percentage == 0.5
    assert row(parsed, "risk_percentage") == ("0.5", "0.5 %", "agent.toml")
    assert not [one for one in parsed.warnings if "risk_percentage =" in one]


def test_a_risk_that_looks_like_a_fraction_is_warned_of_and_taken_as_it_is() -> None:
    parsed = of(risk_percentage=0.01)
    assert parsed.config.risk_percentage == 0.01
    assert parsed.warnings[0] == "risk_percentage = 0.01 is 0.01 % of equity a trade; for 1 % write 1"


@pytest.mark.parametrize(("alias", "field"), ALIASES.items())
def test_the_other_name_of_a_field_works_and_may_be_there_too(alias: str, field: str) -> None:
    value = {"autonomous": True, "approval_mode": "api"}.get(field, 0.5)
    config = of(**{alias: value, field: value}).config
    assert getattr(config, field) == value
    assert row(of(**{alias: value}), field)[0].startswith(f"{alias} = ")


def test_both_names_in_two_layers_are_no_contradiction() -> None:
    file = Layer("agent.toml", {"max_drawdown_percent": 0.04})
    assert parse([file, Layer("flags", {"max_drawdown_pct": 0.03})]).config.max_drawdown_pct == 0.03


def test_off_is_off_and_loss_only_on_paper() -> None:
    config = of(kill_switch_gain_pct="off", kill_switch_loss_pct="off", autonomous=True).config
    assert (config.kill_switch_gain_pct, config.kill_switch_loss_pct) == ("off", "off")
    require_mode(config, "dry_run")
    with pytest.raises(ModeError, match="kill_switch_loss_pct is off"):
        require_mode(config, "live")


def test_what_must_not_trade_live_is_refused_in_order() -> None:
    quick = of(quicktest_mode=True, approval_mode="auto", kill_switch_loss_pct="off").config
    with pytest.raises(ValueError, match=r"quicktest_mode[\s\S]*TRADING_MODE=live") as caught:
        require_mode(quick, "live")
    assert "TRADING_MODE=dry_run" in str(caught.value)
    with pytest.raises(ModeError, match="approval_mode is auto, and autonomous is false"):
        require_mode(of(approval_mode="auto").config, "live")
    require_mode(of(approval_mode="auto", autonomous=True).config, "live")
    require_mode(of().config, "live")  # asks at the terminal
    require_mode(quick, "dry_run")


def test_the_seeds_line_works_as_typed() -> None:
    line = (
        "--asset-pair BTCUSD,EURUSD --take-profit 0.05 --stop-loss 0.02 --kill-switch-gain 0.05"
        " --kill-switch-loss 0.02 --max-drawdown 0.05 --max-daily-trades 50 --analysis-frequency 300"
        " --min-confidence 0.6 --approval-mode manual --autonomous --agent-type loop --watchlist GOLD,SILVER"
        " --risk-percentage 1.0 --correlation-threshold 0.7"
        " --max-var-pct 5.0 --strategic-goal maximize_return --risk-appetite 50"
    )
    parsed = parse([profiles.load("aggressive"), typed(*line.split())])
    config = parsed.config
    assert (config.asset_pairs, config.watchlist) == (("BTCUSD", "EURUSD"), ("GOLD", "SILVER"))
    assert (config.take_profit, config.stop_loss, config.max_daily_trades) == (0.05, 0.02, 50)
    assert (config.autonomous, config.approval_mode, config.agent_type) == (True, "manual", "loop")
    assert (config.adopts, config.closes_on_exit) == (True, False)
    assert row(parsed, "max_daily_trades") == ("50", "50", "flags")
    assert row(parsed, "autonomous") == ("true", "true", "flags")


def test_a_list_that_is_given_again_goes_on() -> None:
    """The first pair was forgotten in silence."""
    parsed = parse([typed("--asset-pair", "BTCUSD, ETHUSD", "--watchlist", "GOLD", "--asset-pair", "EURUSD")])
    assert (parsed.config.asset_pairs, parsed.config.watchlist) == (("BTCUSD", "ETHUSD", "EURUSD"), ("GOLD",))


def test_a_flag_that_was_not_given_hides_no_file() -> None:
    assert parse([Layer("agent.toml", {"autonomous": True, "stop_loss": 0.1}), typed()]).config.autonomous
    with pytest.raises(SettingsError, match=r"stop_loss = 'two' is not a number"):
        parse([typed("--stop-loss", "two")])
    assert parse([typed("--kill-switch-gain", "off")]).config.kill_switch_gain_pct == "off"


def test_every_option_is_a_field() -> None:
    fields = {one["name"] for one in describe(TradingAgentConfig)}
    assert {*VALUES.values(), *SWITCHES.values(), *ALIASES.values()} <= fields
    assert not set(ALIASES) & fields


def test_who_does_what_at_the_end() -> None:
    assert of().config.closes_on_exit
    assert not of().config.adopts
    assert not of(on_exit="keep").config.closes_on_exit
    assert of(agent_type="loop", adopt_positions=False).config.adopts is False


def test_the_table_says_what_was_written_and_understood() -> None:
    shown = table_of(parse([Layer("run.toml", {"max_drawdown_percent": 0.05, "asset_pairs": ["BTCUSD"]})]))
    lines = shown.splitlines()
    assert re.split(r"  +", lines[0]) == ["setting", "as written", "as understood", "source"]
    assert [line.split()[0] for line in lines[1:4]] == [
        "asset_pairs",
        "max_drawdown_pct",
        "watchlist",
    ]  # set goes first
    found = [re.split(r"  +", line) for line in lines]
    assert ["max_drawdown_pct", "max_drawdown_percent = 0.05", "5 %", "run.toml"] in found
    assert ["asset_pairs", "BTCUSD", "BTCUSD", "run.toml"] in found
    assert ["take_profit", "unset", "unset", "default"] in found
    assert ["kill_switch_gain_pct", "0.05", "5 %", "default"] in found
    assert lines[-1] == (
        "note: a risk of 1 % with a stop of 2 % is a position of 50 % of equity: max_concentration_pct cuts it to 30 %"
    )


def test_the_smaller_limit_is_said_to_cut_a_position() -> None:
    (said,) = of(risk_percentage=0.5, max_exposure_pct=20.0).warnings
    assert said.endswith("is a position of 25 % of equity: max_exposure_pct cuts it to 20 %")
    assert not of(risk_percentage=0.5).warnings


def test_a_profile_is_a_file_that_anybody_could_have_written() -> None:
    text = "[agent]\nrisk_percentage = 2\n"
    assert parse([Layer("mine.toml", tomllib.loads(text)["agent"])]).config.risk_percentage == 2.0
