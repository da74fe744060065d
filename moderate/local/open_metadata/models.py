"""The framework's generated models, without the framework.

``import metadata`` loads the whole framework: 4 to 16 seconds of CPU. Its
generated models need nothing of it but pydantic, so in this process the
package ``metadata`` is an empty one that only knows its folder; that takes
0.4 seconds. So ``load`` must not be called in a process that runs a workflow.
"""

import importlib
import importlib.util
import sys
from functools import cache
from types import ModuleType

from pydantic import BaseModel

FRAMEWORK = "metadata"
GENERATED = "metadata.generated.schema"


def installed() -> bool:
    """Whether the ingestion framework is there; does not import it."""
    return importlib.util.find_spec(FRAMEWORK) is not None


@cache
def load(place: str) -> type[BaseModel]:
    """Import a generated model.

    Args:
        place: Module below ``metadata.generated.schema`` and class, as in
            ``api.data.createTable.CreateTableRequest``.
    """
    _make_hollow()
    module, _, name = place.rpartition(".")
    found = getattr(importlib.import_module(f"{GENERATED}.{module}"), name)
    if not (isinstance(found, type) and issubclass(found, BaseModel)):
        raise TypeError(place)
    return found


def _make_hollow() -> None:
    if FRAMEWORK in sys.modules:
        return
    spec = importlib.util.find_spec(FRAMEWORK)
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError(
            "openmetadata-ingestion is not installed: "
            "pip install 'moderate[openmetadata]'",
            name=FRAMEWORK,
        )
    hollow = ModuleType(FRAMEWORK)
    hollow.__path__ = list(spec.submodule_search_locations)
    hollow.__spec__ = spec
    sys.modules[FRAMEWORK] = hollow
