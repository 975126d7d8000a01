"""Self-contained pages from the templates beside this file."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import jinja2


def render(template: str, **content: Any) -> str:
    """The template filled in; everything but charts is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["base64"] = lambda data: base64.b64encode(data).decode()
    return environment.get_template(template).render(**content)
