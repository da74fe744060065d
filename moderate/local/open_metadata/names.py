"""Fully qualified names: parts joined by dots, quoted where they need it."""

import re

# A part in quotes (which may hold dots), or one without a dot.
PART = re.compile(r'"(?:[^"])*"|[^.]+')


def quote(name: str) -> str:
    """Return a part as it stands in a full name.

    As the client's ``metadata.utils.fqn.quote_name``: quotes only around
    what has a dot in it. Quotation marks themselves never get here: the
    client sends ``__reserved__quote__`` instead.
    """
    bare = unquote(name)
    return f'"{bare}"' if "." in bare else bare


def unquote(part: str) -> str:
    """Take the quotes off a part of a full name."""
    if len(part) > 1 and part[0] == part[-1] == '"':
        return part[1:-1]
    return part


def join(parent: str | None, name: str) -> str:
    """Return the full name of ``name`` below ``parent``."""
    return f"{parent}.{quote(name)}" if parent else quote(name)


def split(full_name: str) -> list[str]:
    """Return the parts of a full name, still quoted."""
    return PART.findall(full_name)
