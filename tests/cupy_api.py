"""What CuPy takes, from the source of CuPy 15.0.0a1 (github.com/cupy/cupy, commit 6b6d956) and its page "Differences between CuPy
and NumPy": the functions that NumPy hands on through `__array_function__`, the methods of an array, ufuncs and their keywords.

`tests/device_double.py` refuses everything else. Add a line, with the signature in CuPy's source, before the first use of another,
and its name to WAITS if CuPy fetches a value from the device to compute it, as nonzero and unique do.
"""

import inspect

# cupy/_creation/basic.py, _manipulation/join.py and dims.py, _math/misc.py and sumprod.py, _statistics, _sorting/search.py
FUNCTIONS = {
    "broadcast_to": "(array, shape)",
    "clip": "(a, a_min, a_max, out=None)",
    "concatenate": "(tup, axis=0, out=None, *, dtype=None, casting='same_kind')",
    "empty_like": "(prototype, dtype=None, order='K', subok=None, shape=None)",
    "full_like": "(a, fill_value, dtype=None, order='K', subok=None, shape=None)",
    "max": "(a, axis=None, out=None, keepdims=False)",
    "mean": "(a, axis=None, dtype=None, out=None, keepdims=False)",
    "min": "(a, axis=None, out=None, keepdims=False)",
    "moveaxis": "(a, source, destination)",
    "ones_like": "(a, dtype=None, order='K', subok=None, shape=None)",
    "pad": "(array, pad_width, mode='constant', **kwargs)",                                    # cupy/_padding/pad.py
    "sliding_window_view": "(x, window_shape, axis=None, *, subok=False, writeable=False)",      # cupy/lib/stride_tricks.py
    "stack": "(tup, axis=0, out=None, *, dtype=None, casting='same_kind')",
    "sum": "(a, axis=None, dtype=None, out=None, keepdims=False)",
    "swapaxes": "(a, axis1, axis2)",
    "transpose": "(a, axes=None)",
    "where": "(condition, x, y)",           # without x and y it is nonzero
    "zeros_like": "(a, dtype=None, order='K', subok=None, shape=None)",
}

WAITS = {"sliding_window_view"}         # it looks at the window's shape on the device

# cupy/_core/core.pyx
METHODS = {
    "argmax": "(axis=None, out=None, dtype=None, keepdims=False)",
    "argmin": "(axis=None, out=None, dtype=None, keepdims=False)",
    "astype": "(dtype, order='K', casting=None, subok=None, copy=True)",
    "clip": "(min=None, max=None, out=None)",
    "copy": "(order='C')",
    "cumsum": "(axis=None, dtype=None, out=None)",
    "fill": "(value)",
    "max": "(axis=None, out=None, keepdims=False)",
    "mean": "(axis=None, dtype=None, out=None, keepdims=False)",
    "min": "(axis=None, out=None, keepdims=False)",
    "ravel": "(order='C')",
    "reshape": "(*shape, order='C', copy=None)",
    "squeeze": "(axis=None)",
    "std": "(axis=None, dtype=None, out=None, ddof=0, keepdims=False)",
    "sum": "(axis=None, dtype=None, out=None, keepdims=False)",
    "swapaxes": "(axis1, axis2)",
    "transpose": "(*axes)",
    "var": "(axis=None, dtype=None, out=None, ddof=0, keepdims=False)",
}
ATTRIBUTES = "shape", "dtype", "ndim", "size", "nbytes", "itemsize", "T"

# docs/source/reference/ufunc.rst; `ufunc.__call__` in cupy/_core/_kernel.pyx has no where=, and `reduce` is that of two of them
UFUNCS = {
    "add", "subtract", "multiply", "divide", "true_divide", "floor_divide", "negative", "positive", "power", "remainder",
    "absolute", "sign", "exp", "exp2", "log", "log2", "log10", "expm1", "log1p", "sqrt", "square", "reciprocal", "sin", "cos",
    "tanh", "sinh", "cosh", "bitwise_and", "bitwise_or", "bitwise_xor", "invert", "greater", "greater_equal", "less",
    "less_equal", "not_equal", "equal", "logical_and", "logical_or", "logical_xor", "logical_not", "maximum", "minimum",
    "fmax", "fmin", "isfinite", "isinf", "isnan", "floor", "ceil", "matmul"}
UFUNC_KEYWORDS = {"out", "dtype", "casting"}
REDUCTIONS = {"add", "multiply"}

# What kernels/cupy_kernels.py calls itself: `cupy.NAME`
CALLED = {
    "asarray": "(a, dtype=None, order=None, *, copy=None, blocking=False)",
    "asnumpy": "(a, stream=None, order='C', out=None, *, blocking=True)",
    "empty": "(shape, dtype=float, order='C')",
    "matmul": "(a, b, *, axes=None, axis=None, keepdims=False, casting='same_kind', dtype=None, signature=None, order='K', "
              "out=None)",
    "sum": FUNCTIONS["sum"],
    "zeros": "(shape, dtype=float, order='C')",
}


def signature(text):
    """The signature that is written as text."""
    space = {}
    exec(f"def function{text}: pass", space)
    return inspect.signature(space["function"])


SIGNATURES = {(kind, name): signature(text) for kind, table in (("function", FUNCTIONS), ("method", METHODS), ("cupy", CALLED))
              for name, text in table.items()}


def check(kind, name, args, kwargs):
    """Raise TypeError for a call that CuPy would refuse; kind is "function", "method", "cupy", "ufunc" or a ufunc's method."""
    if kind == "ufunc":
        if name not in UFUNCS or not set(kwargs) <= UFUNC_KEYWORDS:
            raise TypeError(f"CuPy has no ufunc {name} with {sorted(kwargs)}")
    elif kind == "reduce":
        if name not in REDUCTIONS or not set(kwargs) <= {"axis", "dtype", "out", "keepdims"}:
            raise TypeError(f"CuPy has no {name}.reduce with {sorted(kwargs)}")
    elif (kind, name) not in SIGNATURES:
        raise TypeError(f"CuPy's {kind} {name} is not listed in tests/cupy_api.py")
    else:
        try:
            SIGNATURES[kind, name].bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"CuPy's {name} {SIGNATURES[kind, name]}: {error}") from None
