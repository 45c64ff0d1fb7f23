"""The threads of the fast engine: they sleep, wake, and end with it."""

from __future__ import annotations

import gc
import os
import re
import threading
import weakref

import pytest

from core.device import Device
from core.infer.engines import words
from core.infer.engines.fast import FastEngine
from tests.core.fast_models import TINY, assert_near, noisy

CPU = Device("cpu", "float32", 1)


def wait_until_all_sleep(engine: FastEngine) -> None:
    workers = engine._workers
    lines = workers.job[words.JOB_BYTES // 8 :]
    for i, thread in enumerate(workers._threads, 1):
        while not lines[i * words.LINE // 8 + words.IS_PARKED]:
            thread.join(0.001)


def test_threads_end_with_their_engine() -> None:
    fast = FastEngine(noisy(TINY), n_threads=3)
    fast.feed([[1]])
    threads = [t for t in threading.enumerate() if t.name.startswith("minitf-decode")]
    assert len(threads) >= 2
    del fast
    gc.collect()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


def test_threads_that_sleep_are_woken() -> None:
    model = noisy(TINY)
    fast, other = FastEngine(model, n_threads=2), FastEngine(model, n_threads=1)
    for token in range(5):
        wait_until_all_sleep(fast)
        assert_near(fast.feed([[token]]), other.feed([[token]]))


def test_ctrl_c_before_the_others_are_woken_leaves_no_generation_half_done() -> None:
    model = noisy(TINY)
    fast, other = FastEngine(model, n_threads=3), FastEngine(model)
    assert_near(fast.feed([[1]]), other.feed([[1]]))
    wait_until_all_sleep(fast)
    workers = fast._workers
    work = workers._work

    def interrupted(*words: int) -> int:
        if work(*words):
            raise KeyboardInterrupt
        return 0

    workers._work = interrupted
    with pytest.raises(KeyboardInterrupt):
        fast.feed([[2]])
    workers._work = work
    assert fast.length == 1
    for token in range(5):
        assert_near(fast.feed([[token]]), other.feed([[token]]))
    assert fast.write(7, 10) == other.write(7, 10)


def test_threads_that_cannot_all_be_started_are_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    model = noisy(TINY)
    fast, start, begun = FastEngine(model, n_threads=3), threading.Thread.start, []

    def refuse_the_second(thread: threading.Thread) -> None:
        if begun:
            raise RuntimeError("can't start new thread")
        begun.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse_the_second)
    with pytest.raises(RuntimeError, match=re.escape("can't start new thread")):
        fast.feed([[1]])
    assert not begun[0].is_alive()
    monkeypatch.undo()
    assert_near(fast.feed([[1]]), FastEngine(model).feed([[1]]))


def test_a_closed_engine_does_not_wait_for_its_threads() -> None:
    fast = FastEngine(noisy(TINY), n_threads=2)
    fast.feed([[1]])
    fast.close()
    with pytest.raises(RuntimeError, match=re.escape("The engine was closed.")):
        fast.feed([[2]])


def test_threads_keep_what_they_read_until_they_end() -> None:
    fast = FastEngine(noisy(TINY), n_threads=2)
    memory = weakref.ref(fast._buffers)
    fast.feed([[1]])
    (thread,) = fast._workers._threads
    engine = weakref.ref(fast)
    frame_holds = thread._args[-1]  # type: ignore[attr-defined]
    assert frame_holds is memory()
    del fast, frame_holds
    gc.collect()
    assert engine() is None
    thread.join(10)
    assert not thread.is_alive()
    gc.collect()
    assert memory() is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own() -> None:
    fast = FastEngine(noisy(TINY), n_threads=2)
    expected = fast.write(1, 5)
    fast.rewind(0)
    child = os.fork()
    if child == 0:
        os._exit(0 if fast.write(1, 5) == expected else 1)
    assert os.waitpid(child, 0)[1] == 0
