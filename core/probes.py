"""What is done to a model between training steps: validation and a sample of its writing."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from core.config import RunConfig, SamplingConfig
from core.device import Device
from core.events import Evaluation, GenerationFinished
from core.infer.generate import generate
from core.measure.answers import Keep, evaluate_run
from core.model.transformer import Transformer
from core.store.tokens import TokenizedText
from core.training.trainer import Probes

PROMPT_TOKENS = 12
TEMPERATURE = 0.7


def make_probes(
    config: RunConfig,
    text: TokenizedText,
    device: Device,
    is_stopping: Callable[[], bool],
    keep: Keep | None = None,
) -> Probes:
    """Whole-split validation and a text sample, both cut short when the run is to stop.

    Args:
        keep: is given the loss of each token of a validation.

    Raises:
        TokenizerError: the tokenizer has no token for part of `sample_prompt`.
    """
    given = config.eval.sample_prompt
    if given:
        prompt_ids = text.tokenizer.encode_prompt(given).tolist()
    else:
        prompt_ids = text.held_out_prompt(PROMPT_TOKENS)

    def score(model: nn.Module) -> Evaluation | None:
        assert isinstance(model, Transformer)
        return _score(model, config, text, device, is_stopping, keep)

    def sample(model: nn.Module) -> tuple[str, str] | None:
        assert isinstance(model, Transformer)
        if not config.eval.sample_tokens:
            return None
        sampling = SamplingConfig(
            max_new_tokens=config.eval.sample_tokens,
            temperature=TEMPERATURE,
            engine="torch",  # the weights will have changed by the next sample
        )
        *_, last = generate(
            model, text.tokenizer, prompt_ids, sampling, device, is_stopping=is_stopping
        )
        assert isinstance(last, GenerationFinished)
        return text.tokenizer.decode_prompt(prompt_ids), last.continuations[0].text

    return Probes(evaluate=score, sample=sample)


def _score(
    model: Transformer,
    config: RunConfig,
    text: TokenizedText,
    device: Device,
    is_stopping: Callable[[], bool],
    keep: Keep | None,
) -> Evaluation | None:
    scoring = evaluate_run(
        model,
        text.tokenizer,
        text.validation_ids,
        config,
        stride=config.eval.stride or config.train.context,
        device=device,
        keep=keep,
    )
    while not is_stopping():
        try:
            next(scoring)
        except StopIteration as end:
            return end.value
    return None
