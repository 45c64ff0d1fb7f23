"""`minitf` and `python -m minitf_tui`.

`core` is a common name, and `python -m` looks for modules in the working folder first. So
before anything is imported that folder is taken off the path, and the `core` that lies beside
this package is loaded by its place; a `core/` or `torch.py` of the user's is never run.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_HOME = __file__.rpartition("minitf_tui")[0]
"""The folder that holds both packages, with its separator at the end."""


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
    load_own_core()
    from minitf_tui.cli.main import main as run

    return run(words)


def leave_working_folder() -> None:
    """Undo what `python -m` does to the path, as `python -P` would."""
    if not sys.flags.safe_path:
        del sys.path[0]


def load_own_core() -> None:
    """Have `import core` mean ours, wherever else a `core` is found first."""
    if "core" in sys.modules:
        return
    spec = importlib.machinery.PathFinder.find_spec("core", [_HOME])
    if spec is not None and spec.loader is not None:
        module = importlib.util.module_from_spec(spec)
        sys.modules["core"] = module
        spec.loader.exec_module(module)


if __name__ == "__main__":
    leave_working_folder()
    sys.exit(main())
