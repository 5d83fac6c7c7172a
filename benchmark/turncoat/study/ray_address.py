"""Early check of a Ray cluster's address, by Ray alone: before the libraries of a study are imported."""

import os
import subprocess
import sys
from importlib.util import find_spec

from turncoat.errors import UserError

_CONNECT = "import sys, ray; ray.init(sys.argv[1], log_to_driver=False)"
_SETTINGS = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_NUM_REDIS_GET_RETRIES": "5"}  # Seconds to wait for it


def check_ray_address(engine: str) -> None:
    """Refuse `ray:ADDRESS` where there is no such cluster; other engines are not looked at.

    Raises:
        UserError: Ray says why.
    """
    name, _, rest = engine.partition(":")
    address = rest.partition(",")[0].strip()
    if name != "ray" or not address or "=" in address or find_spec("ray") is None:
        return
    done = subprocess.run(
        [sys.executable, "-c", _CONNECT, address], env={**os.environ, **_SETTINGS}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        reason = (lines or [f"Ray ended with exit code {done.returncode}"])[-1][:300]
        raise UserError(
            f"engine ray:{address}: {reason}; accepted: the address of a running cluster, which `ray start "
            "--head` prints, or none for this machine alone"
        )
