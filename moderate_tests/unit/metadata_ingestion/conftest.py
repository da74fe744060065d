"""The framework, imported once, with its own deprecations ignored."""

import importlib
import warnings

import pytest


@pytest.fixture(scope="session")
def framework() -> None:
    """Import the framework: what of it warns does so while it is imported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module("metadata.workflow.metadata")
