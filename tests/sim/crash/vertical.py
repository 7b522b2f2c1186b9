"""The main job: devices at a site, a region, the root, from the first rule to the last window."""

from littoral.testing.crash import Crash
from tests.support.vertical import Vertical


async def vertical(crash: Crash) -> None:
    """Nothing acknowledged is lost, and nothing is there twice. How the nodes join is the workload `enrolment`."""
    job = Vertical(crash.tree())
    job.supervisor.watch_all()
    await job.until(job.supervisor.connected)
    crash.count_from_here()
    await job.use()
    await job.settle()
    job.check()
    await job.rest()
