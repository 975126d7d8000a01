"""Time this recipe, the baseline recipe's way of doing the same work, and the machine's bound, in turns within one run.

    python -m tests.benchmarks [ITEM...] [--quick] [--threads N] [--device cuda] [--out FILE.json]

Prints a Markdown table. Figures are medians over several rounds; energies in kWh come from codecarbon. torch uses one
thread by default, as each process of stage 1 does on a CPU: two spinning threads are faster on an idle machine, but
block each other as soon as anything else runs.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from recipe_mtlvae.files import write_json
from tests.benchmarks import machine, table
from tests.benchmarks.items import ITEMS


def main() -> None:
    options = _parse()
    torch.set_num_threads(options.threads)
    torch.set_default_device(options.device)
    machine_is, limits = machine.description(), machine.bounds(options.quick)
    print(", ".join(f"{name} {value}" for name, value in machine_is.items()))
    print(", ".join(f"{name} {table.number(value)}" for name, value in limits.items()))
    print("\n" + table.header(), flush=True)
    lines = []
    for name in options.items or [name for name, item in ITEMS.items() if item.by_default]:
        for line in ITEMS[name].lines(options.quick):
            lines.append(line)
            print(table.row(line), flush=True)
            if options.out:  # after every line, so that a long run that is stopped keeps its results
                write_json(
                    options.out, {"machine": machine_is, "bounds": limits, "lines": [*map(table.as_dict, lines)]}
                )
    print("\n" + table.notes(lines))


def _parse() -> argparse.Namespace:
    width = max(map(len, ITEMS)) + 2
    listed = [
        f"  {name:<{width}}{item.what}{'' if item.by_default else ' (only when named)'}" for name, item in ITEMS.items()
    ]
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description=__doc__,
        epilog="items:\n" + "\n".join(listed),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("items", nargs="*", metavar="ITEM", help="default: all but the long ones")
    parser.add_argument("--quick", action="store_true", help="few rounds and less work, to check that everything runs")
    parser.add_argument("--threads", type=int, default=1, help="number of torch threads (1)")
    parser.add_argument("--device", default="cpu", help="device of the training steps: cuda for an NVIDIA GPU (cpu)")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="write the figures of all rounds to this file")
    options = parser.parse_args()
    if unknown := [name for name in options.items if name not in ITEMS]:
        parser.error(f"no item {', '.join(unknown)}; there are {', '.join(ITEMS)}")
    return options


if __name__ == "__main__":
    main()
