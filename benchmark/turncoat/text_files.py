"""Text of files that people made: UTF-8 or UTF-16, with or without a byte order mark, plain or gzipped.

text = read_text(Path("judged.csv.gz"))      # line ends stay as they are
"""

import codecs
import gzip
import zlib
from pathlib import Path

from turncoat.errors import UserError

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_text(path: Path) -> str:
    """The text of a file, without its byte order mark; a name that ends in .gz is unpacked.

    Raises:
        UserError: It cannot be read, or is neither UTF-8 nor UTF-16 with a byte order mark.
    """
    try:
        data = path.read_bytes()
        if path.name.endswith(".gz"):
            data = gzip.decompress(data)
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
