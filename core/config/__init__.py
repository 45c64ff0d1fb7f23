"""Every setting of minitf, as frozen dataclasses; one module a section.

One definition serves the library, the command line, the form on the screen and the TOML
file: each field carries its help, its unit and its choices. Values are checked where the
config is made, so a config that exists can be used.
"""

from core.config.control import ACTIONS, LASTING, UNITS, Command, read_command
from core.config.jobs import BenchConfig, CacheConfig, SamplingConfig
from core.config.model import ModelConfig
from core.config.quantize import QuantizeConfig
from core.config.run import RunConfig, read_toml, write_toml
from core.config.text import TextConfig
from core.config.train import BUDGETS, EvalConfig, TrainConfig

__all__ = [
    "ACTIONS",
    "BUDGETS",
    "LASTING",
    "UNITS",
    "BenchConfig",
    "CacheConfig",
    "Command",
    "EvalConfig",
    "ModelConfig",
    "QuantizeConfig",
    "RunConfig",
    "SamplingConfig",
    "TextConfig",
    "TrainConfig",
    "read_command",
    "read_toml",
    "write_toml",
]
