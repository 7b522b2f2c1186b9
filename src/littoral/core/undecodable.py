"""What reading bytes that somebody else wrote may raise.

Of msgspec: not only DecodeError. Text that is not UTF-8 and nesting without end are told by errors of Python's own, which
no peer, client or device is to end a process with.
"""

import msgspec

UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError)
"""Not in the format, or not what was expected; not UTF-8; nested without end; a number beyond any float."""
