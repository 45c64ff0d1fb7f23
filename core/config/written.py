"""The texts that minitf writes itself: their names and how large they can be."""

from __future__ import annotations

import string

GENERATED, MARKOV = "generated", "markov"
TASK_SIZES = {"copy": 8, "reverse": 8, "brackets": 12, "addition": 3, "modular": 53}
"""By task: how long its problems are, or the modulus, unless somebody says otherwise."""
LARGEST_SIZES = {"copy": 100, "reverse": 100, "brackets": 100, "addition": 18, "modular": 62}
TASKS = tuple(f"task:{name}" for name in TASK_SIZES)
WRITTEN = (GENERATED, MARKOV, *TASKS)
RESIDUES = string.digits + string.ascii_letters
"""One character for each residue, so that a number is one token."""

MAX_GENERATED = 10_000_000_000
MAX_OF_TASK = 50_000_000
"""All problems of a text are in memory while it is written: none may come twice."""
MAX_ALPHABET = 27
MAX_STATES = 1 << 16
"""Contexts of a Markov chain, whose odds are in memory."""
