"""Settings of the agent itself: database, home, executor, schedule, worker, API, retention, alerts, dashboard.

Defaults < agent.toml < .env and environment < flags. The sections of components and sources are pipelines' business
(pipelines.project); both are read from the same agent.toml.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pipelines.errors import SettingsError
from pipelines.settings import Faults, build, read_toml, setting

SETTINGS_FILE = "agent.toml"
DATABASE_FILE = "state.sqlite"
TradingMode = Literal["dry_run", "live"]


@dataclass(frozen=True)
class DatabaseSettings:
    """[database]"""

    url: str = setting("", "SQLAlchemy URL; empty means SQLite in the home folder. AGENT_DATABASE_URL goes first.")


@dataclass(frozen=True)
class ExecutorSettings:
    """[executor]"""

    kind: Literal["processes", "inline"] = setting(
        "processes", "Run heavy components in a child process, or all in the orchestrator's own."
    )
    timeout_seconds: float = setting(3600.0, "Time a component may take before it is ended.", unit="s", low=0.1)
    timeouts: Mapping[str, float] = field(default_factory=dict, metadata={"doc": "The same for single components."})
    attempts: int = setting(3, "Tries of a component whose error is transient, in one run.", low=1, high=20)
    retry_seconds: float = setting(2.0, "Wait before the second try; doubles with each.", unit="s", low=0, high=600)
    lease_seconds: float = setting(60.0, "How long a silent process keeps its claim.", unit="s", low=0.2, high=86400)


@dataclass(frozen=True)
class ScheduleSettings:
    """[schedule]"""

    jitter_seconds: float = setting(0.0, "Start each scheduled run up to this much later.", unit="s", low=0, high=3600)
    retry_base_seconds: float = setting(60.0, "Wait after a component's first failure; doubles.", unit="s", low=0)
    retry_cap_seconds: float = setting(3600.0, "Longest wait after a failure.", unit="s", low=0)


@dataclass(frozen=True)
class WorkerSettings:
    """[worker]"""

    enabled: bool = setting(True, "Whether the server also works off the run queue.")
    check_interval: float = setting(
        5.0, "Pause between looks into the queue. WORKER_CHECK_INTERVAL.", unit="s", low=0.05
    )
    batch_size: int = setting(10, "Runs taken one after the other at a look. WORKER_BATCH_SIZE.", low=1, high=1000)


@dataclass(frozen=True)
class ApiSettings:
    """[api]"""

    host: str = setting("127.0.0.1", "Address to listen on; any but loopback needs a token.")
    port: int = setting(8000, "Port to listen on.", low=0, high=65535)
    token: str = setting("", "Bearer token. AGENT_API_TOKEN goes first.", secret=True)
    project_roots: tuple[str, ...] = setting(
        (), "Folders that projects may lie in; default: home and temporary folder."
    )
    max_body_bytes: int = setting(1_000_000, "Largest request body taken.", unit="bytes", low=1000)
    rate_limit_per_minute: int = setting(600, "Changing requests a client may send in a minute.", low=1)
    approval_minutes: int = setting(1440, "How long a run waits for approval before it expires.", unit="min", low=1)


@dataclass(frozen=True)
class RetentionSettings:
    """[retention]"""

    keep_days: int = setting(90, "Runs with their events and attempts are removed after this.", unit="days", low=1)
    keep_runs: int = setting(200, "At least this many of the newest runs are kept, however old.", low=1)
    keep_output_days: int = setting(
        7, "Replaced outputs that no kept release needs are kept this long.", unit="days", low=0
    )
    keep_releases: int = setting(20, "Releases gc keeps, the current one always among them.", low=1)


@dataclass(frozen=True)
class AlertSettings:
    """[alerts]"""

    urls: tuple[str, ...] = setting((), "Apprise URLs that messages go to.", secret=True)
    failures: int = setting(3, "Failures of a component in a row that are worth a message.", low=1)
    period_minutes: int = setting(60, "At most one message a cause in this time.", unit="min", low=1)


@dataclass(frozen=True)
class DashboardSettings:
    """[dashboard]"""

    read_only: bool = setting(False, "Hide every action.")
    password: str = setting("", "Asked for before anything is shown. AGENT_DASHBOARD_PASSWORD goes first.", secret=True)


SECTIONS: Mapping[str, type[Any]] = {
    "database": DatabaseSettings,
    "executor": ExecutorSettings,
    "schedule": ScheduleSettings,
    "worker": WorkerSettings,
    "api": ApiSettings,
    "retention": RetentionSettings,
    "alerts": AlertSettings,
    "dashboard": DashboardSettings,
}
AGENT_SECTIONS = frozenset(SECTIONS)

# Environment variable -> the setting it goes before.
VARIABLES: Mapping[str, str] = {
    "AGENT_HOME": "home",
    "AGENT_DATABASE_URL": "database.url",
    "AGENT_API_TOKEN": "api.token",
    "AGENT_DASHBOARD_PASSWORD": "dashboard.password",
    "WORKER_CHECK_INTERVAL": "worker.check_interval",
    "WORKER_BATCH_SIZE": "worker.batch_size",
    "TRADING_MODE": "trading_mode",
}


@dataclass(frozen=True)
class Settings:
    """All settings of the agent, checked. `base` is the project's folder, where agent.toml lies or would lie."""

    base: Path
    home: Path
    database: DatabaseSettings
    executor: ExecutorSettings
    schedule: ScheduleSettings
    worker: WorkerSettings
    api: ApiSettings
    retention: RetentionSettings
    alerts: AlertSettings
    dashboard: DashboardSettings
    trading_mode: TradingMode = "dry_run"

    @property
    def file(self) -> Path:
        return self.base / SETTINGS_FILE

    @property
    def database_url(self) -> str:
        """The database's URL: as set, else the embedded SQLite file."""
        return self.database.url or f"sqlite:///{self.home / DATABASE_FILE}"

    @property
    def is_embedded(self) -> bool:
        """Whether the database is the embedded default, which is migrated on first use."""
        return not self.database.url

    @property
    def lake_path(self) -> Path:
        return self.home / "lake"

    @property
    def releases_path(self) -> Path:
        return self.home / "releases"

    def timeout_of(self, component: str) -> float:
        """Seconds that a component may take."""
        return self.executor.timeouts.get(component, self.executor.timeout_seconds)


def load(
    base: Path | None = None, environment: Mapping[str, str] | None = None, *, faults: Faults | None = None
) -> Settings:
    """Settings of the project in folder `base` (default: the current one).

    Raises SettingsError that names every fault in the agent's own sections and in the environment; with `faults` given
    they are only added there, to be reported together with those of components and sources.
    """
    gathered = faults
    folder = (base or Path.cwd()).resolve()
    env = {name: value for name, (value, _) in environment_of(folder, environment).items()}
    sections = read_toml(folder / SETTINGS_FILE)
    faults = gathered if gathered is not None else Faults(str(folder / SETTINGS_FILE))
    parts = {}
    for name, cls in SECTIONS.items():
        values = sections.get(name, {})
        if not isinstance(values, dict):
            faults.add(name, "must be a table")
            values = {}
        parts[name] = build(cls, values, name, faults)
    settings = Settings(base=folder, home=Path(env.get("AGENT_HOME") or folder / ".tidemill").absolute(), **parts)
    settings = _with_environment(settings, env, faults)
    if gathered is None:
        faults.raise_if_any()
    return settings


def for_project(folder: Path, control: Settings, project_id: int) -> Settings:
    """Settings of a project other than the default one: its own home and state, the server's everything else.

    Runs of all projects lie in the server's database: how long they are kept is no project's to say.
    """
    own = load(folder, environment={})
    runs = control.retention
    return replace(
        own,
        api=control.api,
        worker=control.worker,
        alerts=control.alerts,
        retention=replace(own.retention, keep_days=runs.keep_days, keep_runs=runs.keep_runs),
        trading_mode=control.trading_mode,
    )


def database_url() -> str:
    """The database's URL of the project in the current folder, for alembic."""
    return load().database_url


def environment_of(folder: Path, environment: Mapping[str, str] | None = None) -> dict[str, tuple[str, str]]:
    """Variable -> its value and where it comes from (`environment` or `.env`), for those of VARIABLES that are set."""
    env = os.environ if environment is None else environment
    dotenv = _read_dotenv(folder / ".env")
    found = {}
    for name in VARIABLES:
        if env.get(name):
            found[name] = (env[name], "environment")
        elif dotenv.get(name) and name not in env:
            found[name] = (dotenv[name], ".env")
    return found


def _with_environment(settings: Settings, values: Mapping[str, str], faults: Faults) -> Settings:
    mode = values.get("TRADING_MODE", "dry_run")
    if mode not in ("dry_run", "live"):
        faults.add("environment", f"TRADING_MODE = {mode!r} is not 'dry_run' or 'live'")
    settings = replace(settings, trading_mode="live" if mode == "live" else "dry_run")
    for variable, text in values.items():
        section, _, name = VARIABLES[variable].partition(".")
        if not name:
            continue
        part = getattr(settings, section)
        kind = type(getattr(part, name))
        try:
            value = kind(text)
        except ValueError:
            faults.add("environment", f"{variable} = {text!r} is not a number")
            continue
        before = len(faults.found)
        build(type(part), {name: value}, f"environment, {variable}", faults)
        if len(faults.found) == before:
            settings = replace(settings, **{section: replace(part, **{name: value})})
    return settings


def _read_dotenv(path: Path) -> dict[str, str]:
    """KEY=VALUE lines of a .env file; `#` starts a comment line, quotes around a value are taken off."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot read .env: {error}", where=str(path), mend="correct or remove it") from error
    values = {}
    for number, line in enumerate(lines, start=1):
        text = line.strip().removeprefix("export ").strip()
        if not text or text.startswith("#"):
            continue
        key, equals, value = text.partition("=")
        if not equals:
            raise SettingsError("a line is not KEY=VALUE", where=f"{path}, line {number}", mend="correct the line")
        values[key.strip()] = value.strip().strip("'\"")
    return values
