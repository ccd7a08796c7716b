"""A model as OpenCV runs it: whole batches where the model takes them, else one row after another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tasks.onnx import graph, parameters

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[np.float32]]

MOST_ROWS = 32
MOST_BATCH_BYTES = 32 * 2**20
"""A batch has up to this, or one row: what a net holds of it meanwhile is many times as large."""
TOLERANCE = 1e-3
"""Rows in a batch may give what they give alone but for this, by the largest value that was given."""


class Net:
    """A model. One process has one; it is not for several threads at once.

    Args:
        data: The model's file.
        declared: What that file says of inputs and outputs.
        name: Of the file, for messages.

    Raises:
        ModelUnusable: OpenCV cannot read it.
    """

    def __init__(self, data: bytes, declared: graph.Graph, name: str) -> None:
        import cv2
        import numpy as np

        cv2.setNumThreads(1)  # with a process for each core, threads only get in each other's way
        # OpenCV's exceptions hold all that it prints. The place of the setting changed after 4.12.
        if hasattr(cv2, "setLogLevel"):
            cv2.setLogLevel(0)
        else:
            cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        self.name = name
        self.declared = declared
        self._error = cv2.error
        try:
            # From memory, so that what was looked into is what is used.
            self._net = cv2.dnn.readNetFromONNX(np.frombuffer(data, np.uint8))
        except cv2.error as error:
            raise parameters.ModelUnusable(f"{name}: OpenCV cannot read it: {error.err}") from None
        self.takes_batches = all(given.shape is None or given.shape[:1] == (None,) for given in self.declared.inputs)

    def require(self, output: str) -> None:
        """See that OpenCV knows an output.

        Raises:
            ModelUnusable: It does not.
        """
        if output not in self._net.getLayerNames():
            raise parameters.ModelUnusable(f"{self.name}: OpenCV does not know its output {output!r}")

    def run(self, given: Mapping[str, Array], output: str) -> Array:
        """What the model gives at ``output``, with a row for each row of the inputs.

        Args:
            given: Input -> float32, of shape (rows, ...); as many rows each.
            output: Its name.

        Raises:
            ModelUnusable: The model cannot be run on these.
        """
        import numpy as np

        rows = len(next(iter(given.values())))
        row_bytes = max(1, sum(array.nbytes for array in given.values()) // max(1, rows))
        size = max(1, min(MOST_ROWS, MOST_BATCH_BYTES // row_bytes)) if self.takes_batches else 1
        made = []
        for at in range(0, rows, size):
            batch = {name: np.ascontiguousarray(array[at : at + size], np.float32) for name, array in given.items()}
            made.append(self._forward(batch, output, min(size, rows - at)))
        return np.concatenate(made) if len(made) != 1 else made[0]

    def see_batches(self, rows: Mapping[str, Array], output: str) -> None:
        """Stop taking batches where these rows together give something else than one by one.

        Raises:
            ModelUnusable: The model cannot be run on one of them.
        """
        import numpy as np

        could, self.takes_batches = self.takes_batches, False
        alone = self.run(rows, output)
        if could:
            self.takes_batches = True
            try:
                together = self.run(rows, output)
            except parameters.ModelUnusable:
                together = alone[:0]
            far = TOLERANCE * max(1.0, float(np.abs(np.nan_to_num(alone)).max(initial=0)))
            alike = together.shape == alone.shape and np.allclose(together, alone, rtol=0, atol=far, equal_nan=True)
            self.takes_batches = bool(alike)

    def _forward(self, batch: Mapping[str, Array], output: str, rows: int) -> Array:
        import numpy as np

        try:
            for name, array in batch.items():
                self._net.setInput(array, name)
            found = np.array(self._net.forward(output), np.float32)  # a copy: the next call writes to the same place
        except self._error as error:
            raise parameters.ModelUnusable(error.err) from None
        if rows == 1 and found.shape[:1] != (1,):
            found = found[None]
        if found.shape[:1] != (rows,):
            raise parameters.ModelUnusable(f"it gives an array of shape {found.shape} for {rows} rows")
        return found
