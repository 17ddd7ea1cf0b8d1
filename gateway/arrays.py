"""Types of arrays, by what an element is; shapes stand where an array is described."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["AnyArray", "Float32", "Float64", "Int8", "Int32", "Int64", "Ints", "Mask", "UInt8",
           "UInt64"]  # fmt: skip

AnyArray = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Int8 = npt.NDArray[np.int8]
Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
Ints = npt.NDArray[np.signedinteger]
UInt8 = npt.NDArray[np.uint8]
UInt64 = npt.NDArray[np.uint64]
