"""Engines by name and options, as `--engine` gives them."""

from typing import Any

from turncoat.errors import UserError
from turncoat.study.engines.job import Engine

ACCEPTED = "processes:2, ray, ray:ADDRESS,workers=4,gpus=1, slurm:partition=NAME,gpus=1, slurm:local,most=2"


def engine_from_name(text: str) -> Engine:
    """The engine of `--engine`.

    Args:
        text: "processes:N", "ray[:ADDRESS][,workers=N,gpus=N,cpus=N]" or "slurm:[local,]KEY=VALUE,...".

    Raises:
        UserError: It names no engine, or the engine cannot be used here.
    """
    name, _, rest = text.partition(":")
    words = [word.strip() for word in rest.split(",") if word.strip()]
    options = {key: _value(value) for key, equals, value in (w.partition("=") for w in words) if equals}
    plain = [word for word in words if "=" not in word]
    try:
        if name == "processes" and not options and len(plain) == 1 and plain[0].isdigit() and int(plain[0]):
            from turncoat.study.engines.processes import Processes

            return Processes(int(plain[0]))
        if name == "ray" and len(plain) <= 1:
            from turncoat.study.engines.ray_actors import RayActors

            return RayActors(*plain, **options)
        if name == "slurm" and plain in ([], ["local"]):
            from turncoat.study.engines.slurm_jobs import SlurmJobs

            return SlurmJobs(local=bool(plain), **options)
    except TypeError as error:
        raise UserError(f"--engine {text}: {error}; accepted: {ACCEPTED}") from error
    raise UserError(f"--engine {text}: not an engine; accepted: {ACCEPTED}")


def _value(text: str) -> Any:
    return int(text) if text.isdigit() else float(text) if text.replace(".", "", 1).isdigit() else text
