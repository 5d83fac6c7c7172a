"""Early check of a Ray cluster's address: before the libraries of a study are imported."""

import os
import socket
import subprocess
import sys
from importlib.util import find_spec

from turncoat.errors import UserError

_CONNECT = "import sys, ray; ray.init(sys.argv[1], log_to_driver=False)"
_PATIENCE = 5.0  # seconds for a connection; Ray itself tries for minutes


def check_ray_address(engine: str) -> None:
    """Refuse `ray:ADDRESS` where there is no such cluster; other engines are not looked at.

    Raises:
        UserError: Nothing listens at the address, or Ray finds no cluster for a word such as "auto".
    """
    name, _, rest = engine.partition(":")
    address = rest.partition(",")[0].strip()
    if name != "ray" or not address or "=" in address or find_spec("ray") is None:
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    reason = _not_listening(host, int(port)) if host and port.isdigit() else _not_found(address)
    if reason:
        raise UserError(
            f"engine ray:{address}: {reason}; accepted: the address of a running cluster, which `ray start "
            "--head` prints, or none for this machine alone"
        )


def _not_listening(host: str, port: int) -> str:
    try:
        socket.create_connection((host.strip("[]"), port), _PATIENCE).close()
    except OSError as error:
        return f"nothing answers there ({error})"
    return ""


def _not_found(address: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", _CONNECT, address], env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return (lines or [f"Ray ended with exit code {done.returncode}"])[-1][:300] if done.returncode else ""
