"""A project's code in this process: what a one-shot command uses, and what answers inside a project's own process."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from agent.execution.host.failures import failure_of
from agent.execution.host.interface import (
    AttemptFailed,
    Cancelled,
    CodeMoved,
    ComponentFacts,
    Done,
    Fault,
    Origin,
    Probed,
    Progress,
    ProjectFacts,
    Question,
    SourceFacts,
    Stop,
    Task,
    late,
)
from agent.execution.host.watched import Watched
from pipelines.component import Component, Deferral, Due, Observation, Outcome, perform, view_inputs
from pipelines.errors import PipelineError
from pipelines.fingerprint import settings_hash
from pipelines.lake import Lake
from pipelines.plugins import generation
from pipelines.plugins.closure import Module
from pipelines.plugins.code import (
    Code,
    CodeCache,
    CodeReader,
    environment,
    joined,
    library_versions,
    loaded_versions,
    root_of,
)
from pipelines.plugins.discovery import component_roots, named_roots, source_roots
from pipelines.project import Project, build_project, modules_in, named_modules, source_names_in
from pipelines.settings import Faults, counted_values
from pipelines.snapshot import Snapshot, digest

_LOADING = threading.Lock()  # no thread meets a module that another one is executing


class LocalHost:
    """The project that `origin` describes, loaded into this process. Raises CodeMoved where its files are not, or not
    for certain, what this process has in memory."""

    is_here = True

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._reader = CodeReader(CodeCache(origin.code_cache, origin.is_fresh))
        self._code: dict[str, Code] = {}
        self._modules: dict[str, list[Module]] = {}
        self._lake = Lake(origin.lake_path)
        self._proven: dict[str, str] = {}  # file -> hash of the code of it in memory, which stays there
        faults = Faults(str(origin.base))
        with _LOADING:
            generation.note(self._announced())
            self._project = build_project(
                origin.values, origin.base, faults, origin.others, origin.inbox_path, origin.code_base
            )
            self.facts = self._read_facts(faults)
            self._reader.save()
        self._require_unmoved()

    @property
    def project(self) -> Project:
        """The project with its classes."""
        assert self._project is not None, "settings are wrong: the caller reports facts.faults"
        return self._project

    def is_current(self) -> bool:
        """Whether its files, data files and libraries are still what was loaded. Not of those that changed since and
        were changed back: nobody can tell."""
        if self._moved():
            return False
        try:
            files = {path: self._data_hash(path) for name in self._code for path in self.data_files(name)}
        except PipelineError:
            return False
        libraries = {name: library_versions(one.libraries) for name, one in self.project.components.items()}
        return all(
            one.libraries == libraries[name]
            and all(one.code is None or one.code.contents[path] == files[path] for path in self.data_files(name))
            for name, one in self.facts.components.items()
        )

    def probe(self, source: str) -> Probed:
        """Ask a source what it has. What a person's own source raises is reported, not raised."""
        try:
            parts = self.project.sources[source].probe().parts
            version = digest(text for pair in sorted(parts.items()) for text in pair)
        except Exception as error:
            return Probed(error=error.what if isinstance(error, PipelineError) else f"{type(error).__name__}: {error}")
        return Probed(version, dict(parts))

    def ask_policy(self, question: Question) -> Deferral | Due | None:
        """Ask the policy of a component that has one."""
        component = self.project.components[question.component]
        assert component.policy is not None
        return component.policy(
            Observation(
                inputs=view_inputs(component, question.inputs, question.previous_inputs, self._lake),
                previous=question.previous,
                previous_inputs=question.previous_inputs,
                settings=self.project.settings[component.name],
                lake=self._lake,
                live_brier=question.live_brier,
                live_count=question.live_count,
            )
        )

    def prepare(self, names: Sequence[str], expected: Mapping[str, str]) -> None:
        """Import all code behind the components `names`, and compare. Raises CodeMoved."""
        data = {path for name in names for path in self.data_files(name)}
        code = {path: content for path, content in expected.items() if path not in data}
        found = {path for path in data if self._data_hash(path) != expected.get(path)}
        if any(self._proven.get(path) != content for path, content in code.items()):
            modules = self.modules_of(names)
            generation.import_all(modules)
            found |= set(generation.differing(modules, code))
        if found:
            raise CodeMoved(sorted(found))
        self._proven |= code

    def compute(self, task: Task, *, timeout: float, stop: Stop, progress: Progress) -> Done:
        """Compute here. `timeout` is kept only at the points where the component reports progress, and so is `stop`."""
        started = time.monotonic()

        def checked(done: int, total: int, what: str) -> None:
            if time.monotonic() - started >= timeout:
                raise late(timeout, "in the orchestrator's own process")
            reason = stop()
            if reason is not None:
                raise Cancelled(reason)
            progress(done, total, what)

        try:
            return self.work(task, checked)
        except (Cancelled, CodeMoved):
            raise
        except (Exception, SystemExit) as error:  # a component that leaves must not take the orchestrator along
            raise AttemptFailed(failure_of(error)) from error

    def work(self, task: Task, progress: Progress) -> Done:
        """Compute an attempt; relative paths in settings start from the project's folder. Raises whatever the component
        raises, and CodeMoved where a data file that it declares changed meanwhile."""
        component, base = self.project.components[task.component], self._origin.base
        files = self.data_files(component.name)
        before = {path: generation.content_now(path) for path in files}
        imported = generation.loaded()
        allowed = () if component.reads_sources else (base,)
        notes: list[str] = []
        with Watched(allowed, [self._origin.lake_path, *files]) as watched:
            snapshot = perform(
                component,
                self.project.settings[component.name],
                task.inputs,
                lake=self._lake,
                attempt=task.attempt,
                previous=task.previous,
                previous_inputs=task.previous_inputs,
                redo=task.redo,
                sources=self.project.sources if component.reads_sources else {},
                probes=task.probes,
                on_progress=progress,
                base=base,
                code_base=self._origin.code_base,
                outside=task.outside,
                on_note=notes.append,
                found=task.found,
            )
            outcomes: tuple[Outcome, ...] = ()
            if component.settle is not None and task.pending:
                views = view_inputs(component, task.inputs, task.previous_inputs, self._lake)
                outcomes = tuple(component.settle(views, task.pending))
        self._require_same(component.name, before)
        self._require_no_strangers(component.name, imported)
        return Done(
            snapshot,
            _tables(component, snapshot, self._lake),
            outcomes,
            loaded_versions(component.libraries),
            environment(component.libraries, loaded=True),
            tuple(_undeclared(component.name, path) for path in watched.found),
            tuple(notes),
        )

    def close(self) -> None:
        """Nothing is left running here."""

    # --- what the code consists of ------------------------------------------------------------------------------

    def _announced(self) -> Iterator[Module]:
        """All modules that loading may import, as far as names in the settings tell."""
        values, base = self._origin.values, self._origin.code_base
        roots = [*component_roots(modules_in(values, Faults("")), base), *source_roots(source_names_in(values))]
        for root in [*roots, *named_roots(sorted(set(named_modules(values))), base)]:
            yield from self._closure(root)

    def _closure(self, root: Module) -> list[Module]:
        try:
            return self._reader.closure(root)
        except PipelineError:
            return [root]  # the component whose code it is says so, with file and line

    def _read_facts(self, faults: Faults) -> ProjectFacts:
        if self._project is None:
            return ProjectFacts(faults=tuple(faults.found))
        components = {name: self._component(one, faults) for name, one in self._project.components.items()}
        sources = {
            name: SourceFacts(name, source.historical, getattr(source, "max_age_seconds", None))
            for name, source in self._project.sources.items()
        }
        return ProjectFacts(components, sources, tuple(faults.found))

    def _component(self, one: Component, faults: Faults) -> ComponentFacts:
        project = self.project
        own = project.settings[one.name]
        counted = (own, dict(project.source_settings)) if one.reads_sources else own
        try:
            hashed = settings_hash(counted)
        except TypeError as error:
            faults.add(one.name, str(error))
            hashed = ""
        shown = counted_values(own)
        if one.reads_sources:
            for name, values in project.source_settings.items():
                shown |= {f"sources.{name}.{key}": value for key, value in counted_values(values).items()}
        fault = None
        try:
            self._code[one.name] = self._code_of(one)
        except PipelineError as error:
            fault = Fault(error.what, error.where, error.fix)
        return ComponentFacts(
            name=one.name,
            module=one.module,
            upstream=dict(one.upstream),
            reads_sources=one.reads_sources,
            heavy=one.heavy,
            is_release=one.is_release,
            has_policy=one.policy is not None,
            has_settle=one.settle is not None,
            has_contract=one.contract is not None,
            has_gate=one.gate is not None,
            has_projections=bool(one.projections),
            version=one.version,
            settings_hash=hashed,
            settings=shown,
            libraries=library_versions(one.libraries),
            code=self._code.get(one.name),
            code_fault=fault,
        )

    def _code_of(self, one: Component) -> Code:
        """Code of a component: its own file, what it imports inside the project, and, for one that reads sources or
        loads further modules (own features), those too; data files that it declares."""
        project, code_base = self.project, self._origin.code_base
        roots = [root_of(one.module)]
        if one.reads_sources:
            roots += [root_of(type(source).__module__) for source in project.sources.values()]
        if one.extra_modules is not None:
            names = one.extra_modules(project.settings[one.name], code_base)
            roots += [root_of(name) if not name.endswith(".py") else _named(name, code_base) for name in names]
        closures = [self._reader.closure(root) for root in roots]
        self._modules[one.name] = [module for closure in closures for module in closure]
        generation.note(self._modules[one.name])
        parts = [self._reader.code(closure) for closure in closures]
        files = one.reads_files
        names = list(files(project.settings[one.name], project.base)) if callable(files) else list(files)
        return joined([*parts, self._reader.data_files(project.base, names)] if names else parts)

    def data_files(self, name: str) -> list[str]:
        """Paths of the data files that a component declares."""
        code = self._code.get(name)
        mine = {str(module.file) for module in self._modules.get(name, ())}
        return [] if code is None else [path for path in code.contents if path not in mine]

    def _data_hash(self, path: str) -> str | None:
        found = generation.content_now(path)
        return None if found is None else found[1]

    def modules_of(self, names: Iterable[str]) -> list[Module]:
        """All modules behind components, each once."""
        found = [module for name in names for module in self._modules.get(name, ())]
        return list({(one.imported_as, one.file): one for one in found}.values())

    def _moved(self) -> list[str]:
        return generation.moved(self.modules_of(self._modules))

    def _require_unmoved(self) -> None:
        moved = self._moved()
        if moved:
            raise CodeMoved(moved)

    def _require_same(self, name: str, before: Mapping[str, tuple[generation.Stamp, str] | None]) -> None:
        """Raise CodeMoved where a data file is not, or not for certain, what the code version says it is."""
        contents = self._code[name].contents if before else {}
        changed = [
            path
            for path, then in before.items()
            if then is None or then[1] != contents[path] or generation.content_now(path) != then
        ]
        if changed:
            raise CodeMoved(changed)

    def _require_no_strangers(self, name: str, before: frozenset[str]) -> None:
        if name not in self._modules:
            return
        found = generation.strangers(before, (module for own in self._modules.values() for module in own))
        if found:
            raise PipelineError(
                f"it imported {', '.join(found)} by a name put together at run time, so that a change there would not "
                "be seen",
                where=f"component {name}",
                fix="name such modules: @component(extra_modules=lambda settings, base: […])",
            )


def _named(name: str, base: Path) -> Module:
    found = named_roots([name], base)
    if not found:
        raise PipelineError(f"there is no file {name!r}", where="extra_modules", fix="correct the path")
    return found[0]


def _tables(component: Component, snapshot: Snapshot, lake: Lake) -> dict[str, Any]:
    tables: dict[str, Any] = {}
    for key, table in component.projections.items():
        partition = snapshot.by_key.get(key)
        if partition is None:
            continue
        if partition.column_hashes:
            tables[table] = lake.read_table(partition).to_dicts()
        else:
            tables[table] = json.loads(lake.read_bytes(partition))
    return tables


def _undeclared(component: str, path: str) -> str:
    return (
        f"{component} opened {path}, and a change of it makes nothing stale: declare it, "
        f'@component(reads_files=["{Path(path).name}"])'
    )
