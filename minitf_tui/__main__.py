"""`minitf` and `python -m minitf_tui`."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
    from minitf_tui.cli.main import main as run

    return run(words)


if __name__ == "__main__":
    sys.exit(main())
