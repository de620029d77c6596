"""The contract of a component: a function from input snapshots to an output snapshot.

A component is one file in pipelines/components/ (or a module that agent.toml or an entry point names) with a frozen
`Settings` dataclass and a function under `@component(...)`. The function gets a `Context` and a `Settings`, reads its
inputs through the context, and writes or carries over each partition of its output. It never sees a clock, a database
or the network: the same inputs give the same bytes. Sources alone reach outside, through `Context.sources`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pipelines.errors import PipelineError, SettingsError
from pipelines.lake import Lake
from pipelines.signatures import caller, require_call, require_settings
from pipelines.snapshot import EVERYTHING, Partition, Reads, Snapshot, diff
from pipelines.values import dataclass

if TYPE_CHECKING:
    import polars as pl

    from pipelines.source import Source


@dataclass(frozen=True)
class Input:
    """One upstream snapshot as a component sees it: the newest, and what changed since the component last read it."""

    snapshot: Snapshot
    reads: Reads
    changed: frozenset[str]  # keys added, changed or removed; every key on a full recompute
    lake: Lake

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys this component declared to read, in order."""
        return tuple(p.key for p in self.snapshot.select(self.reads.prefix))

    def partition(self, key: str) -> Partition | None:
        return self.snapshot.by_key.get(key)

    def read(self, key: str, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """The table in partition `key` (the declared columns by default). Raises LakeError when it is missing."""
        return self.lake.read_table(self.require(key), columns or self._declared())

    def read_bytes(self, key: str) -> bytes:
        return self.lake.read_bytes(self.require(key))

    def read_all(self, prefix: str = "", columns: Sequence[str] | None = None) -> pl.DataFrame:
        """All partitions below `prefix`, one after the other in key order. Whole history in memory: mind the size."""
        keys = [key for key in self.keys if key.startswith(prefix)]
        return self.lake.read_tables([self.require(key) for key in keys], columns or self._declared())

    def _declared(self) -> Sequence[str] | None:
        return None if self.reads.columns == ("*",) else self.reads.columns

    def require(self, key: str) -> Partition:
        """Partition `key`. Raises PipelineError where there is none."""
        partition = self.partition(key)
        if partition is None:
            raise PipelineError(
                f"{self.snapshot.component} has no partition {key!r}",
                where=f"its output, partitions {self.reads.prefix or 'of any name'}",
                fix="ask `keys` for what there is, or `partition(key)`, which gives None",
            )
        return partition


@dataclass(frozen=True)
class Outside:
    """What is true outside the data when a release is made, for its gate and for words that no content hash covers: the
    same inputs still give the same release.

    now: the clock's time; live: names of the sources that are not historical; record: what earlier publications
    promised and kept, in a sentence ("" before any outcome).
    """

    now: datetime
    live: frozenset[str]
    record: str = ""


@dataclass
class Context:
    """What a component is given for one attempt.

    previous: the last output whose partitions may be carried over; None means recompute everything.
    redo: output keys to recompute although no input changed (a damaged file, a person's mark).
    probes: what sources answered when this run was planned. base: folder that relative paths in the settings start from
    (where agent.toml lies). code_base: folder that own modules are named from: `base`, but in a try of other code.
    outside: for a component that makes releases, in a run; None elsewhere, where data are judged by themselves.
    """

    component: str
    lake: Lake
    attempt: str
    inputs: Mapping[str, Input]
    previous: Snapshot | None = None
    redo: frozenset[str] = frozenset()
    sources: Mapping[str, Source] = field(default_factory=dict)
    probes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    on_progress: Callable[[int, int, str], None] = lambda done, total, what: None
    base: Path = Path()
    code_base: Path = Path()
    outside: Outside | None = None
    on_note: Callable[[str], None] = lambda text: None
    _written: dict[str, Partition] = field(init=False, default_factory=dict)

    def progress(self, done: int, total: int, what: str = "") -> None:
        """Tell the person who waits: `done` of `total` steps, now at `what`."""
        self.on_progress(done, total, what)

    def tokens(self, source: str) -> Mapping[str, str]:
        """Part of `source` -> token, as the run was planned with: a source is probed once. Raises what probing does."""
        known = self.probes.get(source)
        return self.sources[source].probe().parts if known is None else known

    def note(self, text: str) -> None:
        """Say something for the log of the run, such as what a step cost: no part of the output."""
        self.on_note(text)

    def carry(self, key: str) -> bool:
        """Take partition `key` over from the previous output by reference. False where there is none to take."""
        if self.previous is None or key in self.redo:
            return False
        old = self.previous.by_key.get(key)
        if old is None:
            return False
        self._written[key] = old
        return True

    def refer(self, key: str, source: Input, name: str) -> None:
        """Take partition `name` of an input into the output as `key`: the same file, which is not written again."""
        if key in self._written:
            raise self._twice(key)
        self._written[key] = replace(source.require(name), key=key)

    def write_table(
        self, key: str, frame: pl.DataFrame, *, sort_by: Sequence[str] = (), time: str | None = None
    ) -> None:
        """Write `frame` as partition `key`, sorted by `sort_by`; `time` names the column of event time.

        The same content as before is no change: the earlier file is kept and the new one dropped.
        """
        if sort_by:
            frame = frame.sort(sort_by, maintain_order=True)
        self._keep(self.lake.write_table(self.component, key, frame, attempt=self.attempt, time=time))

    def write_bytes(self, key: str, data: bytes, *, content: str | None = None, suffix: str = "") -> None:
        """Write `data` as partition `key`. `content` is a hash of the logical content where the bytes are not it
        (a model, whose pickle differs between equal fits); `suffix` is the file's ending, such as `.json`."""
        self._keep(
            self.lake.write_bytes(self.component, key, data, attempt=self.attempt, content=content, suffix=suffix)
        )

    def previous_bytes(self, key: str) -> bytes | None:
        """Content of `key` in the previous output (a memo, a checkpoint); None where there is none."""
        old = None if self.previous is None or key in self.redo else self.previous.by_key.get(key)
        return None if old is None else self.lake.read_bytes(old)

    def result(self) -> Snapshot:
        """The output snapshot as written and carried over so far."""
        return Snapshot(self.component, tuple(self._written.values()))

    def _keep(self, new: Partition) -> None:
        if new.key in self._written:
            raise self._twice(new.key)
        old = None if self.previous is None or new.key in self.redo else self.previous.by_key.get(new.key)
        if old is not None and old.content_hash == new.content_hash:
            self.lake.discard(new)
            new = old
        self._written[new.key] = new

    def _twice(self, key: str) -> PipelineError:
        return PipelineError(
            f"{self.component} wrote partition {key!r} twice",
            where=f"the code of component {self.component}",
            fix="write each partition once in a run: gather its rows first",
        )


@dataclass(frozen=True)
class Pending:
    """A published prediction whose outcome is not known yet."""

    id: int
    market_id: str
    ts: datetime  # when the prediction could be made (UTC)
    horizon_end_at: datetime  # when the last bar of its horizon closes, if every bar exists
    horizon_bars: int


@dataclass(frozen=True)
class Outcome:
    """What became of a prediction: the return over its horizon, and 1 or 0 for up beyond cost or not."""

    id: int
    realized_return: float
    outcome: int


@dataclass(frozen=True)
class Deferral:
    """A stale component that its own policy does not want recomputed yet, and what would end the wait."""

    until: str
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Due:
    """A stale component whose own policy wants it recomputed now, and what made it due."""

    because: str


@dataclass(frozen=True)
class Observation:
    """What a policy may look at when it decides whether to defer: pure numbers, read off before the decision."""

    inputs: Mapping[str, Input]
    previous: Snapshot
    previous_inputs: Mapping[str, Snapshot]
    settings: Any
    lake: Lake
    live_brier: float | None = None  # Brier score of published predictions whose outcome is known
    live_count: int = 0


class ComponentFunction(Protocol):
    """The function under `@component`: reads and writes through the context, returns nothing."""

    def __call__(self, ctx: Context, settings: Any, /) -> None: ...


@dataclass(frozen=True)
class NoSettings:
    """For a component that has nothing to set."""


@dataclass(frozen=True, kw_only=True)
class _Declared:
    """What a component's declaration holds, and what the graph knows of it.

    reads_sources: it asks the configured sources, so that their probes and settings count. heavy: run it in a child
    process. libraries: packages whose major.minor version counts. is_release: its output is a release, shown in a
    folder of its own. The hooks, each a small function or table:

    gate: refuses an output before it is made, by raising: what looks at the clock or at the record (`ctx.outside`)
    belongs there, since it is asked too where an earlier result is taken instead of computing; of what makes releases
    only one with a gate is. policy: may defer a recompute whose only causes are new inputs. settle: finds outcomes of
    pending predictions in the inputs. projections: partition key -> the SQL table that shows its newest content
    (markets, predictions) or, for a JSON partition, backtest_metrics. extra_modules: modules that its settings name
    (own features), whose code counts as its own. reads_files: data files below the project's folder that it opens by
    itself, or a function of its settings and that folder which names them; their content counts like its code.
    contract: checks the table in one of its partitions, given its key, and raises ContractViolation; for `agent
    checks`, since a component checks its output itself before it writes it.
    """

    settings: type[Any] = NoSettings
    reads_sources: bool = False
    heavy: bool = True
    version: str | None = None
    libraries: tuple[str, ...] = ()
    is_release: bool = False
    gate: ComponentFunction | None = None
    policy: Callable[[Observation], Deferral | Due | None] | None = None
    settle: Callable[[Mapping[str, Input], Sequence[Pending]], Sequence[Outcome]] | None = None
    projections: Mapping[str, str] = field(default_factory=dict)
    extra_modules: Callable[[Any, Path], Sequence[str]] | None = None
    reads_files: Sequence[str] | Callable[[Any, Path], Sequence[str]] = ()
    contract: Callable[[str, pl.DataFrame], None] | None = None


@dataclass(frozen=True, kw_only=True)
class Component(_Declared):
    """A component as the graph knows it. upstream: name -> what is read of it."""

    name: str
    function: ComponentFunction
    module: str
    upstream: Mapping[str, Reads]


@dataclass(frozen=True, kw_only=True)
class component(_Declared):  # noqa: N801 (a decorator, as users write it)
    """Makes a function a component. Its name is its module's last part unless `name` says otherwise.

    upstream: the names of what it reads, or name -> what is read of it.
    """

    name: str | None = None
    upstream: Mapping[str, Reads] | Sequence[str] = ()

    def __call__(self, function: ComponentFunction) -> Component:
        """The component that `function` computes.

        Raises SettingsError, with the user's file and line, for what could not be called or read when its turn comes.
        """
        upstream = self.upstream
        if isinstance(upstream, str):
            raise SettingsError(
                f"upstream = {upstream!r} is one text, not names",
                where=caller(),
                fix=f'write upstream=["{upstream}"]',
            )
        require_call(function, "ctx, settings", "a component")
        module: str = function.__module__
        name = self.name or module.rpartition(".")[2]
        require_settings(self.settings, f"component {name}")
        for hook, arguments in (
            (self.gate, "ctx, settings"),
            (self.policy, "observation"),
            (self.settle, "inputs, pending"),
            (self.extra_modules, "settings, base"),
            (self.contract, "key, frame"),
            (self.reads_files if callable(self.reads_files) else None, "settings, base"),
        ):
            if hook is not None:
                require_call(hook, arguments, f"a hook of component {name}")
        reads = dict(upstream) if isinstance(upstream, Mapping) else dict.fromkeys(upstream, EVERYTHING)
        return Component(function=function, module=module, **{**vars(self), "name": name, "upstream": reads})


def perform(
    component: Component,
    settings: Any,
    inputs: Mapping[str, Snapshot],
    *,
    lake: Lake,
    attempt: str,
    previous: Snapshot | None = None,
    previous_inputs: Mapping[str, Snapshot] | None = None,
    redo: frozenset[str] = frozenset(),
    sources: Mapping[str, Source] | None = None,
    probes: Mapping[str, Mapping[str, str]] | None = None,
    on_progress: Callable[[int, int, str], None] = lambda done, total, what: None,
    base: Path = Path(),
    code_base: Path | None = None,
    outside: Outside | None = None,
    on_note: Callable[[str], None] = lambda text: None,
    found: Snapshot | None = None,
) -> Snapshot:
    """Run one component: `inputs` (and what it read last time) in, output snapshot out, its files flushed to disk.

    With `previous` None everything is recomputed and every input counts as changed. `redo` names output partitions to
    recompute in any case; `probes` are answers of `sources` that are known already; `base`, `code_base`: see Context.
    `found` is what would come out, where that is known: only the gate is asked then.
    Raises what the component raises; files it wrote so far then lie unreferenced in the lake.
    """
    before = previous_inputs if previous is not None and previous_inputs is not None else {}
    views = view_inputs(component, inputs, before, lake)
    context = Context(
        component=component.name,
        lake=lake,
        attempt=attempt,
        inputs=views,
        previous=previous,
        redo=redo,
        sources=sources or {},
        probes=probes or {},
        on_progress=on_progress,
        base=base,
        code_base=code_base or base,
        outside=outside,
        on_note=on_note,
    )
    if component.gate is not None:
        component.gate(context, settings)
    if found is not None:
        return found
    component.function(context, settings)
    lake.flush()
    return context.result()


def view_inputs(
    component: Component, inputs: Mapping[str, Snapshot], before: Mapping[str, Snapshot], lake: Lake
) -> dict[str, Input]:
    """The inputs as `component` sees them, with what changed since it read `before`."""
    return {
        name: Input(inputs[name], reads, _changed(before.get(name), inputs[name], reads), lake)
        for name, reads in component.upstream.items()
    }


def _changed(old: Snapshot | None, new: Snapshot, reads: Reads) -> frozenset[str]:
    return frozenset(new.fingerprints(reads)) if old is None else diff(old, new, reads)
