"""Words of Python and of libraries, which no message to people has."""

from __future__ import annotations

import re

LIBRARY_WORDS = re.compile(
    r"Traceback|\w(Error|Exception|Warning)\b|\bexception\b|NoneType|object is|object of type|expected tuple"
    r"|expected str|unpack|positional argument|keyword|codec|struct\.|\berrno|0x[0-9a-f]{6}|subscriptable"
    r"|invalid literal"
    r"|out of (range|bounds) for|not iterable|reshape|broadcast|operand|buffer size|requires a buffer|dtype\(|array\("
    r"|[Cc][Dd][Rr]\b|rmw_|rcl_|fastrtps|/src/|\.cpp|\.py\b|site-packages|lookupTransform|argument|onnxruntime|ORT"
    r"|deseriali[sz]|<class|builtin|numpy|memoryview|ufunc|division by zero|nan encountered|overflow encountered"
)


def library_words(text: str) -> str:
    """Return the first words of a library in a text; empty if there are none."""
    found = LIBRARY_WORDS.search(text)
    return found.group() if found else ""
