"""Which of several engines writes fastest on this machine, and for how long that is believed.

Other programs can only make a turn longer. So the shortest turn of each engine counts, once some
others came near to it; while that has not happened, there are more turns, up to a second of them.
Even so a trial beside other work may err. What it found is therefore kept for a day, and only
for minutes if the figures never settled.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

from core.errors import StoreError
from core.infer.engines.engine import Engine
from core.paths import cache_dir
from core.store.files import make_folder, write_atomically

LEAST_ROUNDS, TRIAL_S = 5, 1.0
"""Turns of each engine, at least, and seconds after which no more begin."""
ROUND_S, LEAST_TOKENS, MOST_TOKENS = 0.01, 2, 24
"""About how long a turn takes, and how many tokens are written in one."""
N_NEAR, NEAR = 3, 1.05
"""Turns that must be within this factor of the shortest one."""
MARGIN = 0.97
"""A share of the time of what is simpler that must be undercut."""
DAY_S, UNSETTLED_S = 86_400, 600


def fastest(candidates: Mapping[str, Engine]) -> tuple[str, bool]:
    """By writing in turns, from position 0 on; who stands later must be faster by a margin.

    Returns:
        Its name, and whether the figures settled.
    """
    n_tokens = {name: _tokens_in_time(engine) for name, engine in candidates.items()}
    times: dict[str, list[float]] = {name: [] for name in candidates}
    began, is_settled, rounds = time.perf_counter(), False, 0
    while rounds < LEAST_ROUNDS or not is_settled:
        if rounds >= LEAST_ROUNDS and time.perf_counter() - began > TRIAL_S:
            break
        for name, engine in candidates.items():
            times[name].append(_time(engine, n_tokens[name]))
        is_settled = all(map(_is_settled, times.values()))
        rounds += 1
    best, *others = candidates
    for name in others:
        if min(times[name]) < MARGIN * min(times[best]):
            best = name
    return best, is_settled


def kept_choice(key: str) -> str:
    """What was chosen before and may still be believed; empty if nothing. The file may say
    anything."""
    try:
        found = json.loads((cache_dir() / "engines" / f"{key}.json").read_bytes())
        name, until = str(found["engine"]), float(found["until"])
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return ""
    return name if 0 < until - time.time() <= DAY_S else ""


def keep_choice(key: str, name: str, *, is_settled: bool) -> None:
    """Without a writable folder it is measured again."""
    until = time.time() + (DAY_S if is_settled else UNSETTLED_S)
    with suppress(StoreError, OSError):
        make_folder(cache_dir() / "engines")
        data = json.dumps({"engine": name, "until": until}).encode()
        write_atomically(cache_dir() / "engines" / f"{key}.json", data)


def _is_settled(times: Sequence[float]) -> bool:
    ranked = sorted(times)
    return len(ranked) >= N_NEAR and ranked[N_NEAR - 1] <= NEAR * ranked[0]


def _tokens_in_time(engine: Engine) -> int:
    _time(engine, 1)  # with what happens once
    n = min(MOST_TOKENS, max(LEAST_TOKENS, int(ROUND_S / _time(engine, 1))))
    return min(n, engine.max_seq_len)


def _time(engine: Engine, n: int) -> float:
    """Seconds a token."""
    engine.rewind(0)
    began = time.perf_counter()
    engine.write(0, n)
    return (time.perf_counter() - began) / n
