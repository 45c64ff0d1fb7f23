"""What decodes in the process of a rival: transformers, llama.cpp, or minitf itself.

All do the same work: read a prompt into an empty cache, choose the likeliest token, then n more
one by one. Libraries are imported where they are used, for each process needs one of them.
"""

from __future__ import annotations

import ctypes
import os
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from core.openmp import tame_openmp

Timed = tuple[float, float, list[int]]
"""Milliseconds until the first token was chosen, milliseconds of those after it, and all of
them."""

PROBES, PROBE_TOKENS = 3, 48
F32 = 0
"""ggml's number for the type."""
OWN_CONTEXT = 512
"""Positions in one portion of a prompt, as llama.cpp has it when nobody says otherwise."""


class Program(Protocol):
    """A model that is loaded."""

    threads: int
    version: str
    note: str

    def repeat(self, prompt: Sequence[int], n: int) -> Timed:
        """Decode once, from nothing."""
        ...


class Transformers:
    """`generate`, greedy, with its cache, in float32."""

    def __init__(self, told: dict[str, Any]) -> None:
        os.environ["HF_HUB_OFFLINE"] = "1"
        tame_openmp()
        import torch
        import transformers

        transformers.logging.set_verbosity_error()
        if told["threads"]:
            torch.set_num_threads(told["threads"])
        self.threads, self.version = torch.get_num_threads(), transformers.__version__
        self.note = ""
        model = transformers.AutoModelForCausalLM.from_pretrained(told["path"], dtype=torch.float32)
        self._model = model.eval()

    def repeat(self, prompt: Sequence[int], n: int) -> Timed:
        """See `Program.repeat`."""
        import torch

        ids_BT = torch.tensor([list(prompt)])
        stream = _Arrivals()
        began = time.perf_counter()
        written = self._model.generate(
            ids_BT,
            attention_mask=torch.ones_like(ids_BT),
            do_sample=False,
            use_cache=True,
            max_new_tokens=n + 1,
            min_new_tokens=n + 1,
            streamer=stream,
        )
        _, first, *_, last = stream.times
        tokens = written[0, len(prompt) :].tolist()
        return 1000 * (first - began), 1000 * (last - first), tokens


class _Arrivals:
    """Notes when `generate` hands out the prompt, and each token."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def put(self, value: object) -> None:
        """Called with the prompt first."""
        self.times.append(time.perf_counter())

    def end(self) -> None:
        """Called after the last token."""


class LlamaCpp:
    """`llama_decode` called directly, one token at a time, with the threads and the kind of
    attention that a short trial finds to be the best."""

    def __init__(self, told: dict[str, Any]) -> None:
        import llama_cpp

        self._lib: Any = llama_cpp
        _silence(llama_cpp)
        llama_cpp.llama_backend_init()
        self._model = llama_cpp.llama_model_load_from_file(
            told["path"].encode(), llama_cpp.llama_model_default_params()
        )
        if not self._model:
            raise SystemExit(f"llama.cpp cannot load {told['path']}")
        vocab = llama_cpp.llama_model_get_vocab(self._model)
        self._vocab_size = llama_cpp.llama_vocab_n_tokens(vocab)
        self._n_ctx, self._is_f32 = told["max_seq_len"], not told["bits"]
        self._batch = llama_cpp.llama_batch_init(1, 0, 1)
        self._batch.n_tokens = self._batch.n_seq_id[0] = self._batch.logits[0] = 1
        self._batch.seq_id[0][0] = 0
        self.version = llama_cpp.__version__
        self._logits: tuple[int, Any] = (0, None)
        has_flash, self.threads = self._best_way(told["threads"])
        self.note = f"flash attention {'on' if has_flash else 'off'}"

    def repeat(self, prompt: Sequence[int], n: int) -> Timed:
        """See `Program.repeat`."""
        lib, context = self._lib, self._context
        lib.llama_memory_clear(lib.llama_get_memory(context), False)
        ids = (ctypes.c_int32 * len(prompt))(*prompt)
        began = time.perf_counter()
        whole = lib.llama_batch_get_one(ids, len(prompt))
        if lib.llama_decode(context, whole):
            raise SystemExit("llama_decode refuses the prompt")
        tokens = [self._choose()]
        prefilled = time.perf_counter()
        decode, batch = lib.llama_decode, self._batch
        for position in range(len(prompt), len(prompt) + n):
            batch.token[0], batch.pos[0] = tokens[-1], position
            if decode(context, batch):
                raise SystemExit("llama_decode refuses a token")
            tokens.append(self._choose())
        ended = time.perf_counter()
        return 1000 * (prefilled - began), 1000 * (ended - prefilled), tokens

    def _choose(self) -> int:
        """The likeliest token; the view of the logits is kept as long as they stay in place."""
        import numpy as np

        pointer = self._lib.llama_get_logits_ith(self._context, -1)
        address = ctypes.addressof(pointer.contents)
        if address != self._logits[0]:
            self._logits = (address, np.ctypeslib.as_array(pointer, (self._vocab_size,)))
        return int(self._logits[1].argmax())

    def _best_way(self, threads: int) -> tuple[bool, int]:
        """Try flash attention and numbers of threads, in turns; ends with the best of them. On a
        busy machine two threads are sometimes lucky, so that the median decides."""
        choices = [threads] if threads else list(range(1, (os.cpu_count() or 1) + 1))
        ways: dict[tuple[bool, int], float] = {}
        for has_flash in (False, True):
            self._open(has_flash)
            trials: dict[int, list[float]] = {n_threads: [] for n_threads in choices}
            for n_threads in PROBES * choices:
                trials[n_threads].append(self._trial(n_threads))
            ways |= {(has_flash, n): statistics.median(found) for n, found in trials.items()}
            self._lib.llama_free(self._context)
        has_flash, n_threads = min(ways, key=ways.__getitem__)
        self._open(has_flash)
        self._lib.llama_set_n_threads(self._context, n_threads, n_threads)
        return has_flash, n_threads

    def _trial(self, n_threads: int) -> float:
        self._lib.llama_set_n_threads(self._context, n_threads, n_threads)
        return self.repeat([0], min(PROBE_TOKENS, self._n_ctx - 2))[1]

    def _open(self, has_flash: bool) -> None:
        lib = self._lib
        self._logits = (0, None)
        options = lib.llama_context_default_params()
        options.n_ctx = options.n_batch = self._n_ctx
        options.n_ubatch = min(OWN_CONTEXT, self._n_ctx)
        options.no_perf = True
        if self._is_f32:
            options.type_k = options.type_v = F32
        kinds = (lib.LLAMA_FLASH_ATTN_TYPE_DISABLED, lib.LLAMA_FLASH_ATTN_TYPE_ENABLED)
        options.flash_attn_type = kinds[has_flash]
        self._context = lib.llama_init_from_model(self._model, options)
        if not self._context:
            raise SystemExit("llama.cpp has no room for a context")


def _silence(lib: Any) -> None:
    """Keep llama.cpp's reports off the screen."""

    @lib.llama_log_callback  # type: ignore[untyped-decorator]
    def say_nothing(level: int, text: bytes, data: object) -> None: ...

    _kept.append(say_nothing)
    lib.llama_log_set(say_nothing, ctypes.c_void_p(0))


_kept: list[object] = []
"""What C still points to."""


class Minitf:
    """This program: a run, by one of its engines."""

    def __init__(self, told: dict[str, Any]) -> None:
        tame_openmp()
        from core.device import choose_device
        from core.infer.decoder import Decoder
        from core.infer.engines.choose import make_engine
        from core.infer.round_weights import round_weights
        from core.measure.limits import weights_read
        from core.model.transformer import Transformer
        from core.store.checkpoint import load_weights
        from core.store.find import find_run
        from core.version import VERSION

        device = choose_device("cpu", "float32", told["threads"])
        ref = find_run(told["path"])
        model = Transformer(ref.run.config.model, seed=None)
        load_weights(ref.run, ref.step, model)
        round_weights(model, told["bits"])
        engine = make_engine(model.eval(), device, engine=told["engine"], cache=told["cache"])
        self._decoder = Decoder(engine)
        self.threads, self.version = getattr(engine, "n_threads", device.threads), VERSION
        self.note = f"{engine.name}, {weights_read(model)} bytes read"

    def repeat(self, prompt: Sequence[int], n: int) -> Timed:
        """See `Program.repeat`."""
        self._decoder.rewind(0)
        began = time.perf_counter()
        first = int(self._decoder.feed(prompt).argmax())
        prefilled = time.perf_counter()
        written = self._decoder.write(first, n)
        ended = time.perf_counter()
        return 1000 * (prefilled - began), 1000 * (ended - prefilled), [first, *written]


PROGRAMS: dict[str, Callable[[dict[str, Any]], Program]] = {
    "transformers": Transformers,
    "llama.cpp": LlamaCpp,
    "minitf": Minitf,
}
