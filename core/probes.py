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
from core.text.problems import find_problems
from core.text.tasks import END
from core.training.trainer import Probes, Written

PROMPT_TOKENS = 12
TEMPERATURE = 0.7
ROOM = 8
"""Tokens for an answer beyond those of the right one."""


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
    prompt_ids, answer = _prompt(config, text)

    def score(model: nn.Module) -> Evaluation | None:
        assert isinstance(model, Transformer)
        return _score(model, config, text, device, is_stopping, keep)

    def sample(model: nn.Module) -> Written | None:
        assert isinstance(model, Transformer)
        if not config.eval.sample_tokens:
            return None
        sampling = SamplingConfig(
            max_new_tokens=len(answer) + ROOM if answer else config.eval.sample_tokens,
            temperature=0.0 if answer else TEMPERATURE,
            engine="torch",  # the weights will have changed by the next sample
        )
        *_, last = generate(
            model, text.tokenizer, prompt_ids, sampling, device, is_stopping=is_stopping
        )
        assert isinstance(last, GenerationFinished)
        prompt, written = text.tokenizer.decode_prompt(prompt_ids), last.continuations[0].text
        return Written(prompt, written.partition(END)[0] if answer else written, answer)

    return Probes(evaluate=score, sample=sample)


def _prompt(config: RunConfig, text: TokenizedText) -> tuple[list[int], str]:
    """What a sample begins with, and the answer to it if it is a question: the first one that is
    held out, each time the same, so that one sees when the model has learned it."""
    given, tokenizer = config.eval.sample_prompt, text.tokenizer
    if given:
        return tokenizer.encode_prompt(given).tolist(), ""
    if config.text.is_task:
        problems = find_problems(text.validation_ids, tokenizer, begins_with_one=False)
        if len(problems.starts):
            problem = slice(problems.starts[0], problems.starts[0] + problems.lengths[0])
            ids, is_answer = text.validation_ids[problem], problems.is_answer[problem]
            answer = tokenizer.decode(ids[is_answer].tolist()).removesuffix(END)
            return [*tokenizer.begin_ids, *ids[~is_answer].tolist()], answer
    return text.held_out_prompt(PROMPT_TOKENS), ""


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
