"""Web pages that are one file: templates with {{name}} where a part goes, and data that a script reads."""

import json
import re
from collections.abc import Mapping
from typing import Any


def assembled(template: str, parts: Mapping[str, str]) -> str:
    """The template with parts[name] in the place of each {{name}}. Raises KeyError for a name that has no part."""
    return re.sub(r"\{\{([\w.]+)\}\}", lambda match: parts[match[1]], template)


def in_script(data: Any) -> str:
    """JSON in which no string can end the script that it stands in. Raises ValueError for numbers that are not finite."""
    return json.dumps(data, allow_nan=False).replace("<", "\\u003c")
