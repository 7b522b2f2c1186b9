"""python -m tests.fuzz TARGET [libFuzzer's options], as `make fuzz`: atheris looks for bytes that a parser does not bear."""

import importlib
import sys


def main() -> int:
    """Ends with the fuzzer's own exit status."""
    try:
        import atheris  # noqa: PLC0415 -- there are no wheels of it for every machine
    except ImportError:
        sys.stderr.write("atheris is not installed: pip install atheris (Linux, x86-64)\n")
        return 1
    # What is imported here is what is watched: all of Python would take minutes to prepare.
    with atheris.instrument_imports(include=["littoral"]):
        targets = importlib.import_module("tests.fuzz.targets").TARGETS
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in targets:
        sys.stderr.write(f"usage: python -m tests.fuzz TARGET; there are {', '.join(targets)}\n")
        return 2
    atheris.Setup([sys.argv[0], *sys.argv[2:]], targets[name])
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
