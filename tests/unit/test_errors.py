"""Errors travel between processes as they are."""

from __future__ import annotations

import pickle

import pytest

from gluonserve import errors
from gluonserve.errors import GluonserveError, ModelNotFound, ModelNotReady

MADE = [
    *(kind("text") for kind in GluonserveError.__subclasses__() if "__init__" not in vars(kind)),
    ModelNotFound("net"),
    ModelNotFound("net", 2),
    ModelNotReady("net", 2, "LOADING", "not yet"),
    errors.ShapesRefused("text"),
]


@pytest.mark.parametrize("error", MADE, ids=repr)
def test_every_error_pickles(error: GluonserveError) -> None:
    copy = pickle.loads(pickle.dumps(error))

    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)
