"""What is read of a site's settings."""

from __future__ import annotations

from orion_hpc.slurm.site import Site, ask_site, read_site
from tests.rigs.fake_slurm import FakeSlurm
from tests.rigs.slurm import SlurmCluster

CONFIG = """Configuration data as of 2026-11-27T02:53:45
ClusterName             = orion
KillWait                = 10 sec
MaxArraySize            = 1001
SchedulerParameters     = sched_min_interval=0,max_array_tasks=500,bf_interval=1
"""


def test_the_smaller_bound_of_arrays_counts() -> None:
    """slurm.conf(5): SchedulerParameters=max_array_tasks bounds the tasks below MaxArraySize."""
    assert read_site(CONFIG) == Site("orion", 10, 500)
    assert read_site(CONFIG.replace("max_array_tasks=500,", "")) == Site("orion", 10, 1001)


def test_where_slurm_says_nothing_nothing_is_known(fake_slurm: FakeSlurm) -> None:
    assert ask_site() == Site()
    fake_slurm.fail("scontrol", "slurm_load_ctl_conf error: Access/permission denied")
    assert ask_site() == Site()
    assert read_site("MaxArraySize            = (null)\nKillWait = ") == Site()


def test_the_real_site_is_read(slurm: SlurmCluster) -> None:
    site = ask_site()
    assert site.cluster == "orion"
    assert site.max_array == 1001
    assert site.kill_wait is not None
