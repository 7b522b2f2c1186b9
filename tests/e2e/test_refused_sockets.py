"""A hub that cannot make its sockets says so in words, and is well as soon as it can: found on a disk gone read-only."""

from tests.support.real_node import RealNode


def test_a_hub_that_cannot_make_its_sockets_says_why_and_starts_once_it_can():
    with RealNode("site", listen={"gateway": "127.0.0.1:0"}) as node:
        # A directory in the place of the socket is refused for everybody, as root too.
        run = node.data_dir / "run"
        obstacle = run / "srv" / "bindings"
        obstacle.mkdir(parents=True)
        node.launch()
        node.until(lambda: f"error: cannot make sockets in {run}: Is a directory" in node.log())
        assert "Traceback" not in node.log()
        obstacle.rmdir()
        node.until(node.is_up)
