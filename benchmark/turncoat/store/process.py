"""Identity of this process among those of all hosts, and signs that another one of this host has ended."""

from __future__ import annotations

import os
import platform
from functools import cache
from pathlib import Path

from turncoat.store.digests import digest


@cache
def host() -> str:
    """Short mark of this machine's name."""
    return digest(platform.node())[:8]


def process_space() -> str:
    """Mark of the space in which a process number means one process: a boot of a host, a PID namespace.

    Containers of one host have one name and numbers of their own: a name alone would take another's process
    for a dead one.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        return digest([boot, os.stat("/proc/self/ns/pid").st_ino])[:16]
    except OSError:  # no Linux, and no such namespaces
        return host()


def started(pid: int) -> str:
    """Start of a living process in clock ticks since boot, for numbers are used again; "0" where the system
    does not tell it, "" for a process that is gone."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    try:  # proc(5): field 22, the 20th behind the name in brackets
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return "0"
    return "" if fields[0] == "Z" else fields[19]  # a killed process that nobody has waited for has ended


def ended(space: str, pid: int, start: str) -> bool:
    """True if the process certainly runs no more; False on other hosts and in other PID namespaces."""
    return space == process_space() and started(pid) != start
