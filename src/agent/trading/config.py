"""Settings of a trading agent: one name, one unit and hard bounds for each, never guessed by the size of a value. Pure.

They come in layers: defaults, a profile, a file, flags; a later one goes before. A field that has two names in use has
both here; both given in one layer, and different, is an error.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pipelines.errors import SettingsError
from pipelines.settings import FRACTION, PERCENT, Faults, build, setting

TradingMode = Literal["dry_run", "live"]
Off = Literal["off"]
DEFAULT = "default"  # the source of what nobody set
# Other names in use -> the field.
ALIASES: Mapping[str, str] = {
    "autonomous_execution": "autonomous",
    "approval_policy": "approval_mode",
    "max_drawdown_percent": "max_drawdown_pct",
    "max_drawdown": "max_drawdown_pct",
    "kill_switch_gain": "kill_switch_gain_pct",
    "kill_switch_loss": "kill_switch_loss_pct",
    "min_confidence": "min_confidence_threshold",
    "analysis_frequency": "analysis_frequency_seconds",
    "monitoring_frequency": "monitoring_frequency_seconds",
}
_SECONDS: dict[str, Any] = {"unit": "seconds", "above": 0, "high": 604_800}
_LOWEST_SENSIBLE_RISK = 0.05


@dataclass(frozen=True)
class TradingAgentConfig:
    """All settings of one trading agent. A field that ends in _pct and stands for a gain, loss or drawdown is a
    fraction, as its users write it (0.05 is 5 %); risk, VaR, concentration and exposure are in percent (5.0 is 5 %).
    """

    # What is traded, and who says yes
    asset_pairs: tuple[str, ...] = setting((), "Pairs or markets to trade.")
    watchlist: tuple[str, ...] = setting((), "Pairs to watch without trading them: none that is traded.")
    agent_type: Literal["orchestrator", "loop"] = setting("orchestrator", "Which of the two ways to start and stop.")
    on_exit: Literal["close", "keep"] | None = setting(
        None, "What happens to positions at the end; unset: the orchestrator closes them, the loop agent keeps them."
    )
    autonomous: bool = setting(False, "Trade live without asking anybody.")
    approval_mode: Literal["auto", "manual", "api", "telegram", "redis"] | None = setting(
        None, "Who approves an order; unset: auto on paper, manual in live."
    )
    approval_timeout_seconds: float = setting(300.0, "An approval that takes longer is a no.", **_SECONDS)
    strategic_goal: str = setting("maximize_return", "In words, for reports and language models; changes no limit.")
    risk_appetite: int = setting(50, "Scales the part of Kelly's stake; never a limit.", low=0, high=100)
    quicktest_mode: bool = setting(False, "One provider alone; on paper only.")
    # Positions
    take_profit: float | None = setting(None, "Close a position at this gain.", unit=FRACTION, above=0, high=10)
    stop_loss: float | None = setting(None, "Close a position at this loss.", unit=FRACTION, above=0, high=0.5)
    risk_percentage: float = setting(1.0, "Risk per trade, of equity.", unit=PERCENT, above=0, high=5)
    sizing_stop_loss_percentage: float = setting(
        2.0,
        "The stop that sizes are made with where neither the decision nor --stop-loss has one.",
        unit=PERCENT,
        low=0.1,
        high=50,
    )
    # The kill switch
    kill_switch_gain_pct: float | Off = setting(
        0.05, "Close everything at this gain of the account, or off.", unit=FRACTION, above=0, high=10
    )
    kill_switch_loss_pct: float | Off = setting(
        0.02, "Close everything at this loss of the account; off on paper only.", unit=FRACTION, above=0, high=0.5
    )
    max_drawdown_pct: float = setting(
        0.05, "Close everything at this fall from the highest equity.", unit=FRACTION, above=0, high=0.5
    )
    max_daily_loss_pct: float | Off = setting(
        "off", "Pause until midnight UTC at this loss of the day.", unit=FRACTION, above=0, high=0.5
    )
    stale_action: Literal["pause", "kill"] = setting("pause", "What three readings with old prices in a row bring.")
    kill_max_slippage: float = setting(
        0.05, "How far below the quote the kill switch sells.", unit=FRACTION, above=0, high=0.5
    )
    kill_external: bool = setting(False, "The kill switch cancels orders of the account that are not ours, too.")
    # Limits
    max_daily_trades: int = setting(100, "Executions a UTC day, opens and closes alike; closes pass.", low=1)
    max_concentration_pct: float = setting(30.0, "One market, of equity.", unit=PERCENT, above=0, high=100)
    max_exposure_pct: float = setting(100.0, "All positions, of equity.", unit=PERCENT, above=0, high=100)
    max_binary_loss_pct: float = setting(
        20.0, "What all binary positions cost, of equity.", unit=PERCENT, above=0, high=100
    )
    max_var_pct: float = setting(5.0, "Value at risk of a day, of equity.", unit=PERCENT, above=0, high=50)
    var_confidence: float = setting(0.95, "Of the value at risk.", unit=FRACTION, low=0.8, high=0.999)
    correlation_threshold: float = setting(
        0.7, "Positions whose returns correlate more count as alike.", unit=FRACTION, low=0, high=1
    )
    max_correlated_assets: int = setting(3, "At most so many positions that are alike.", low=1)
    min_confidence_threshold: float = setting(0.6, "Open at this confidence or more.", unit=FRACTION, low=0, high=1)
    min_providers: int = setting(2, "Fewer opinions than this are a failure in live.", low=1)
    # Time
    analysis_frequency_seconds: float = setting(300.0, "Between two cycles.", **_SECONDS)
    monitoring_frequency_seconds: float = setting(60.0, "Between two looks at what is held.", **_SECONDS)
    reasoning_retry_delay_seconds: float = setting(
        10.0, "Before a market that gives no answer is asked again: a fifth, two and four fifths of it.", **_SECONDS
    )
    reasoning_failure_decay_seconds: float = setting(
        120.0, "A pair that failed or was refused rests this long.", **_SECONDS
    )
    main_loop_error_backoff_seconds: float = setting(
        60.0, "Before the next cycle where one failed as a whole.", **_SECONDS
    )
    decision_ttl_seconds: float = setting(60.0, "An older decision is made again.", **_SECONDS)
    max_mark_age_seconds: float = setting(120.0, "An older price is stale.", **_SECONDS)
    release_lag_seconds: float = setting(900.0, "How late a release may be beyond two bars.", **_SECONDS)
    settle_seconds: float = setting(
        10.0, "Before an order that the platform does not list counts as not placed.", **_SECONDS
    )
    reconciliation_seconds: float = setting(60.0, "Between two comparisons of books and platform.", **_SECONDS)
    flat_again_seconds: float = setting(
        5.0, "Before a platform that holds nothing after the kill switch is asked once more.", **_SECONDS
    )
    young_seconds: float = setting(5.0, "What happened since is compared with the platform next time.", **_SECONDS)
    # Recovery
    recovery_retry_seconds: float = setting(
        1.0, "Before the platform is read again at start; twice as long each of five times.", **_SECONDS
    )
    adopt_positions: bool | None = setting(
        None, "Manage positions found at the platform; unset: the loop agent does, the orchestrator does not."
    )
    reprice_tolerance_pct: float = setting(
        0.5, "An approved order is asked about again where the price moved more.", unit=PERCENT, above=0, high=10
    )
    mismatch_limit_pct: float = setting(
        1.0,
        "A larger difference between books and platform waits for a person, of equity.",
        unit=PERCENT,
        above=0,
        high=100,
    )

    @classmethod
    def normalize_percentage_fields(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """`values` by the fields' own names, as written and within their bounds: a field's unit says what 5.0 or 0.05
        means there, and nothing is divided because of its size. Raises SettingsError."""
        config = cls.normalize_default_percentages(values)
        return {field: getattr(config, field) for field in (ALIASES.get(name, name) for name in values)}

    @classmethod
    def normalize_default_percentages(cls, values: Mapping[str, Any]) -> TradingAgentConfig:
        """All settings: `values`, and the default of each that is missing. Raises SettingsError."""
        return parse([Layer("values", values)]).config

    @property
    def autonomous_execution(self) -> bool:
        """The other name of `autonomous`."""
        return self.autonomous

    @property
    def approval_policy(self) -> str | None:
        """The other name of `approval_mode`."""
        return self.approval_mode

    @property
    def max_drawdown_percent(self) -> float:
        """The other name of `max_drawdown_pct`."""
        return self.max_drawdown_pct

    @property
    def kappa(self) -> float:
        """The part of Kelly's stake that is taken: a quarter at an appetite of 50."""
        return 0.5 * self.risk_appetite / 100

    @property
    def closes_on_exit(self) -> bool:
        """Whether positions are closed at the end."""
        return (self.on_exit or ("close" if self.agent_type == "orchestrator" else "keep")) == "close"

    @property
    def adopts(self) -> bool:
        """Whether positions found at the platform are managed."""
        return self.agent_type == "loop" if self.adopt_positions is None else self.adopt_positions

    @property
    def risked_pct(self) -> float:
        """The position, in percent of equity, that loses risk_percentage at its stop: before any other limit."""
        stop = self.sizing_stop_loss_percentage if self.stop_loss is None else self.stop_loss * 100
        return self.risk_percentage / stop * 100

    def largest_pct(self, *, is_binary: bool) -> float:
        """The largest position in one market, in percent of equity."""
        most = self.max_binary_loss_pct if is_binary else self.risked_pct
        return min(most, self.max_concentration_pct, self.max_exposure_pct)

    def approval(self, mode: TradingMode) -> str:
        """Who approves an order in this mode."""
        return self.approval_mode or ("auto" if mode == "dry_run" else "manual")

    def check(self) -> list[str]:
        """Faults of fields together."""
        both = sorted(set(self.asset_pairs) & set(self.watchlist))
        found = [f"{name} is to be traded and only to be watched" for name in both]
        found += [
            f"{field} names {one!r} twice"
            for field, names in (("asset_pairs", self.asset_pairs), ("watchlist", self.watchlist))
            for one in sorted({one for one in names if names.count(one) > 1})
        ]
        return found


@dataclass(frozen=True)
class Layer:
    """Values from one place: a flag, a file, a profile. Names are those of the fields or of ALIASES."""

    source: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Row:
    """One line of the table that is printed at start."""

    name: str
    written: str
    understood: str
    source: str


@dataclass(frozen=True)
class Parsed:
    """Settings, where each comes from, and what is allowed but looks like a slip."""

    config: TradingAgentConfig
    rows: tuple[Row, ...]
    warnings: tuple[str, ...]


def parse(layers: Sequence[Layer]) -> Parsed:
    """Settings from layers, the weakest first. Raises SettingsError that names every fault at once."""
    written: dict[str, tuple[str, Any, str]] = {}
    faults = Faults(", ".join(layer.source for layer in layers) or DEFAULT)
    for layer in layers:
        for name, (as_named, value) in _by_field(layer, faults).items():
            written[name] = (as_named, value, layer.source)
    config = build(TradingAgentConfig, {name: value for name, (_, value, _) in written.items()}, "agent", faults)
    faults.raise_if_any()
    assert isinstance(config, TradingAgentConfig), "no field is required"
    rows = tuple(_row(one, config, written.get(one.name)) for one in dataclasses.fields(config))
    return Parsed(config, rows, tuple(_warnings(config)))


def _by_field(layer: Layer, faults: Faults) -> dict[str, tuple[str, Any]]:
    """Field -> the name that was written and its value. It resolves names; no value is divided because of its size.

    A field that is given by two names with different values is a fault.
    """
    found: dict[str, tuple[str, Any]] = {}
    for name, value in layer.values.items():
        field = ALIASES.get(name, name)
        before = found.get(field)
        if before is not None and before[1] != value:
            faults.add("agent", f"{before[0]} = {before[1]!r} and {name} = {value!r} are one setting: keep one of them")
        plain = list(value) if isinstance(value, tuple) else value
        found[field] = (name, plain)
    return found


def require_mode(config: TradingAgentConfig, mode: TradingMode) -> None:
    """Raise ModeError, in the order in which a start checks, where these settings must not trade in this mode."""
    if mode == "dry_run":
        return
    if config.quicktest_mode:
        raise ModeError(
            "quicktest_mode asks one provider alone, and TRADING_MODE=live trades with real money",
            where="quicktest_mode and TRADING_MODE",
            fix="set quicktest_mode = false, or TRADING_MODE=dry_run",
        )
    if config.kill_switch_loss_pct == "off":
        raise ModeError(
            "kill_switch_loss_pct is off, and TRADING_MODE=live trades with real money",
            where="kill_switch_loss_pct and TRADING_MODE",
            fix="set kill_switch_loss_pct, such as 0.02 for 2 %, or TRADING_MODE=dry_run",
        )
    if config.approval(mode) == "auto" and not config.autonomous:
        raise ModeError(
            "approval_mode is auto, and autonomous is false: nobody said that live orders need no approval",
            where="approval_mode, autonomous and TRADING_MODE",
            fix="set autonomous = true, or approval_mode to manual",
        )


class ModeError(SettingsError, ValueError):
    """Settings that must not trade with real money."""


def _row(item: dataclasses.Field[Any], config: TradingAgentConfig, given: tuple[str, Any, str] | None) -> Row:
    value = getattr(config, item.name)
    name, written, source = given or (item.name, value, DEFAULT)
    shown = _written(written)
    return Row(item.name, shown if name == item.name else f"{name} = {shown}", _understood(value, item), source)


def _written(value: Any) -> str:
    if value is None:
        return "unset"
    if isinstance(value, list | tuple):
        return ", ".join(str(one) for one in value) or "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _understood(value: Any, item: dataclasses.Field[Any]) -> str:
    unit = item.metadata.get("unit")
    if value is None or isinstance(value, str | bool | tuple) or not unit:
        return _written(value)
    if unit in (FRACTION, PERCENT):
        return f"{value * 100 if unit == FRACTION else value:.12g} %"
    minutes = f" ({value / 60:.6g} min)" if value >= 60 else ""
    return f"{value:.12g} s{minutes}"


def _warnings(config: TradingAgentConfig) -> list[str]:
    found = []
    if config.risk_percentage < _LOWEST_SENSIBLE_RISK:
        found.append(
            f"risk_percentage = {config.risk_percentage:.12g} is {config.risk_percentage:.12g} % of equity a trade; "
            f"for {config.risk_percentage * 100:.12g} % write {config.risk_percentage * 100:.12g}"
        )
    most, size = config.largest_pct(is_binary=False), config.risked_pct
    if size > most:
        stop = config.risk_percentage / size * 100
        limit = "max_concentration_pct" if most == config.max_concentration_pct else "max_exposure_pct"
        found.append(
            f"a risk of {config.risk_percentage:.12g} % with a stop of {stop:.12g} % is a position of {size:.4g} % of "
            f"equity: {limit} cuts it to {most:.12g} %"
        )
    return found
