"""Text and JSON that people made, bounded: UTF-8 or UTF-16, with a byte order mark or without, plain or
gzipped.

text = read_text(Path("judged.csv.gz"))      # line ends stay as they are
row = parse_json(line, "judged.jsonl, line 3")
"""

import codecs
import gzip
import json
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

from turncoat.errors import UserError
from turncoat.safe_files import gzip_limit

MOST_NESTED = 100
"""Lists and objects inside one another in JSON and YAML from outside."""
LONGEST_LINE = 2**26
"""Characters of a line of JSON, or of a cell."""
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_text(path: Path) -> str:
    """The text of a file, without its byte order mark; a name that ends in .gz is unpacked.

    Raises:
        UserError: It cannot be read, unpacks to more than `gzip_limit`, or is neither UTF-8
            nor UTF-16 with a byte order mark.
    """
    try:
        if path.name.endswith(".gz"):
            most = gzip_limit(path.stat().st_size)
            with gzip.open(path) as stream:
                data = stream.read(most + 1)
            if len(data) > most:
                raise UserError(
                    f"{path} unpacks to more than {most} bytes, as no file of answers does; if you trust it, "
                    "unpack it yourself (gunzip)"
                )
        else:
            data = path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    try:
        text = data.decode("utf-16" if data.startswith(_UTF16) else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UserError(
            f"{path}, line {line}: not UTF-8 (byte 0x{error.object[error.start]:02x}); convert the file: "
            f"iconv -f latin1 -t utf-8 {path.name} > new{path.suffix}"
        ) from error
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise UserError(f"{path}, line {line}: a zero byte; save the file as UTF-8 text")
    return text


def parse_json(text: str | bytes, where: str) -> Any:
    """The value of a JSON text; NaN and Infinity, which Python writes, are numbers.

    Args:
        where: What messages call the text, such as "judged.jsonl, line 3".

    Raises:
        UserError: Not JSON, a key twice, a number of thousands of digits, or more than `MOST_NESTED` levels.
    """
    try:
        text = text if isinstance(text, str) else text.decode()
        value = json.loads(text, object_pairs_hook=_once)
        deep = text.count("[") + text.count("{") > MOST_NESTED and _levels(value) > MOST_NESTED
    except RecursionError:
        deep = True
    except ValueError as error:
        raise UserError(f"{where}: not JSON ({error})") from error
    if deep:
        raise UserError(f"{where}: nested too deep; accepted: {MOST_NESTED} lists and objects in one another")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object; ValueError where a key stands twice, of which Python would take the last without a word."""
    values = dict(pairs)
    if len(values) < len(pairs):
        twice, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise ValueError(f"{twice[:40]!r} is there twice; remove one")
    return values


def _levels(value: Any) -> int:
    """Levels of lists and objects in one another, without recursion."""
    levels, level = 0, [value]
    while level := [item for item in level if isinstance(item, dict | list)]:
        levels += 1
        level = [inner for item in level for inner in (item.values() if isinstance(item, dict) else item)]
    return levels
