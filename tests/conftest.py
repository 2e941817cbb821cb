"""All tests are collected without Python's search for garbage, of which there is hardly any among what is imported."""

import gc

gc.disable()


def pytest_collection_finish() -> None:
    """Search for garbage from here on, and not among what has been imported."""
    gc.freeze()
    gc.enable()
