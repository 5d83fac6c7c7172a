"""Form of the requests of an endpoint judge: its protocol, and the fields that servers differ in.

>>> RequestForm("qwen", "text_integer", seed=None).payload("Grade this.")
{'model': 'qwen', 'messages': [...], 'max_tokens': 16, 'temperature': 0}
"""

import json
import re
from dataclasses import dataclass, field, fields
from typing import Any

from turncoat.errors import UserError, accepted

PROTOCOLS = {"logprob": 1, "text_integer": 16}
"""Protocol -> most tokens of a reply, where max_tokens does not say."""
TOKEN_FIELDS = ("max_tokens", "max_completion_tokens")

_ADVICE = {
    "max_tokens": "raise it (max_tokens=2000), or send it as token_field=max_completion_tokens",
    "max_completion_tokens": "raise it (max_tokens=2000), or send it as token_field=max_tokens",
    "top_logprobs": "give the number that the server allows, such as top_logprobs=5",
    "logprobs": "use protocol=text_integer", "seed": "seed=none leaves it out",
    "temperature": "temperature=none leaves it out (the server's own then holds)",
    "reasoning_effort": "give another reasoning_effort, or leave it out",
}  # fmt: skip


@dataclass
class RequestForm:
    """Fields that all requests of a judge share.

    Raises:
        UserError: The token field is not one of those accepted, or `extra` is not a JSON object.
    """

    model: str
    protocol: str
    max_tokens: int | None = None  # None = the protocol's
    top_logprobs: int = 20
    temperature: float | None = 0  # None = not sent, as for the next two
    seed: int | None = 0
    reasoning_effort: str | None = None
    token_field: str = "max_tokens"
    extra: str | None = None  # A JSON object of further fields
    _extra: dict[str, Any] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.max_tokens = self.max_tokens or PROTOCOLS[self.protocol]
        if self.token_field not in TOKEN_FIELDS:
            raise UserError(
                f"judge openai: token_field={self.token_field!r}; {accepted(TOKEN_FIELDS, self.token_field)}"
            )
        try:
            self._extra = json.loads(self.extra or "{}")
        except ValueError:
            self._extra = {"": None}
        if not isinstance(self._extra, dict) or "" in self._extra:
            raise UserError(
                f"judge openai: extra={self.extra!r}; accepted: a JSON object of further fields of the "
                'request, such as extra={"chat_template_kwargs": {"enable_thinking": false}}'
            )

    @property
    def label(self) -> str:
        """The protocol with every setting that can change a score and is not the default's, for ids."""
        usual = {f.name: f.default for f in fields(self)}
        names = ["temperature", "seed", "reasoning_effort", "extra"]
        names += ["top_logprobs"] if self.protocol == "logprob" else []
        changed = [f"{name}={getattr(self, name)}" for name in names if getattr(self, name) != usual[name]]
        return ",".join([self.protocol, *changed])

    def payload(self, prompt: str) -> dict[str, Any]:
        """The JSON of a request."""
        sent: dict[str, Any] = {
            "model": self.model, "messages": [{"role": "user", "content": prompt}],
            self.token_field: self.max_tokens, "temperature": self.temperature, "seed": self.seed,
            "reasoning_effort": self.reasoning_effort,
        }  # fmt: skip
        if self.protocol == "logprob":
            sent |= {"logprobs": True, "top_logprobs": self.top_logprobs}
        return {name: value for name, value in sent.items() if value is not None} | self._extra


def advice_for(words: str, payload: dict[str, Any]) -> str:
    """Advice about the field of a request that a server's words complain of; "" if they name none."""
    named = [name for name in _ADVICE if name in payload and re.search(rf"\b{name}\b", words)]
    return _ADVICE[named[0]] if named else ""
