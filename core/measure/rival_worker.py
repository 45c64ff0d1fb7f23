"""The process of a rival: `python -m core.measure.rival_worker`.

Reads one JSON object a line and answers each with one. The first says what to load; the answer
says the program's version and threads. Each after it asks for a repetition. It ends when nobody
can ask any more. What libraries print goes to the standard error.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

from core.errors import MinitfError
from core.measure.rival_programs import PROGRAMS


def main() -> int:
    """Answer until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who asks, and who ends us then
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    program = None
    for line in sys.stdin:
        asked = json.loads(line)
        if program is None:
            try:
                program = PROGRAMS[asked["program"]](asked)
            except MinitfError as error:
                print(f"{error} {error.hint}", file=sys.stderr)
                return 2
            answer: dict[str, Any] = {
                "threads": program.threads,
                "version": program.version,
                "note": program.note,
            }
        else:
            prefill_ms, decode_ms, tokens = program.repeat(asked["prompt"], asked["n"])
            answer = {"prefill_ms": prefill_ms, "decode_ms": decode_ms, "tokens": tokens}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
