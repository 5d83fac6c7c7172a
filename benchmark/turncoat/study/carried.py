"""Rows of an earlier run that count as made: `turncoat run STUDY --with results/NAME`.

    carried = Carried.of(Path("results/sgtr"), study)     # UserError where they are another study's
    rest = carried.rest(plan)                             # the units that are still to be made
    record = carried.merged(record, study)                # one run.json for both

A packed run has no adapters and no keys of the store, so its rows may come from another machine and another
commit: same study, model, weights and judge are checked, and run.json says where each unit was made.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from turncoat.engine.base_model import BaseModel
from turncoat.errors import UserError
from turncoat.evaluation.samples_file import BASE_SEED, sample_files
from turncoat.evaluation.task_catalogue import task_metadata
from turncoat.formats import first_of
from turncoat.paths import run_folder
from turncoat.persona.vectors import PersonaVector
from turncoat.safe_files import read_object
from turncoat.study.before_run.out_folder import rows_lost
from turncoat.study.before_run.smoke import refuse_smoke
from turncoat.study.config import Study, load_study
from turncoat.study.units.plan import Plan, Unit

ArmSeed = tuple[str, int]  # `BASE_SEED` for an arm that is not trained


@dataclass(frozen=True)
class Carried:
    """Units of a run whose rows are all there."""

    folder: Path
    record: dict[str, Any]  # its run.json
    units: frozenset[ArmSeed]

    @classmethod
    def of(cls, folder: Path, study: Study) -> Carried:
        """The units of a run that are units of `study`.

        Raises:
            UserError: It is not a run, or a smoke run, or its rows are not those that this study makes.
        """
        run_folder(folder)
        earlier = load_study(folder / "study.yaml")
        refuse_smoke(earlier, folder)
        if differences := list(rows_lost(earlier, study)):
            raise UserError(
                f"--with {folder}: its rows are not those of this study ({first_of(differences, 3)}); leave "
                "--with out, or name a run of the same arms, tasks and training"
            )
        units = frozenset(
            (arm.name, seed)
            for arm in study.arms
            for seed in (study.training_seeds if arm.is_trained else (BASE_SEED,))
            if all(
                sample_files(_rows(folder, (arm.name, seed)) / use.task, use.task)
                for use in study.tasks
                if arm.measured_by(use.task)
            )
        )
        for task, there, here in _other_versions(folder, units, study):
            raise UserError(
                f"--with {folder}: its rows are of version {there} of {task}, now version {here}; run "
                "without --with"
            )
        if not units:
            raise UserError(f"--with {folder}: holds all rows of none of this study's units; leave it out")
        return cls(folder, read_object(folder / "run.json"), units)

    def check(self, base: BaseModel, judge: dict[str, Any] | None) -> None:
        """Check that the rows were measured on this base model and by this judge.

        Raises:
            UserError: They were not.
        """
        model, judged = self.record["model"], self.record.get("judge") or {}
        pairs: list[tuple[str, Any, Any]] = [
            (f"model.{key}", model.get(key), base.spec[key]) for key in ("weights", "dtype")
        ]
        pairs += [(f"judge.{key}", judged.get(key), (judge or {}).get(key)) for key in ("id", "rubric")]
        for field, there, here in pairs:
            if there != here:
                raise UserError(
                    f"--with {self.folder}: run.json, {field} is {there!r}, here it is {here!r}; rows of "
                    "both cannot be compared"
                )

    def check_persona(self, persona: dict[str, Any] | None) -> None:
        """Check that the rows were measured along the study's vector as it is made here.

        Args:
            persona: `persona_record` of that vector. Rows that were measured along none go with any.

        Raises:
            UserError: They were not.
        """
        if "persona" in self.record and persona != self.record["persona"]:
            raise UserError(
                f"--with {self.folder}: the persona vector that was made here is another one than its rows "
                "were measured along (another commit or another kind of processor); run without --with"
            )

    def rest(self, plan: Plan) -> Plan:
        """The units that are not here; vectors stay where one of these needs them."""
        arms = [unit for unit in plan.units if unit.arm and (unit.arm.name, unit.seed) not in self.units]
        needed = {need for unit in arms for need in unit.needs}
        units = [unit for unit in plan.units if unit in arms or (unit.arm is None and unit.id in needed)]
        stages = {stage.id for unit in units for stage in unit.stages}
        return Plan(tuple(_needing(unit, stages) for unit in units))

    def copy_rows(self, rows: Path) -> None:
        """Copy the rows into a folder of rows."""
        for unit in sorted(self.units):
            there = _rows(self.folder, unit)
            shutil.copytree(there, rows / there.relative_to(self.folder / "rows"))

    def merged(self, record: dict[str, Any], study: Study) -> dict[str, Any]:
        """A record of the units made here together with what this run's record says of its units.

        Raises:
            UserError: As `check_persona`.
        """
        theirs = self.record
        self.check_persona(record.get("persona", theirs.get("persona")))
        merged = dict(record)
        if "persona" in theirs:
            merged["persona"] = theirs["persona"]
        order = {arm.name: n for n, arm in enumerate(study.arms)}

        def place(entry: dict[str, Any]) -> tuple[int, int]:
            arm, seed = _unit_of(entry)
            return order.get(arm, len(order)), seed

        for key in ("measured", "checks", "training"):
            of_units = [entry for entry in theirs.get(key, ()) if _unit_of(entry) in self.units]
            new = [entry for entry in record[key] if entry not in of_units]
            merged[key] = sorted((*of_units, *new), key=place)
        merged["data"] = {**theirs.get("data", {}), **record["data"]}
        names = {**theirs["seconds"], **record["seconds"]}
        merged["seconds"] = {
            name: round(theirs["seconds"].get(name, 0.0) + record["seconds"].get(name, 0.0), 1)
            for name in names
        }
        merged["peak_memory_gb"] = max(record["peak_memory_gb"], theirs["peak_memory_gb"] or 0.0)
        merged["changed"] = sorted({*record["changed"], *theirs.get("changed", ())})
        made = {"commit": theirs["provenance"]["commit"], "turncoat": theirs["provenance"]["turncoat"]}
        earlier = {
            (arm, _seed(seed)) for one in theirs.get("carried", ()) for arm, seed in one["units"]
        }  # made before that run, too
        own = [list(unit) for unit in sorted(self.units - earlier)]
        merged["carried"] = [*theirs.get("carried", ()), *([{**made, "units": own}] if own else ())]
        return merged


def _other_versions(folder: Path, units: Collection[ArmSeed], study: Study) -> Iterator[tuple[str, Any, Any]]:
    """(task, its version there, its version now) of rows whose task was changed since."""
    for use in study.tasks:
        now = task_metadata(use.task).get("version")
        for unit in sorted(units):
            for path in (_rows(folder, unit) / use.task).glob("results_*.json"):
                there = read_object(path).get("versions", {}).get(use.task)
                if there != now:
                    yield use.task, there, now


def persona_record(folder: Path) -> dict[str, Any]:
    """A vector's folder as run.json has it: trait, layer and card."""
    vector = PersonaVector.load(folder)
    return {"trait": vector.trait, "layer": vector.layer, **vector.card}


def _needing(unit: Unit, stages: set[str]) -> Unit:
    return replace(unit, needs=tuple(need for need in unit.needs if need in stages))


def _rows(folder: Path, unit: ArmSeed) -> Path:
    arm, seed = unit
    return folder / "rows" / arm / ("base" if seed == BASE_SEED else f"seed-{seed}")


def _unit_of(entry: dict[str, Any]) -> ArmSeed:
    """Arm and seed of an entry of run.json; those of training name both in one text."""
    return str(entry["arm"]).partition(", seed ")[0], _seed(entry["seed"])


def _seed(seed: int | None) -> int:
    return BASE_SEED if seed is None else seed


def missing_units(plan: Plan, done: set[str]) -> Iterator[Unit]:
    """Arms of a plan, with their seeds, that are not made."""
    for unit in plan.units:
        if unit.arm is not None and not done.issuperset(stage.id for stage in unit.stages):
            yield unit
