"""Reads off what is true now of each component: its code, settings, inputs, sources and files. Decides nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import field, replace

from agent.core.explain import UNREACHABLE
from agent.core.model import Current, InputRecord, Reason, Reuse, State
from agent.core.results import Ingredients, fingerprint, is_pinned, may_be_taken
from agent.errors import AgentError
from agent.execution.host.interface import ComponentFacts, Probed
from agent.execution.workspace import Workspace
from agent.store.outputs import catalog, results
from agent.version import VERSION
from pipelines.errors import PipelineError
from pipelines.fingerprint import FORMAT_VERSION
from pipelines.lake import hash_file, look, unlike
from pipelines.plugins.code import Code, environment
from pipelines.snapshot import Snapshot, diff
from pipelines.values import dataclass

SOURCE_PREFIX = "source:"
_MOST_PARTS = 200  # of a source, kept with the state so that the one that changed can be named


@dataclass
class Inspector:
    """What one run has found out. Code and settings are those that the project was loaded with, and what computes
    makes sure that it has the same. Files and sources are looked at once a run: what changes after that look, the next
    run sees; sources again where another process has computed meanwhile what reads them, since it may have read newer
    ones than were seen here. Everything else is read afresh."""

    workspace: Workspace
    _snapshots: dict[int, Snapshot] = field(default_factory=dict)
    _stamps: dict[int, dict[str, str]] = field(default_factory=dict)
    _looks: dict[int, tuple[tuple[str, ...], tuple[str, ...]]] = field(default_factory=dict)
    _probes: dict[str, Probed] = field(default_factory=dict)
    _run_counts: dict[str, int] = field(default_factory=dict)  # of components that read sources, at the last look
    _found: dict[tuple[str, str], Reuse | None] = field(default_factory=dict)

    def current(self, name: str, states: Mapping[str, State], *, check_files: bool = True) -> Current:
        """What is true now of component `name`. Raises PipelineError where its code cannot be read."""
        component = self.workspace.facts.components[name]
        state = states[name]
        if component.reads_sources and self._run_counts.setdefault(name, state.run_count) != state.run_count:
            self._run_counts[name] = state.run_count
            self._probes.clear()
        code = self.code(name)
        missing, altered = self._damage(state) if check_files else ((), ())
        found = Current(
            code_version=component.version or code.version,
            code_files=definitions_of(code),
            definitions=code.definitions,
            settings_hash=component.settings_hash,
            settings=component.settings,
            libraries=component.libraries,
            inputs=self._upstream(component, state, states),
            max_age_seconds=self._max_age_seconds(component),
            missing=missing,
            altered=altered,
        )
        if self.workspace.is_try and component.reads_sources and is_pinned(state, found):
            pinned = {name: one for name, one in state.inputs.items() if name.startswith(SOURCE_PREFIX)}
            return replace(found, inputs={**found.inputs, **pinned}, max_age_seconds=None)
        return replace(found, inputs={**found.inputs, **self._sources(component)})

    def currents(self, names: Sequence[str], states: Mapping[str, State]) -> dict[str, Current]:
        """What is true now of several components, the files of their outputs read from the catalog at once."""
        outputs = [states[name].output_snapshot_id for name in names]
        self._read_stamps([snapshot_id for snapshot_id in outputs if snapshot_id is not None])
        return {name: self.current(name, states) for name in names}

    def code(self, name: str) -> Code:
        """Code of a component, as it was when the project was loaded. Raises PipelineError where it cannot be read."""
        component = self.workspace.facts.components[name]
        if component.code is None:
            fault = component.code_fault
            assert fault is not None
            raise PipelineError(fault.what, where=fault.where, fix=fault.fix)
        return component.code

    def changes(self, names: Sequence[str], states: Mapping[str, State]) -> dict[str, dict[str, tuple[str, ...]]]:
        """Component -> input -> partitions that changed since it last read them, for inputs it has read before."""
        found: dict[str, dict[str, tuple[str, ...]]] = {}
        for name in names:
            for upstream, reads in self.workspace.facts.components[name].upstream.items():
                known, newest = states[name].inputs.get(upstream), states[upstream]
                if known is None or newest.output_snapshot_id is None or known.version == newest.output_version:
                    continue
                keys = diff(self.snapshot(known.snapshot_id), self.snapshot(newest.output_snapshot_id), reads)
                found.setdefault(name, {})[upstream] = tuple(sorted(keys))
        return found

    def snapshot(self, snapshot_id: int) -> Snapshot:
        """A snapshot from the catalog; immutable, so read once."""
        if snapshot_id not in self._snapshots:
            with self.workspace.database.reading() as connections:
                self._snapshots[snapshot_id] = catalog.load_snapshot(connections.project, snapshot_id)
        return self._snapshots[snapshot_id]

    def read_snapshots(self, snapshot_ids: Collection[int]) -> None:
        """Read several at once, for `snapshot` to find; those that are not there are left for it to complain about."""
        missing = [snapshot_id for snapshot_id in snapshot_ids if snapshot_id not in self._snapshots]
        if missing:
            with self.workspace.database.reading() as connections:
                self._snapshots |= catalog.load_snapshots(connections.project, missing)

    def remember(self, snapshot_id: int, snapshot: Snapshot) -> None:
        """Keep a snapshot that was just committed: whatever lies downstream reads it next."""
        self._snapshots[snapshot_id] = snapshot

    def findable(self, name: str, current: Current, reasons: Sequence[Reason]) -> str | None:
        """What a result that component `name`, stale for these `reasons`, may take is found by; None where it is to be
        computed in any case."""
        if not may_be_taken(reasons):
            return None
        return self.fingerprint(name, current, environment(self.workspace.facts.components[name].libraries))

    def look_again(self, name: str) -> None:
        """Forget which results of a component there were."""
        self._found = {key: one for key, one in self._found.items() if key[0] != name}

    def earlier(self, name: str, mark: str) -> Reuse | None:
        """The result that component `name` may take instead of computing: registered for what is true now, which
        `mark` says, and whole in the lake."""
        if (name, mark) not in self._found:
            with self.workspace.database.reading() as connections:
                self._found[name, mark] = results.find(connections.project, name, mark)
        found = self._found[name, mark]
        return None if found is None or any(self._look(found.snapshot_id)) else found

    def fingerprint(self, name: str, current: Current, versions: Mapping[str, str]) -> str | None:
        """What a result of component `name` is registered and found by, computed with these `versions` of libraries;
        None where more may count than can be said."""
        component = self.workspace.facts.components[name]
        if component.upstream.keys() - current.inputs.keys():
            return None
        inputs = {
            # Not as recorded: an earlier declaration may have named other columns.
            up: self.snapshot(current.inputs[up].snapshot_id).version_of(reads)
            for up, reads in component.upstream.items()
        }
        return fingerprint(
            Ingredients(
                component=name,
                format=FORMAT_VERSION,
                program=VERSION,
                code=self.code(name).version,
                declared_version=component.version,
                settings_hash=component.settings_hash,
                inputs=inputs,
                sources=tokens_in(current),
                environment=versions,
                is_timeless=current.max_age_seconds is None and (component.has_gate or not component.is_release),
            )
        )

    def sources_now(self, current: Current) -> dict[str, str]:
        """Of each source among the inputs that answers, the digest of its tokens at this moment."""
        found = {}
        for name in tokens_in(current):
            try:
                probed = self.workspace.host.probe(name.removeprefix(SOURCE_PREFIX))
            except AgentError:
                continue
            if probed.error is None:
                found[name] = probed.version
        return found

    def _read_stamps(self, snapshot_ids: Sequence[int]) -> None:
        with self.workspace.database.reading() as connections:
            self._stamps |= catalog.file_stamps(connections.project, snapshot_ids)

    def _upstream(self, component: ComponentFacts, state: State, states: Mapping[str, State]) -> dict[str, InputRecord]:
        found = {}
        for name, reads in component.upstream.items():
            up = states[name]
            if up.output_snapshot_id is None or up.output_version is None:
                continue
            known = state.inputs.get(name)
            if known is not None and known.version == up.output_version:
                read_version = known.read_version
            else:
                read_version = self.snapshot(up.output_snapshot_id).version_of(reads)
            found[name] = InputRecord(up.output_snapshot_id, up.output_version, read_version)
        return found

    def _sources(self, component: ComponentFacts) -> dict[str, InputRecord]:
        if not component.reads_sources:
            return {}
        found = {}
        for name in self.workspace.facts.sources:
            if name not in self._probes:
                self._probes[name] = self.workspace.host.probe(name)
            probed = self._probes[name]
            # What a person's own source raises is no error here; the attempt fails with the whole story.
            version = probed.version if probed.error is None else f"{UNREACHABLE}{probed.error}"
            few = probed.tokens if len(probed.tokens) <= _MOST_PARTS else {}
            found[SOURCE_PREFIX + name] = InputRecord(0, version, version, few)
        return found

    def tokens(self) -> dict[str, Mapping[str, str]]:
        """Source -> its tokens, of those that were probed in this run and answered."""
        return {name: probed.tokens for name, probed in self._probes.items() if probed.error is None}

    def _max_age_seconds(self, component: ComponentFacts) -> float | None:
        """The strictest limit of the sources that it reads; a source need not have one."""
        sources = self.workspace.facts.sources.values() if component.reads_sources else ()
        limits = (source.max_age_seconds for source in sources)
        return min((limit for limit in limits if limit is not None), default=None)

    def _damage(self, state: State) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Keys whose files are gone, and keys whose bytes differ from those written, at the run's one look."""
        output = state.output_snapshot_id
        return ((), ()) if output is None else self._look(output)

    def _look(self, output: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
        if output not in self._looks:
            self._looks[output] = self._look_at(output)
        return self._looks[output]

    def _look_at(self, output: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """As `_damage`: hashed where size agrees and the time of change does not; a file that was only touched is noted
        as seen."""
        if output not in self._stamps:
            self._read_stamps([output])
        root = self.workspace.settings.lake_path
        unlike_noted = unlike(root, self._stamps[output])
        if not unlike_noted:
            return (), ()
        with self.workspace.database.reading() as connections:
            facts = catalog.file_facts(connections.project, [output])[output]
        seen = look(root, unlike_noted)
        missing, altered, touched = [], [], []
        for fact in [one for one in facts if one.path in unlike_noted]:
            found = seen.get(fact.path)
            if found is None:
                missing.append(fact.key)
            elif found[0] != fact.size or hash_file(root / fact.path) != fact.file_hash:
                altered.append(fact.key)
            else:
                touched.append((fact.key, found[1]))
        if touched:
            with self.workspace.database.writing() as connections:
                for key, mtime_ns in touched:
                    catalog.set_mtime(connections.project, output, key, mtime_ns)
        return tuple(missing), tuple(altered)


def tokens_in(current: Current) -> dict[str, str]:
    """Source -> digest of the tokens of all its parts."""
    return {name: one.version for name, one in current.inputs.items() if name.startswith(SOURCE_PREFIX)}


def definitions_of(code: Code) -> dict[str, Mapping[str, str]]:
    """Module -> {definition: hash} of a component's code. The format of what is stored is named like a definition, so
    that a recompute that it causes can be explained."""
    return {**code.files, "pipelines": {"FORMAT_VERSION": str(FORMAT_VERSION)}}
