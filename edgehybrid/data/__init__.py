"""Samples: a ``.npz`` file or a function that yields dicts, streamed so that memory does not grow with their number."""

from edgehybrid.data.npz import npz_bytes, read_npz
from edgehybrid.data.opening import DEFAULT_LABELS, open_data, require_labels
from edgehybrid.data.samples import Batch, Samples, split

__all__ = ["DEFAULT_LABELS", "Batch", "Samples", "npz_bytes", "open_data", "read_npz", "require_labels", "split"]
