"""The command line: `python -m recipe_mtlvae <command>`. Imports only the command that is asked for."""

from __future__ import annotations

import importlib
import sys

from recipe_mtlvae.errors import exit_code_of

# name: (module with a `main(argv)`, what it does)
COMMANDS = {
    "detect": ("recipe_mtlvae.commands.detect", "find the events in recordings"),
    "export": ("recipe_mtlvae.commands.export", "a trained network as one ONNX or TorchScript file"),
    "score": ("recipe_mtlvae.commands.score", "PSDS and F1 of anybody's scores or operating points"),
    "compare": ("recipe_mtlvae.commands.compare", "systems on the same clips, in one page with intervals"),
    "check-data": ("recipe_mtlvae.commands.check_data", "what is missing, damaged or odd in a corpus"),
    "check-submission": ("recipe_mtlvae.commands.check_submission", "list all faults of a submission package"),
}


def main() -> int:
    """Exit codes: 0 done; 1 the input is at fault; 2 wrong usage."""
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name in COMMANDS:
        return exit_code_of(lambda: importlib.import_module(COMMANDS[name][0]).main(sys.argv[2:]))
    usage = "usage: python -m recipe_mtlvae <command> [options]\n\ncommands (each has its own --help):\n"
    usage += "".join(f"  {command:<18}{text}\n" for command, (_, text) in COMMANDS.items())
    if name in ("-h", "--help"):
        print(usage, end="")
        return 0
    print(usage, end="", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
