"""The module `pyodide`, as far as published Python Workers use it."""
