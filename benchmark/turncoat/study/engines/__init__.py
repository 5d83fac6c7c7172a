"""Engines: where the units of a study are made. All of them call `make_unit` in a process of their own.

    engine = engine_from_name("processes:2")     # or "ray:10.0.0.1:6379,gpus=1", "slurm:partition=a"
    drive(engine, job_of(study, store), plan, hear=print)

Units and events travel; weights, adapters and rows stay in the store, which all hosts share.
"""

from turncoat.study.engines.drive import drive
from turncoat.study.engines.job import Engine, job_of
from turncoat.study.engines.names import engine_from_name

__all__ = ["Engine", "drive", "engine_from_name", "job_of"]
