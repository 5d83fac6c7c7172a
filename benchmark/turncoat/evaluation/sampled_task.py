"""Task class of sampled answers: its requests fit the model that answers them, and mark thoughts.

    class: !function turncoat.tasks.SampledTask

lm-eval hands a task's `generation_kwargs` to every kind of model alike. Local models need each sampling key
written out, or their own generation configuration acts; an API refuses keys that its protocol lacks. For
lm-eval's API models this class leaves such keys out where they say "off", and sends neither an empty `stop`
nor one seed for all answers to a question. Requests to other models are lm-eval's own.
"""

import sys
from typing import Any

from lm_eval.api.task import ConfigurableTask

from turncoat.engine.evidence import Answer, evidence_of
from turncoat.engine.thoughts import opened_by
from turncoat.evaluation.free_form import OPENED
from turncoat.evaluation.generation_requests import NEUTRAL
from turncoat.shown_text import warn

_NOT_IN_PROTOCOL = {**NEUTRAL, "top_k": 0}
_described: set[str] = set()


class SampledTask(ConfigurableTask):
    """lm-eval's task from a YAML file, with requests that suit API models too."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config={key: value for key, value in config.items() if key != "class"})

    def construct_requests(self, doc: Any, ctx: Any, **kwargs: Any) -> Any:
        """The request of a document; `chat_template` is a method of the model that will answer it."""
        model = getattr(kwargs.get("chat_template"), "__self__", None)
        request = super().construct_requests(doc, ctx, **kwargs)
        if _asks_an_api(model):
            context, settings = request.arguments
            request.arguments = (context, api_settings(settings, openai=not _is_anthropic(model)))
            self._describe(settings)
        return request

    def apply_filters(self) -> Any:
        """lm-eval's filters, on answers that say so where their prompt opened their thoughts."""
        for request in self._instances:
            if opened_by(str(request.args[0])):
                request.resps = [Answer(text, {**evidence_of(text), OPENED: True}) for text in request.resps]
        return super().apply_filters()

    def _describe(self, settings: dict[str, Any]) -> None:
        if self.config.task in _described:
            return
        _described.add(self.config.task)
        left_out = ", ".join(name for name in settings if name in _NOT_IN_PROTOCOL) or "nothing"
        warn(
            f"{self.config.task}: left out of requests to this API: {left_out}; the server's own values hold "
            "(vLLM takes the model's generation config for them unless started with --generation-config "
            "vllm). No seed is sent: one seed would make the answers to a question equal"
        )


def api_settings(settings: dict[str, Any], *, openai: bool = True) -> dict[str, Any]:
    """`generation_kwargs` for an API: without keys that are off and not in the protocol.

    Args:
        settings: The task's.
        openai: Whether the protocol is OpenAI's, in which a null `stop` or `seed` is none.
    """
    kept = {
        key: value
        for key, value in settings.items()
        if key not in _NOT_IN_PROTOCOL or value != _NOT_IN_PROTOCOL[key]
    }
    if openai:  # lm-eval itself would send "stop": [] and the same seed with every request
        kept |= {} if settings.get("until") else {"stop": None}
        kept |= {"seed": None} if settings.get("do_sample") else {}
    return kept


def _asks_an_api(model: Any) -> bool:
    loaded = sys.modules.get("lm_eval.models.api_models")  # not imported for the models that do without
    return loaded is not None and isinstance(model, loaded.TemplateAPI)


def _is_anthropic(model: Any) -> bool:
    return type(model).__module__.endswith("anthropic_llms")
