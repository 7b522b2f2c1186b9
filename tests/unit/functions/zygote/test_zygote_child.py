"""Parts of the zygote that need no zygote."""

import os
import selectors
import signal
import subprocess

from littoral.functions.zygote.zygote import is_registered
from littoral.functions.zygote.zygote_child import wait_for


def test_how_a_child_ended_is_told_and_one_that_is_none_harms_nobody() -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        child.send_signal(signal.SIGKILL)
        assert wait_for(child.pid) == "signal 9"
        child.returncode = -9
    assert wait_for(os.getpid()) == "exit unknown"


def test_an_event_of_a_descriptor_whose_number_was_given_on_is_nobodys() -> None:
    with selectors.DefaultSelector() as selector:
        read, write = os.pipe()
        former = selector.register(read, selectors.EVENT_READ, "former")
        assert is_registered(selector, former)
        selector.unregister(read)
        assert not is_registered(selector, former)
        selector.register(read, selectors.EVENT_READ, "another")
        assert not is_registered(selector, former)
        os.close(read)
        os.close(write)
