"""`minitf` and `python -m minitf_tui`.

`core` is a common name, and `python -m` looks for modules in the working folder first. So that
folder is taken off the path before anything is imported, and the `core` that lies beside this
package is found before all others; a `core/` or `torch.py` of the user's is never run.
"""

from __future__ import annotations

import importlib.machinery
import sys

TYPE_CHECKING = False  # `typing` takes as long to import as the rest of `minitf --help`
if TYPE_CHECKING:
    from collections.abc import Sequence

_HOME = __file__.rpartition("minitf_tui")[0]
"""The folder that holds both packages, with its separator at the end."""


class OwnCore:
    """Finds `core` in its place. Python asks whatever is in `sys.meta_path`, in order."""

    @staticmethod
    def find_spec(
        name: str, path: object = None, target: object = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Where `core` is; nothing of any other name."""
        return importlib.machinery.PathFinder.find_spec(name, [_HOME]) if name == "core" else None


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
    if OwnCore not in sys.meta_path:
        sys.meta_path.insert(0, OwnCore)
    from minitf_tui.cli.main import main as run

    return run(words)


def leave_working_folder() -> None:
    """Undo what `python -m` does to the path, as `python -P` would."""
    if not sys.flags.safe_path:
        del sys.path[0]


if __name__ == "__main__":
    leave_working_folder()
    sys.exit(main())
