"""Computes a sample of each component's partitions again, from scratch and otherwise, and says what is wrong.

Everything is written to a folder of its own, which goes at the end; nothing is recorded.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pipelines
from agent.core.graph import order
from agent.core.model import State
from agent.errors import NotFound
from agent.execution.proving import judge, passes
from agent.execution.proving.passes import Inputs, Subject
from agent.execution.proving.processes import foreign_locale, run_passes
from agent.execution.proving.values import ComponentProof, Conditions, Finding, Pass, PassResult, Proof
from agent.execution.workspace import Workspace
from agent.sections.executor import Settings as Executor
from agent.store import state
from agent.store.outputs import catalog
from pipelines.values import dataclass

_PACKAGE = Path(pipelines.__file__).parent
# A certain fault of one of these kinds explains why a partition comes out otherwise.
_EXPLAINING = frozenset(
    {"clock", "randomness", "environment", "file", "network", "program", "column", "machine", "locale"}
)
# Of what was seen, the likeliest cause of a result that is another each time, first.
_RESTLESS = ("randomness", "clock", "threads", "hash")
_AGAIN = "run `agent run`, then prove again"


def prove(
    workspace: Workspace,
    *,
    share: float,
    names: Sequence[str] = (),
    seed: int | None = None,
    progress: Callable[[str], None] = lambda component: None,
) -> Proof:
    """Prove the components `names`; none named: those that run code of the project's own, or all where there are none.
    About `share` of the partitions of each are computed, a dozen at least. `seed` draws the sample.

    Raises NotFound where a component is unknown, has no output, or is not up to date with its code and settings."""
    began = time.monotonic()
    seed = random.SystemRandom().randrange(2**31) if seed is None else seed
    proofs = []
    for name in names or _usual(workspace):
        if name not in workspace.specs:
            raise NotFound(
                f"there is no component {name!r}", where="--component", fix=f"one of {', '.join(workspace.specs)}"
            )
        progress(name)
        if workspace.facts.components[name].reads_sources:
            note = "it reads sources, whose answers may change: not computed again"
            proofs.append(ComponentProof(name, 0, 0, 0, (), (note,)))
            continue
        subject = _subject(workspace, name)
        with tempfile.TemporaryDirectory(prefix="tidemill-prove-") as folder:
            proofs.append(_Prover(workspace, subject, Path(folder), random.Random(f"{seed}/{name}"), share).prove())
    total = sum(one.partitions for one in proofs)
    done = sum(one.recomputed for one in proofs)
    return Proof(proofs, done / total if total else 0.0, seed, time.monotonic() - began)


def _usual(workspace: Workspace) -> list[str]:
    names = list(order(workspace.specs))
    return [name for name in names if _has_own_code(workspace, name)] or names


def _has_own_code(workspace: Workspace, name: str) -> bool:
    code = workspace.facts.components[name].code
    return code is not None and any(not Path(path).is_relative_to(_PACKAGE) for path in code.contents)


def _subject(workspace: Workspace, name: str) -> Subject:
    """The component's newest output and the inputs it was made of."""
    with workspace.database.reading() as connections:
        now: State | None = state.load_states(connections.project).get(name)
        if now is None or now.output_snapshot_id is None:
            raise NotFound(f"{name} has no output yet", where="snapshots", fix=_AGAIN)
        facts = workspace.facts.components[name]
        code = facts.version or (facts.code.version if facts.code is not None else None)
        if now.code_version != code or now.settings_hash != facts.settings_hash:
            raise NotFound(
                f"the output of {name} was made by other code or settings than today's",
                where="orchestrator_state",
                fix=_AGAIN,
            )
        inputs = {up: catalog.load_snapshot(connections.project, now.inputs[up].snapshot_id) for up in facts.upstream}
        output = catalog.load_snapshot(connections.project, now.output_snapshot_id)
    return passes.of_output(name, facts.upstream, inputs, output)


@dataclass
class _Prover:
    """The proof of one component."""

    workspace: Workspace
    subject: Subject
    folder: Path
    rng: random.Random
    share: float
    processes: int = 0
    computed: int = 0

    def prove(self) -> ComponentProof:
        """Make all passes and judge them."""
        subject, rng = self.subject, self.rng
        name, count = subject.component, len(subject.mine)
        if not count:
            return ComponentProof(name, 0, 0, 0, (), ("its output has no partition of its own",))
        base = passes.as_in_production(rng)
        other = passes.otherwise(rng, has_locale=foreign_locale() is not None, hides=subject.hides)
        lake = self.workspace.lake
        early = passes.cut_at(subject, 0, self.folder, lake)
        late = passes.cut_at(subject, rng.randrange(1, max(2, count - 3)), self.folder, lake) if count > 4 else None
        results = {
            one.name: one for one in self._run(other, passes.updates(subject, early, late, rng.choice(subject.mine)))
        }
        updated = results.get("late update")
        beyond = None if updated is None else passes.beyond(subject, list(updated.written), list(updated.kept))
        sample = passes.sample_of(subject, self.share, rng)
        results |= {one.name: one for one in self._run(base, passes.full(subject, sample, early, late, beyond))}
        recomputed = self.computed
        notes: list[str] = []
        findings = judge.certain(name, results.values())
        findings += self._now(results, findings, base, other)
        findings += self._cuts(results, {"early": early, "late": late}, base, findings, notes)
        if not findings:
            notes += [
                f"it {one.what}; the output does not show it"
                for one in judge.suspects(results.values())
                if one.kind == "state"
            ]
        return ComponentProof(name, count, recomputed, self.computed - recomputed, findings, notes)

    def _now(
        self, results: dict[str, PassResult], known: Collection[Finding], base: Conditions, other: Conditions
    ) -> list[Finding]:
        """Faults in what was computed from the recorded inputs."""
        name, module = self.subject.component, self._module()
        now = [results[one] for one in ("sample", "without memos", "once more")]
        if any(one.kind in _EXPLAINING for one in known):
            return []
        failed = [one for one in now if one.error]
        recorded = {one.key: one.content_hash for one in self.subject.output.counted}
        different = judge.differing(recorded, now)
        if not different:
            return [judge.of_failure(name, one, module) for one in failed[:1]]
        keys = sorted({key for some in different.values() for key in some})
        why = judge.suspects(now)
        kinds = self._causes(keys[0], base, other, recorded)
        if not kinds and any(one.kind in ("clock", "randomness", "state") for one in why):
            kinds = list(dict.fromkeys(one.kind for one in why if one.kind in ("clock", "randomness", "state")))
        return judge.of_difference(name, kinds or ["history"], keys, why, module)

    def _causes(self, key: str, base: Conditions, other: Conditions, recorded: dict[str, str]) -> list[str]:
        """What alone makes `key` come out otherwise than under the conditions of a run."""
        subject = self.subject
        one = Pass("cause", subject.inputs, subject.output, subject.inputs, frozenset({key}), 1)
        another = replace(one, redo=frozenset({self.rng.choice(subject.mine)}))
        first, _, again = self._run(base, [one, another, one])
        for kind, conditions in passes.one_by_one(base, other).items():
            if conditions == base and kind != "random":
                continue
            (found,) = self._run(conditions, [one])
            if found.written != first.written or bool(found.error) != bool(first.error):
                if kind != "random":
                    return [kind]
                seen = {one.kind for one in judge.suspects([first, found])}
                return [one for one in _RESTLESS if one in seen][:1] or [kind]
            if again.written != first.written:
                return ["state"]
        return ["state"] if first.written.get(key) == recorded.get(key) else []

    def _cuts(
        self,
        results: dict[str, PassResult],
        cuts: Mapping[str, Inputs | None],
        base: Conditions,
        known: Collection[Finding],
        notes: list[str],
    ) -> list[Finding]:
        """Faults in what was computed from inputs that were cut."""
        if known:
            return []
        for when, inputs in cuts.items():
            update, scratch = results.get(f"{when} update"), results.get(f"{when} scratch")
            if update is None or scratch is None:
                notes.append(
                    f"incremental = full was not tested on a {when} partition: nothing to cut, or it reaches too far"
                )
            elif update.error or scratch.error:
                notes.append(f"it refuses inputs that were cut ({when}): {update.error or scratch.error}")
            elif found := judge.unlike_update(update, scratch):
                kind, key = found
                if kind == "look-back" and inputs is not None and self._goes_on(key, inputs, scratch, base):
                    kind = "history"
                return [judge.of_update(self.subject.component, kind, key, self._module())]
        return []

    def _goes_on(self, key: str, cut: Inputs, scratch: PassResult, base: Conditions) -> bool:
        """Whether `key`, which an update took over, would come out wrong as well had the update computed it: it goes on
        from previous output. From the recorded inputs, it then is not what is recorded; from the cut ones, not what a
        run from scratch gives."""
        subject, redo = self.subject, frozenset({key})
        wanted = [Pass("cause", inputs, subject.output, inputs, redo, 1) for inputs in (subject.inputs, cut)]
        now, then = self._run(base, wanted)
        recorded = {one.key: one.content_hash for one in subject.output.counted}
        return now.written.get(key) != recorded[key] or then.written.get(key) != scratch.written[key]

    def _run(self, conditions: Conditions, wanted: Sequence[Pass]) -> list[PassResult]:
        self.processes += 1
        timeouts = self.workspace.settings.of(Executor)
        name = self.subject.component
        limit = timeouts.timeouts.get(name, timeouts.timeout_seconds) * len(wanted)
        root = self.folder / str(self.processes)
        found = run_passes(self.workspace.origin, name, conditions, wanted, root, limit)
        self.computed += sum(len(one.written) for one in found)
        return found

    def _module(self) -> str:
        return f"the code of component {self.subject.component}"
