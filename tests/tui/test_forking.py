"""A fork in words, and from the Runs pane."""

from __future__ import annotations

import pytest

from core.errors import ConfigError
from minitf_tui.forking import fork_box, read_fork
from minitf_tui.run_list import RunDetails
from tests.tui.events import finished
from tests.tui.pilot import screen_text, settle
from tests.tui.runs_on_disk import CONFIG, make_run
from tests.tui.scripted import Script, app_with
from tests.tui.stories import training_story


def test_words_of_a_fork_become_changes_of_their_types() -> None:
    changes = {"lr": 3e-4, "steps": 2000, "schedule": "linear"}
    assert read_fork("500 lr=0.0003 steps=2000 schedule=linear", CONFIG) == ("500", changes)
    assert read_fork("best", CONFIG) == ("best", {})


@pytest.mark.parametrize(
    ("words", "sentence", "hint"),
    [
        ("", "'' is not the step of a checkpoint.", "Begin with it: 500 lr=0.0003"),
        ("lr=1", "'lr=1' is not the step of a checkpoint.", "Begin with it: 500 lr=0.0003"),
        ("5 ler=1", "There is no setting 'ler'.", "Did you mean lr?"),
        ("5 lr=x", "lr='x' is not a number.", f"Try {CONFIG.train.lr:g}."),
    ],
)
def test_words_that_are_no_fork(words: str, sentence: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_fork(words, CONFIG)
    assert (str(caught.value), caught.value.hint) == (sentence, hint)


async def test_f_forks_the_highlighted_run_in_the_train_pane() -> None:
    make_run("root")
    app = app_with(forking=Script([*training_story(5), finished()]))
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.press("5")
        for _ in range(200):
            await pilot.pause(0.02)
            if "root" in screen_text(app) and app.pane._seen.details:
                break
        await pilot.press("f")
        await pilot.pause()
        assert "fork root" in screen_text(app)
        assert "Checkpoints: 0, 40 (best). A run keeps its last two and its" in screen_text(app)
        await pilot.press(*"lr=0.1", "enter")
        await settle(pilot)
        assert app.asked == [("forking", "root@40", {"lr": 0.1})]
        assert app.pane.NAME == "train"
        assert app.pane.watched.ending.startswith("finished")


async def test_a_checkpoint_that_is_gone_is_refused_in_the_box() -> None:
    about = RunDetails(make_run("root"), (0, 30, 40), 30, None, "")  # type: ignore[arg-type]
    forked: list[str] = []
    box = fork_box(about, lambda run, _: forked.append(run))
    for words, expected in (("30", ["root@30"]), ("best", ["root@30", "root@best"])):
        box._use(words)
        assert forked == expected
    with pytest.raises(ConfigError) as caught:
        box._use("20 lr=0.1")
    assert str(caught.value) == "root has no checkpoint of step 20."
    assert caught.value.hint == (
        "A run keeps its last two and its best; the others are gone. Left are: 0, 30 (best), 40."
    )
