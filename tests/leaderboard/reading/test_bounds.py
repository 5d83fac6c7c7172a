"""Time and memory stay bounded, whatever an entry's bytes are; under the limits that users have."""

import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from leaderboard.untrusted_entries import ROWS, bomb, noise, packed, put, read_all, write_good
from turncoat.leaderboard.reading.findings import EntryRefused
from turncoat.leaderboard.reading.reader import LIMITS

MIB = 2**20


def _lines(line: str) -> Callable[[], bytes]:
    return lambda: packed(line.encode())


# name -> (how to make the file, the rule)
HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "1 GiB of zeros": (lambda: bomb(bytes(16 * MIB), 64), "line-too-long"),
    "1 GiB of line ends": (lambda: bomb(b"\n" * 16 * MIB, 64), "empty-line"),
    "10 million small rows": (lambda: bomb(b"{}\n" * (5 * MIB), 2), "too-many-rows"),
    "a line of 100 MiB": (lambda: bomb((noise(16 * 1024) * 64).encode(), 100), "line-too-long"),
    "10^5 lists in lists": (_lines("[" * 100_000), "nested-too-deep"),
    "10^5 objects in objects": (_lines('{"a":' * 100_000 + "1" + "}" * 100_000), "nested-too-deep"),
    "a number of 10^6 digits": (_lines('{"a": ' + "7" * 1_000_000 + "}"), "number-too-large"),
    "half a million escaped quotes": (_lines('{"a": "' + '\\"' * 500_000), "not-json"),
    "a million quotes": (_lines('"' * 1_000_000), "not-json"),
    "300,000 empty objects": (_lines("[" + "{}," * 300_000 + "{}]"), "not-an-object"),
    "150,000 bad numbers": (_lines('{"a": [' + "NaN," * 150_000 + "0]}"), "not-finite"),
    "150,000 times one key": (_lines("{" + '"a":1,' * 150_000 + '"a":2}'), "duplicate-key"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_in_seconds_and_64_mb(tmp_path: Path, name: str) -> None:
    make, rule = HOSTILE[name]
    entry = write_good(tmp_path / "entry")
    put(entry, ROWS, make())
    started = time.process_time()
    with pytest.raises(EntryRefused) as refusal:
        read_all(entry, LIMITS)
    took = time.process_time() - started
    # again, as watching the memory takes several times as long
    tracemalloc.start()
    try:
        with pytest.raises(EntryRefused):
            read_all(entry, LIMITS)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert refusal.value.findings[0].rule == rule
    assert took < 3 and peak < 64 * MIB  # 0.3 s at most on a busy core; without bounds it is minutes
    assert len(str(refusal.value)) < 20_000
