"""Arithmetic on components: tensors of any shape beside plain floats, with the floats folded away.

A robot's constants are mostly zeros and ones. Formulas written out in components drop them where the formula
is built, so what is left to compute is a third of what matrices would do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

Number: TypeAlias = Any
"""A float, a tensor of any shape, or what stands for one while formulas are recorded (`sim.recorded`)."""
Vector: TypeAlias = Sequence[Number]
"""Three numbers."""
Matrix: TypeAlias = Sequence[Sequence[Number]]


def times(a: Number, b: Number) -> Number:
    """a b."""
    if isinstance(a, float):
        a, b = b, a
    if isinstance(b, float) and not isinstance(a, float):
        if b == 0.0:
            return 0.0
        if b == 1.0:
            return a
        if b == -1.0:
            return -a
    return a * b


def plus(*terms: Number) -> Number:
    """The sum of the terms."""
    constant, total = 0.0, None
    for term in terms:
        if isinstance(term, float):
            constant += term
        else:
            total = term if total is None else total + term
    if total is None:
        return constant
    return total if constant == 0.0 else total + constant


def minus(a: Number, b: Number) -> Number:
    """a − b."""
    if isinstance(b, float):
        return plus(a, -b)
    return -b if isinstance(a, float) and a == 0.0 else a - b


def add(*vectors: Vector) -> list[Number]:
    """The sum of vectors."""
    return [plus(*terms) for terms in zip(*vectors, strict=True)]


def scale(a: Number, v: Vector) -> list[Number]:
    """a v."""
    return [times(a, x) for x in v]


def dot(a: Vector, b: Vector) -> Number:
    """a · b."""
    return plus(*(times(x, y) for x, y in zip(a, b, strict=True)))


def cross(a: Vector, b: Vector) -> list[Number]:
    """a × b."""
    return [minus(times(a[i], b[j]), times(a[j], b[i])) for i, j in ((1, 2), (2, 0), (0, 1))]


def apply(matrix: Matrix, v: Vector) -> list[Number]:
    """A matrix times a vector."""
    return [dot(row, v) for row in matrix]


def transposed(matrix: Matrix) -> list[list[Number]]:
    return [list(column) for column in zip(*matrix, strict=True)]


def stacked(components: Sequence[Number], like: Tensor) -> Tensor:
    """Components side by side, [..., k], in shape, dtype and device like a tensor [..., n]."""
    one = like[..., 0]
    parts = [torch.as_tensor(c, dtype=one.dtype, device=one.device).expand_as(one) for c in components]
    return torch.stack(parts, -1)
