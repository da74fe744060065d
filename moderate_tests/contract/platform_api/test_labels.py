"""No recorded exchange is forgotten."""

import importlib
import pkgutil

from moderate_tests.contract import platform_api
from moderate_tests.contract.platform_api.labels import (
    LEFT_OUT,
    RECORDED,
    covered,
)


def test_every_recorded_exchange_is_covered_or_left_out_on_purpose() -> None:
    for module in pkgutil.iter_modules(platform_api.__path__):
        if module.name.startswith("test_"):
            importlib.import_module(f"{platform_api.__name__}.{module.name}")

    assert RECORDED - covered == LEFT_OUT
