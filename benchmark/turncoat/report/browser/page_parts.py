"""Parts of every HTML page: style and script inside the page, data as JSON, a policy that runs nothing else.

The pages are one file each and load nothing. Strings may be hostile: jinja escapes those in the HTML, data
travel as JSON that cannot close its element, and the policy lets the page's own script and style run alone.
"""

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from turncoat.shown_text import visible

_HERE = Path(__file__).parent
_ESCAPED = re.compile("[<>&\u2028\u2029]")


def environment(*folders: Path) -> jinja2.Environment:
    """Templates of these folders: every string is escaped, its control and bidi characters are visible."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True, undefined=jinja2.StrictUndefined, finalize=_visible,
    )  # fmt: skip


def page_parts(*stems: Path, connect: str = "") -> dict[str, Markup | str]:
    """`style`, `script` and `policy` of a page: the browser's own files, then STEM.css and STEM.js of each.

    Args:
        stems: Paths without their ending; either file may be missing.
        connect: Where the script may ask for data, such as "'self'"; nowhere by default.
    """
    paths = [stem.with_suffix(end) for end in (".css", ".js") for stem in (_HERE / "browser", *stems)]
    style, script = (
        "\n".join(_asset(path) for path in paths if path.suffix == end and path.is_file())
        for end in (".css", ".js")
    )
    policy = (
        f"default-src 'none'; script-src '{csp_hash(script)}'; style-src '{csp_hash(style)}'; img-src data:; "
        + (f"connect-src {connect}; " if connect else "")
        + "base-uri 'none'; form-action 'none'"
    )
    return {"style": Markup(style), "script": Markup(script), "policy": policy}


def csp_hash(content: str) -> str:
    """The fingerprint by which a content-security policy allows an inline element with exactly this
    content."""
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode("utf-8")).digest()).decode("ascii")


def embedded_json(value: Any) -> Markup:
    r"""JSON that is safe inside a script element: `<`, `>`, `&` and the two line separators become \uXXXX.

    Raises:
        ValueError: A number is NaN or infinite.
    """
    text = json.dumps(printable(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Markup(_ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", text))


def printable(value: Any) -> Any:
    """The value with control and bidi characters of every string in it replaced (`shown_text.visible`)."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, dict):
        return {printable(key): printable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [printable(item) for item in value]
    return value


def _visible(value: Any) -> Any:
    """A value that a template prints; what is escaped already (`Markup`) was made visible before."""
    return visible(value) if type(value) is str else value


def _asset(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    if "</" in text:  # it would end its element early
        raise ValueError(f"{path.name} must not contain '</'")
    return text
