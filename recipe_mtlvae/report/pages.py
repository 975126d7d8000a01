"""Write self-contained pages from the templates beside this file, and format their numbers and times."""

from __future__ import annotations

import math
from datetime import timedelta
from pathlib import Path
from typing import Any

import jinja2

from recipe_mtlvae.files import write_text


def write_page(file: Path, template: str, **content: Any) -> None:
    """Render `template` with `content` and write it to `file`. All text is escaped, except Markup such as charts."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"counted": counted, "clock": clock}
    write_text(file, environment.get_template(template).render(**content))


def counted(number: int, noun: str) -> str:
    """Format a number with its noun: `1 clip`, `1,234 clips`."""
    return f"{number:,} {noun}" + "s" * (number != 1)


def clock(seconds: float, decimals: int = 0) -> str:
    """Format seconds as `0:05` or `1:02:03`, or with decimals as `0:05.25`."""
    whole = math.floor(round(seconds, decimals))
    text = str(timedelta(seconds=whole)).removeprefix("0:").removeprefix("0")
    return text + (f"{round(seconds, decimals) - whole:.{decimals}f}"[1:] if decimals else "")
