"""The app that remembers: `settings`, and writing them down without making anybody wait."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from textual.app import App
from textual.theme import Theme

from minitf_tui.settings import SettingsError, load_settings, save_settings
from minitf_tui.theme import DARK, THEMES, variables_for
from minitf_tui.widgets.notice import Notice


class RememberingApp(App[int]):
    """Themes, settings, and the one place for problems with them."""

    def __init__(self) -> None:
        super().__init__()
        self.settings, problem = load_settings()
        self.notice = Notice()
        for theme in THEMES:
            self.register_theme(theme)
        if self.settings.theme not in self.available_themes:
            unknown = self.settings.theme
            self.settings = replace(self.settings, theme=DARK.name)
            problem = problem or SettingsError(
                f"There is no theme {unknown!r}.", hint="Ctrl+P lists the themes."
            )
        self.theme = self.settings.theme
        self._problem, self._kept = problem, self.settings
        self._writing = asyncio.Lock()

    def on_mount(self) -> None:
        """What can be done only once it is on the screen."""
        self.notice.complain(self._problem)
        self.theme_changed_signal.subscribe(self, self._theme_changed)

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Colours of ours, for themes of others."""
        return variables_for(self.current_theme)

    def action_hide_notice(self) -> None:
        """Send the problem away, solved or not."""
        self.notice.complain(None)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Whether a key does something now; see `App.check_action`."""
        return self.notice.is_said if action == "hide_notice" else True

    def change_settings(self, **changes: Any) -> None:
        """Like it another way from now on, and the next time, too."""
        self.settings = replace(self.settings, **changes)
        self.theme = self.settings.theme
        self.run_worker(self.keep_settings(), group="settings", exit_on_error=False)

    async def keep_settings(self) -> None:
        """Write down what has changed; what prevents it is said."""
        async with self._writing:
            wanted = self.settings
            if wanted == self._kept:
                return
            try:
                await asyncio.to_thread(save_settings, wanted)
            except SettingsError as error:
                self.notice.complain(error)
            else:
                self.notice.complain(None)
            self._kept = wanted  # one try a change: a read-only disk stays one

    def _theme_changed(self, _theme: Theme) -> None:
        # Told late: the theme may have changed again, so what counts is the one there is now.
        if self.theme != self.settings.theme:
            self.change_settings(theme=self.theme)
