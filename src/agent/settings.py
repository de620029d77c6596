"""Settings of the agent itself: its sections (found in agent/sections), its home, and the environment.

Defaults < agent.toml < .env and environment < flags. The sections of components and sources are pipelines' business
(pipelines.project); both are read from the same agent.toml.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast, get_args

from agent import dotenv_file, sections
from pipelines.errors import SettingsError
from pipelines.settings import Faults, build, read_toml
from pipelines.values import dataclass

if TYPE_CHECKING:
    from agent.sections import alerts, api, database, executor, retention, schedule, worker

_T = TypeVar("_T")

SETTINGS_FILE = "agent.toml"
DATABASE_FILE = "state.sqlite"
HOME_FOLDER = ".tidemill"
TradingMode = Literal["dry_run", "live"]


# Environment variable -> the setting it goes before.
VARIABLES: Mapping[str, str] = {
    "AGENT_HOME": "home",
    "AGENT_DATABASE_URL": "database.url",
    "AGENT_API_TOKEN": "api.token",
    "AGENT_DASHBOARD_PASSWORD": "dashboard.password",
    "AGENT_WEBHOOK_SECRET": "webhook.secret",
    "WORKER_CHECK_INTERVAL": "worker.check_interval",
    "WORKER_BATCH_SIZE": "worker.batch_size",
    "TRADING_MODE": "trading_mode",
}


# What a project must not decide for the server that runs it: where files and rows go, and who may ask.
_MOVING = (
    *("AGENT_HOME", "AGENT_DATABASE_URL"),
    *("AGENT_API_TOKEN", "AGENT_DASHBOARD_PASSWORD", "AGENT_WEBHOOK_SECRET"),
)


@dataclass(frozen=True)
class Settings:
    """All settings of the agent, checked. `base` is the project's folder, where agent.toml lies or would lie.

    parts: the sections that are not as they are by default, each by its name. `of` reads any section; those that
    several rooms read have an attribute too.
    """

    base: Path
    home: Path
    trading_mode: TradingMode = "dry_run"
    parts: Mapping[str, Any] = field(default_factory=dict)
    _defaults: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def of(self, cls: type[_T]) -> _T:
        """The values of a section, by its settings class."""
        found: _T = self.section(cls.__module__.rpartition(".")[2])
        return found

    def section(self, name: str) -> Any:
        """The values of section `name`, an instance of its settings class."""
        if name in self.parts:
            return self.parts[name]
        if name not in self._defaults:
            self._defaults[name] = section_class(name)()
        return self._defaults[name]

    def with_parts(self, **parts: Any) -> Settings:
        """The same with other values of some sections."""
        return replace(self, parts={**self.parts, **parts})

    # Typed, and imported by who reads them: a run with nothing to do makes no settings of the server.
    @property
    def alerts(self) -> alerts.Settings:
        return cast("alerts.Settings", self.section("alerts"))

    @property
    def api(self) -> api.Settings:
        return cast("api.Settings", self.section("api"))

    @property
    def database(self) -> database.Settings:
        return cast("database.Settings", self.section("database"))

    @property
    def executor(self) -> executor.Settings:
        return cast("executor.Settings", self.section("executor"))

    @property
    def retention(self) -> retention.Settings:
        return cast("retention.Settings", self.section("retention"))

    @property
    def schedule(self) -> schedule.Settings:
        return cast("schedule.Settings", self.section("schedule"))

    @property
    def worker(self) -> worker.Settings:
        return cast("worker.Settings", self.section("worker"))

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
    def inbox_path(self) -> Path:
        """Where replies of remote sources lie."""
        return self.home / "inbox"

    @property
    def releases_path(self) -> Path:
        return self.home / "releases"

    def timeout_of(self, component: str) -> float:
        """Seconds that a component may take."""
        return self.executor.timeouts.get(component, self.executor.timeout_seconds)


def section_names() -> tuple[str, ...]:
    """Names of the agent's own sections, in alphabetical order; nothing is imported."""
    files = [path for folder in sections.__path__ for path in Path(folder).glob("*.py")]
    return tuple(sorted(path.stem for path in files if not path.stem.startswith("_")))


def section_class(name: str) -> type[Any]:
    """The settings class of one of `section_names`."""
    found: type[Any] = importlib.import_module(f"agent.sections.{name}").Settings
    return found


def load(
    base: Path | None = None,
    environment: Mapping[str, str] | None = None,
    *,
    faults: Faults | None = None,
    sections_read: Mapping[str, Any] | None = None,
) -> Settings:
    """Settings of the project in folder `base` (default: the current one).

    Raises SettingsError that names every fault in the agent's own sections and in the environment; with `faults` given
    they are only added there, to be reported together with those of components and sources. `sections_read` is what
    agent.toml says where that was read already.
    """
    gathered = faults
    folder = (base or Path.cwd()).resolve()
    env = environment_of(folder, environment)
    written = read_toml(folder / SETTINGS_FILE) if sections_read is None else sections_read
    faults = gathered if gathered is not None else Faults(str(folder / SETTINGS_FILE))
    parts = {}
    for name in section_names():
        if name not in written:
            continue
        values = written[name]
        if not isinstance(values, dict):
            faults.add(name, "must be a table")
            continue
        parts[name] = build(section_class(name), values, name, faults)
    home, _ = env.get("AGENT_HOME", (folder / HOME_FOLDER, ""))
    settings = Settings(base=folder, home=Path(home).absolute(), parts=parts)
    settings = _with_environment(settings, env, faults)
    if gathered is None:
        faults.raise_if_any()
    return settings


def for_project(
    folder: Path, control: Settings, project_id: int, sections_read: Mapping[str, Any] | None = None
) -> Settings:
    """Settings of a project other than the default one: its own home and state, the server's everything else.

    Runs of all projects lie in the server's database: how long they are kept is no project's to say.
    Raises SettingsError.
    """
    moved = [name for name in _MOVING if name in environment_of(folder, {})]
    if moved and not control.api.projects_may_move:
        raise SettingsError(
            f"a project may not set {', '.join(moved)}",
            where=str(folder / ".env"),
            fix="take the line out, or let the person who runs the server set [api] projects_may_move = true",
        )
    own = load(folder, environment={}, sections_read=sections_read)
    runs = control.retention
    shared = own.with_parts(
        api=control.api,
        worker=control.worker,
        alerts=control.alerts,
        webhook=control.section("webhook"),
        retention=replace(own.retention, keep_days=runs.keep_days, keep_runs=runs.keep_runs),
    )
    return replace(shared, trading_mode=control.trading_mode)


def database_url() -> str:
    """The database's URL of the project in the current folder, for alembic."""
    return load().database_url


def environment_of(folder: Path, environment: Mapping[str, str] | None = None) -> dict[str, tuple[str, str]]:
    """Variable -> its value and where it comes from (`environment` or `.env`), for those of VARIABLES that are set."""
    env = os.environ if environment is None else environment
    dotenv = dotenv_file.read(folder / dotenv_file.NAME)
    found = {}
    for name in VARIABLES:
        if env.get(name):
            found[name] = (env[name], "environment")
        elif dotenv.get(name) and name not in env:
            found[name] = (dotenv[name], dotenv_file.NAME)
    return found


def _with_environment(settings: Settings, values: Mapping[str, tuple[str, str]], faults: Faults) -> Settings:
    for variable, (text, origin) in values.items():
        found = Faults(str(settings.base / origin) if origin == dotenv_file.NAME else origin)
        settings = _with_variable(settings, variable, text, found)
        faults.take(found)
    return settings


def _with_variable(settings: Settings, variable: str, text: str, faults: Faults) -> Settings:
    if variable == "TRADING_MODE":
        if text not in get_args(TradingMode):
            faults.add(variable, f"{text!r} is not 'dry_run' or 'live'")
        return replace(settings, trading_mode="live" if text == "live" else "dry_run")
    section, _, name = VARIABLES[variable].partition(".")
    if not name:
        return settings
    part = settings.section(section)
    kind = type(getattr(part, name))
    try:
        value = kind(text)
    except ValueError:
        faults.add(variable, f"{text!r} is not a number")
        return settings
    before = len(faults.found)
    build(type(part), {name: value}, variable, faults)
    if len(faults.found) > before:
        return settings
    return settings.with_parts(**{section: replace(part, **{name: value})})
