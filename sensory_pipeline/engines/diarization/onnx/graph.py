"""Writes networks as ONNX models (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto), operator by operator.

The format is a protocol buffer, of which a network needs the few fields below. The `onnx` package would save half of
this module, but adds 9 MB of compiled code to every machine that diarizes, and a third requirement for protobuf's
version, besides Dagster's and onnxruntime's. onnxruntime checks the model when it loads it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from sensory_pipeline.core.arrays import Array

Attribute = int | float | str | Sequence[int]
Shape = Sequence[int | str]
"""Shape of a tensor; a dimension that varies has a name."""

_IR_VERSION = 8
OPSET = 17
"""The version of the operators: https://github.com/onnx/onnx/blob/main/docs/Operators.md."""

_FLOAT, _INT64 = 1, 7  # TensorProto.DataType


class Graph:
    """A network being written. Every value in it, given or computed, has a name."""

    def __init__(self) -> None:
        self._nodes: list[bytes] = []
        self._constants: list[bytes] = []

    def add(self, operator: str, *inputs: str | Array, **attributes: Attribute) -> str:
        """Add an operator.

        Args:
            operator: Its name in ONNX.
            *inputs: Each is the name of a value, or a constant.
            **attributes: Of the operator.

        Returns:
            The name of its output.
        """
        names = [value if isinstance(value, str) else self._constant(value) for value in inputs]
        output = f"value{len(self._nodes)}"
        self._node(operator, names, output, attributes)
        return output

    def model(self, *, inputs: Mapping[str, Shape], outputs: Mapping[str, tuple[str, Shape]]) -> bytes:
        """The finished ONNX model. All inputs and outputs are float32.

        Args:
            inputs: Shapes by name.
            outputs: For each name outside, the name inside and the shape.
        """
        for outside, (inside, _) in outputs.items():
            self._node("Identity", [inside], outside, {})
        graph = [
            *(_field(1, node) for node in self._nodes),
            _field(2, b"network"),
            *(_field(5, constant) for constant in self._constants),
            *(_field(11, _value_info(name, shape)) for name, shape in inputs.items()),
            *(_field(12, _value_info(name, shape)) for name, (_, shape) in outputs.items()),
        ]
        opset = _field(1, b"") + _field(2, OPSET)
        return b"".join([_field(1, _IR_VERSION), _field(8, opset), _field(7, b"".join(graph))])

    def _constant(self, values: Array) -> str:
        name = f"constant{len(self._constants)}"
        kind, stored = (_INT64, "<i8") if values.dtype.kind == "i" else (_FLOAT, "<f4")
        dims = b"".join(_field(1, size) for size in values.shape)
        content = np.ascontiguousarray(values, stored).tobytes()
        self._constants.append(dims + _field(2, kind) + _field(8, name.encode()) + _field(9, content))
        return name

    def _node(self, operator: str, inputs: Iterable[str], output: str, attributes: Mapping[str, Attribute]) -> None:
        node = [_field(1, name.encode()) for name in inputs]
        node += [_field(2, output.encode()), _field(4, operator.encode())]
        node += [_field(5, _attribute(name, value)) for name, value in attributes.items()]
        self._nodes.append(b"".join(node))


def _attribute(name: str, value: Attribute) -> bytes:
    match value:
        case int():
            content, kind = _field(3, value), 2
        case float():
            content, kind = _key(2, 5) + struct.pack("<f", value), 1
        case str():
            content, kind = _field(4, value.encode()), 3
        case _:
            content, kind = b"".join(_field(8, item) for item in value), 7
    return _field(1, name.encode()) + content + _field(20, kind)


def _value_info(name: str, shape: Shape) -> bytes:
    dims = (_field(2, size.encode()) if isinstance(size, str) else _field(1, size) for size in shape)
    tensor = _field(1, _FLOAT) + _field(2, b"".join(_field(1, dim) for dim in dims))
    return _field(1, name.encode()) + _field(2, _field(1, tensor))


def _field(number: int, value: int | bytes) -> bytes:
    """A field of a protocol buffer: a number, or bytes with their length.

    See https://protobuf.dev/programming-guides/encoding/.
    """
    if isinstance(value, int):
        return _key(number, 0) + _varint(value)
    return b"".join([_key(number, 2), _varint(len(value)), value])


def _key(number: int, wire_type: int) -> bytes:
    return _varint(number << 3 | wire_type)


def _varint(value: int) -> bytes:
    """Seven bits in a byte, the lowest first; a negative number as the two's complement of 64 bits."""
    value &= (1 << 64) - 1
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
