"""`minitf` and `python -m minitf_tui`.

`core` is a common name, and `python -m` looks for modules in the working folder first. So that
folder is taken off the path before anything is imported, and both packages are found where this
file lies before all others; a `core/` or `torch.py` of the user's is never run.
"""

from __future__ import annotations

import importlib.machinery
import sys

TYPE_CHECKING = False  # `typing` takes as long to import as the rest of `minitf --help`
if TYPE_CHECKING:
    from collections.abc import Sequence

_HOME = __file__.rpartition("minitf_tui")[0]
"""The folder that holds both packages, with its separator at the end."""


class OwnPackages:
    """Finds both in their place. Python asks whatever is in `sys.meta_path`, in order."""

    @staticmethod
    def find_spec(
        name: str, path: object = None, target: object = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Where ours is; nothing of any other name."""
        if name not in ("core", "minitf_tui"):
            return None
        return importlib.machinery.PathFinder.find_spec(name, [_HOME])


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
    if OwnPackages not in sys.meta_path:
        sys.meta_path.insert(0, OwnPackages)
    from minitf_tui.cli.main import main as run

    return run(words)


def leave_working_folder() -> None:
    """Undo what `python -m` does to the path, as `python -P` would.

    With an editable install a mere folder `minitf_tui/` there has become the package by now.
    """
    if not sys.flags.safe_path:
        del sys.path[0]
    if sys.modules["minitf_tui"].__file__ is None:
        del sys.modules["minitf_tui"]


if __name__ == "__main__":
    leave_working_folder()
    sys.exit(main())
