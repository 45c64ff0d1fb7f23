"""What to type next: the lines that put an exported or imported model to use.

They are to be copied, so each stands alone and a name with spaces is quoted. Nothing in a name of
a file acts on the terminal.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from core.events import Export
from minitf_tui.problems import escape

PROGRAMS = {"hf": "transformers", "gguf": "llama.cpp and Ollama", "capsule": "minitf"}
"""What a format is for."""


@dataclass(frozen=True, slots=True)
class Use:
    """One way to use a model."""

    title: str
    lines: tuple[str, ...]


def uses_of(export: Export, *, is_near: bool) -> list[Use]:
    """The ways to use what was written.

    Args:
        is_near: whether the lines will be typed in the working folder: then the path can be
            short.
    """
    path = near(export.path) if is_near else export.path
    if export.format == "hf":
        place = escape(repr(path))
        return [
            Use(
                "In Python",
                (
                    "from transformers import AutoModelForCausalLM, AutoTokenizer",
                    f"model = AutoModelForCausalLM.from_pretrained({place})",
                    f"tokenizer = AutoTokenizer.from_pretrained({place})",
                ),
            )
        ]
    file = escape(shlex.quote(path))
    if export.format == "capsule":
        return [Use("With any minitf", (f"minitf import {file}", f"minitf replay {file}"))]
    name = escape(shlex.quote(Path(path).stem.lower() or export.run))
    begin = escape(shlex.quote(f"FROM {path if Path(path).is_absolute() else f'./{path}'}"))
    return [
        Use("With llama.cpp", (f'llama-cli -m {file} -p "The "', f"llama-server -m {file}")),
        Use(
            "With Ollama",
            (
                f"echo {begin} > Modelfile",
                f"ollama create {name} -f Modelfile && ollama run {name}",
            ),
        ),
    ]


def uses_of_run(run: str) -> list[tuple[str, str]]:
    """What can be done with a model that was imported: a command, and what it does."""
    return [
        (f"minitf generate {run}", "let it write"),
        (f"minitf eval {run}", "score it"),
        (f"minitf bench {run}", "time its KV cache"),
        (f"minitf train --resume {run} --steps 100", "go on training it"),
        (f"minitf train --init-from {run}", "begin a new run from its weights"),
    ]


def near(path: str) -> str:
    """`path` as it is typed in the working folder, if it lies there."""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except (ValueError, OSError):
        return path
