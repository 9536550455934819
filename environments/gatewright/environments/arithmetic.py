"""Arithmetic on text from a model: numbers, `+ - * / // **` and parentheses, without handing it to `eval`.

Answers and error texts are those of Python's own evaluation, in bounded time and memory.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import Any

CHARACTERS = "0123456789+-*/(). "
MAX_POWER_BITS = 100_000  # `9**9**9` would otherwise keep the process busy for minutes

_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}


def _power(base: Any, exponent: Any) -> Any:
    if isinstance(base, int) and isinstance(exponent, int) and base.bit_length() * exponent > MAX_POWER_BITS:
        raise OverflowError("int too large to convert to float")
    return base**exponent


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.BinOp):
        left, right = _value(node.left), _value(node.right)
        return _power(left, right) if isinstance(node.op, ast.Pow) else _BINARY[type(node.op)](left, right)
    if isinstance(node, ast.UnaryOp):
        return _UNARY[type(node.op)](_value(node.operand))
    if isinstance(node, ast.Call):  # `2(3)`: its parts are worked out first, and may fail first
        called, *_ = [_value(part) for part in (node.func, *node.args) if not isinstance(part, ast.Starred)]
        raise TypeError(f"{type(called).__name__!r} object is not callable")
    if isinstance(node, ast.Tuple) and not node.elts:
        return ()
    raise SyntaxError("invalid syntax")


def evaluate(expression: Any) -> str:
    """The value of `expression`, whose characters are all of `CHARACTERS`, to two decimals as text.

    Raises:
        Exception: whatever Python's own evaluation raises.
    """
    if not isinstance(expression, str):
        raise TypeError("eval() arg 1 must be a string, bytes or code object")
    tree = ast.parse(expression.lstrip(" "), filename="<string>", mode="eval")
    return str(round(float(_value(tree.body)), 2))


def allowed(expression: Any) -> bool:
    """Whether `expression` has no other characters than `CHARACTERS`.

    Raises:
        TypeError: `expression` is not text.
    """
    return all(character in CHARACTERS for character in expression)
