"""Reads off what is true now of each component: its code, settings, inputs, sources and files. Decides nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.core.explain import UNREACHABLE
from agent.core.model import Current, InputRecord, State
from agent.execution.workspace import Workspace
from agent.store import catalog
from agent.store.catalog import FileFacts
from pipelines.code import Code, code_of, library_versions
from pipelines.component import Component
from pipelines.errors import PipelineError
from pipelines.fingerprint import FORMAT_VERSION, code_version, settings_hash
from pipelines.lake import hash_file
from pipelines.settings import counted_values
from pipelines.snapshot import Snapshot, diff, digest

SOURCE_PREFIX = "source:"
_MOST_PARTS = 200  # of a source, kept with the state so that the one that changed can be named


@dataclass
class Survey:
    """What one run has found out. Code and settings are taken once, at its start: a file edited during the run is
    recorded as it was before, so that the next run sees the edit. Everything else is read afresh."""

    workspace: Workspace
    _code: dict[str, Code] = field(default_factory=dict)
    _snapshots: dict[int, Snapshot] = field(default_factory=dict)
    _files: dict[int, list[FileFacts]] = field(default_factory=dict)

    def current(self, name: str, states: Mapping[str, State], *, check_files: bool = True) -> Current:
        """What is true now of component `name`. Raises PipelineError where its code cannot be read."""
        component = self.workspace.project.components[name]
        state = states[name]
        code = self.code(name)
        missing, altered = self._damage(state) if check_files else ((), ())
        return Current(
            code_version=component.version or code.version,
            code_files=definitions_of(code),
            definitions=code.definitions,
            settings_hash=settings_hash(self._settings(component)),
            settings=self._shown_settings(component),
            libraries=library_versions(component.libraries),
            inputs={**self._upstream(component, state, states), **self._sources(component)},
            max_age_seconds=self._max_age_seconds(component),
            missing=missing,
            altered=altered,
        )

    def currents(self, names: Sequence[str], states: Mapping[str, State]) -> dict[str, Current]:
        """What is true now of several components, the files of their outputs read from the catalog at once."""
        outputs = [states[name].output_snapshot_id for name in names]
        self._read_facts([snapshot_id for snapshot_id in outputs if snapshot_id is not None])
        return {name: self.current(name, states) for name in names}

    def code(self, name: str) -> Code:
        """Code of a component: its own file, what it imports inside the project, and, for one that reads sources or
        loads further modules (own features), those too."""
        if name not in self._code:
            component = self.workspace.project.components[name]
            modules = [component.module, *self._extra_modules(component)]
            parts = [code_of(module, cache=self.workspace.code_cache) for module in modules]
            self._code[name] = parts[0] if len(parts) == 1 else _joined(parts)
        return self._code[name]

    def changes(self, names: Sequence[str], states: Mapping[str, State]) -> dict[str, dict[str, tuple[str, ...]]]:
        """Component -> input -> partitions that changed since it last read them, for inputs it has read before."""
        found: dict[str, dict[str, tuple[str, ...]]] = {}
        for name in names:
            for upstream, reads in self.workspace.project.components[name].upstream.items():
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

    def _facts(self, snapshot_id: int) -> list[FileFacts]:
        if snapshot_id not in self._files:
            self._read_facts([snapshot_id])
        return self._files[snapshot_id]

    def _read_facts(self, snapshot_ids: Sequence[int]) -> None:
        with self.workspace.database.reading() as connections:
            self._files |= catalog.file_facts(connections.project, snapshot_ids)

    def _extra_modules(self, component: Component) -> list[str]:
        project = self.workspace.project
        extra = [type(source).__module__ for source in project.sources.values()] if component.reads_sources else []
        if component.extra_modules is not None:
            extra += component.extra_modules(project.settings[component.name], project.base)
        return extra

    def _settings(self, component: Component) -> Any:
        project = self.workspace.project
        own = project.settings[component.name]
        return (own, dict(project.source_settings)) if component.reads_sources else own

    def _shown_settings(self, component: Component) -> dict[str, Any]:
        project = self.workspace.project
        shown = counted_values(project.settings[component.name])
        if component.reads_sources:
            for name, values in project.source_settings.items():
                shown |= {f"sources.{name}.{key}": value for key, value in counted_values(values).items()}
        return shown

    def _upstream(self, component: Component, state: State, states: Mapping[str, State]) -> dict[str, InputRecord]:
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

    def _sources(self, component: Component) -> dict[str, InputRecord]:
        if not component.reads_sources:
            return {}
        found = {}
        for name, source in self.workspace.project.sources.items():
            try:
                parts = source.probe().parts
                version = digest(text for pair in sorted(parts.items()) for text in pair)
            except Exception as error:  # whatever a person's own source raises; the attempt fails with the whole story
                said = error.what if isinstance(error, PipelineError) else f"{type(error).__name__}: {error}"
                parts, version = {}, f"{UNREACHABLE}{said}"
            shown = dict(parts) if len(parts) <= _MOST_PARTS else {}
            found[SOURCE_PREFIX + name] = InputRecord(0, version, version, shown)
        return found

    def _max_age_seconds(self, component: Component) -> float | None:
        """The strictest limit of the sources that it reads; a source need not have one."""
        sources = self.workspace.project.sources.values() if component.reads_sources else ()
        limits = (getattr(source, "max_age_seconds", None) for source in sources)
        return min((limit for limit in limits if limit is not None), default=None)

    def _damage(self, state: State) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Keys whose files are gone, and keys whose bytes differ from those written (hashed where size agrees and the
        modification time does not; a file that was only touched is noted as seen)."""
        if state.output_snapshot_id is None:
            return (), ()
        database, root = self.workspace.database, self.workspace.settings.lake_path
        facts = self._facts(state.output_snapshot_id)
        missing, altered, touched = [], [], []
        for fact in facts:
            path = root / fact.path
            try:
                found = path.stat()
            except OSError:
                missing.append(fact.key)
                continue
            if found.st_size == fact.size and found.st_mtime_ns == fact.mtime_ns:
                continue
            if found.st_size != fact.size or hash_file(path) != fact.file_hash:
                altered.append(fact.key)
            else:
                touched.append((fact.key, found.st_mtime_ns))
        if touched:
            del self._files[state.output_snapshot_id]
            with database.writing() as connections:
                for key, mtime_ns in touched:
                    catalog.set_mtime(connections.project, state.output_snapshot_id, key, mtime_ns)
        return tuple(missing), tuple(altered)


def definitions_of(code: Code) -> dict[str, Mapping[str, str]]:
    """Module -> {definition: hash} of a component's code. The format of what is stored is named like a definition, so
    that a recompute that it causes can be explained."""
    return {**code.files, "pipelines": {"FORMAT_VERSION": str(FORMAT_VERSION)}}


def _joined(parts: list[Code]) -> Code:
    files = {module: hashes for part in parts for module, hashes in part.files.items()}
    definitions = {name: place for part in parts for name, place in part.definitions.items()}
    version = code_version({str(number): part.version for number, part in enumerate(parts)})
    return Code(version=version, files=files, definitions=definitions)
