"""Functions that the user names as ``module:function``."""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Callable

from edgehybrid.errors import RequestError

_SPEC = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


def names_function(spec: str) -> bool:
    """Tell whether ``spec`` has the form ``module:function``."""
    return _SPEC.fullmatch(spec) is not None


def load_function(spec: str) -> Callable[..., object]:
    """Import ``module:function``; the current folder is searched first.

    Raises:
        RequestError: There is no such module or function, or it cannot be called.
    """
    module, _, attribute = spec.partition(":")
    here = os.getcwd()
    sys.path.insert(0, here)
    try:
        found: object = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise RequestError(f"{spec} cannot be imported ({error}).", f"Is it in {here} or on PYTHONPATH?") from error
    finally:
        sys.path.remove(here)
    if not callable(found):
        raise RequestError(f"{spec} is no function, but a {type(found).__name__}.", "Give module:function.")
    return found
