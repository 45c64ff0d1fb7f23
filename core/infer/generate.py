"""Writing text, as a generator of tokens.

Reading the prompt (prefill) and writing (decode) are timed apart. Text is held back until
its UTF-8 is whole, so that a character of three tokens appears with the third.

Shape suffix: V vocab_size.
"""

from __future__ import annotations

import codecs
import time
from collections.abc import Callable, Generator, Sequence

import torch
from torch import Tensor

from core.config import SamplingConfig
from core.device import Device
from core.errors import TokenizerError
from core.events import (
    GeneratedToken,
    Generation,
    GenerationEvent,
    GenerationFinished,
    PromptRead,
    TokenChoice,
    TokenGenerated,
)
from core.infer.decoder import Decoder
from core.infer.sampling import make_sampler
from core.model.transformer import Transformer
from core.text.tokenizer import Tokenizer

N_ALTERNATIVES = 5


def generate(
    model: Transformer,
    tokenizer: Tokenizer,
    prompt_ids: Sequence[int],
    config: SamplingConfig,
    device: Device,
    *,
    is_stopping: Callable[[], bool] = lambda: False,
) -> Generator[GenerationEvent, None, None]:
    """Continue `prompt_ids`; the last event is `GenerationFinished`.

    Raises:
        TokenizerError: the prompt has no token.
    """
    if not len(prompt_ids):
        raise TokenizerError("The prompt has no tokens.", hint="Give at least one character.")
    decoder = Decoder(model, device, use_cache=config.cache)
    sampler = make_sampler(config)
    dice = torch.Generator().manual_seed(config.seed)
    text = codecs.getincrementaldecoder("utf-8")("replace")
    # A prompt may end inside a character, which the first tokens then complete.
    text.decode(tokenizer.decode_bytes(prompt_ids))

    began = time.perf_counter()
    logits_V = decoder.feed(prompt_ids)
    chosen = sampler.choose(logits_V, dice)
    first_at = time.perf_counter()
    ttft_ms = 1000 * (first_at - began)
    yield PromptRead(
        prompt=tokenizer.decode(prompt_ids),
        prompt_tokens=len(prompt_ids),
        context=model.config.max_seq_len,
        prefill_ms=ttft_ms,
    )
    tokens: list[GeneratedToken] = []
    decode_s = 0.0
    while True:
        is_last = len(tokens) + 1 == config.max_new_tokens
        shown = text.decode(tokenizer.decode_bytes([chosen]), final=is_last)
        tokens.append(_describe(tokenizer, logits_V, chosen, shown))
        speed = (len(tokens) - 1) / decode_s if decode_s else 0.0
        yield TokenGenerated(index=len(tokens), token=tokens[-1], tokens_per_s=speed)
        if is_last or is_stopping():
            break
        # The listener's time between two tokens is not the model's.
        began = time.perf_counter()
        logits_V = decoder.feed([chosen])
        chosen = sampler.choose(logits_V, dice)
        decode_s += time.perf_counter() - began
    result = Generation(
        text="".join(t.text for t in tokens) + text.decode(b"", final=True),
        prompt_tokens=len(prompt_ids),
        tokens=tuple(tokens),
        ttft_ms=ttft_ms,
        tokens_per_s=speed,
        stop="length" if is_last else "stopped",
    )
    yield GenerationFinished(result=result)


@torch.inference_mode()
def _describe(tokenizer: Tokenizer, logits_V: Tensor, chosen: int, shown: str) -> GeneratedToken:
    """A token with the model's own probabilities, whatever the sampler made of them."""
    logprob_V = logits_V.log_softmax(0)
    best = logprob_V.topk(min(N_ALTERNATIVES, logprob_V.numel()))
    pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    top = tuple(TokenChoice(id=i, text=tokenizer.decode([i]), logprob=p) for i, p in pairs)
    return GeneratedToken(id=chosen, text=shown, logprob=logprob_V[chosen].item(), top=top)
