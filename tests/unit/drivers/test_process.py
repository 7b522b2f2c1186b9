import resource
import subprocess
import sys


def test_as_many_files_may_be_open_as_the_system_allows_here_and_in_processes_started_from_here():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    code = (
        "import resource, subprocess, sys; from littoral.drivers.process import raise_open_files;"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, (256, {hard}));"
        "print(raise_open_files(), flush=True);"
        "subprocess.run([sys.executable, '-c',"
        " 'import resource; print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])'], check=True)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == [str(hard), str(hard)]
