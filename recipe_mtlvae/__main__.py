"""The command line: `recipe-mtlvae <command>` or `python -m recipe_mtlvae <command>`. Imports no other command."""

from __future__ import annotations

import importlib
import sys

from recipe_mtlvae import interrupts
from recipe_mtlvae.errors import exit_code_of

# name of the command: (module that defines `main(argv)`, what the command does)
COMMANDS = {
    "detect": ("recipe_mtlvae.commands.detect", "find the events in recordings"),
    "detect-archive": (
        "recipe_mtlvae.commands.detect_archive",
        "the same for a large archive, on one machine or several",
    ),
    "export": ("recipe_mtlvae.commands.export", "write a trained network as one ONNX or TorchScript file"),
    "score": ("recipe_mtlvae.commands.score", "compute PSDS and F1 of any system's scores or operating points"),
    "compare": ("recipe_mtlvae.commands.compare", "compare systems on the same clips, in one page with intervals"),
    "check-data": ("recipe_mtlvae.commands.check_data", "list what is missing, damaged or odd in a corpus"),
    "check-submission": ("recipe_mtlvae.commands.check_submission", "list all faults of a submission package"),
}


def main() -> int:
    """Run a command. Returns its exit code: 0 done, 1 the input is at fault. Wrong usage exits with code 2."""
    interrupts.at_start()
    return exit_code_of(lambda: _run(*sys.argv[1:]))


def _run(name: str = "", *arguments: str) -> None:
    if name in COMMANDS:
        return importlib.import_module(COMMANDS[name][0]).main(list(arguments))
    wrong = name not in ("-h", "--help")
    out = sys.stderr if wrong else sys.stdout
    print("usage: python -m recipe_mtlvae <command> [options]\n\ncommands (each has its own --help):", file=out)
    for command, (_, text) in COMMANDS.items():
        print(f"  {command:<18}{text}", file=out)
    if wrong:
        sys.exit(2)


if __name__ == "__main__":
    sys.exit(main())
