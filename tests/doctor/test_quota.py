"""What the commands say that tell quotas."""

from __future__ import annotations

import pytest

from orion_hpc.doctor.quota import Quota, quota_command, read_quota

QUOTA = """\
Disk quotas for user alice (uid 1000):
     Filesystem  blocks   quota   limit   grace   files   quota   limit   grace
     nas:/home  {blocks}
"""


@pytest.mark.parametrize(
    ("said", "left"),
    [
        (QUOTA.format(blocks="100 300 400 0 5 0 0 0"), Quota(200 * 1024, None)),
        (QUOTA.format(blocks="350* 300 400 1700000000 5 0 10 0"), Quota(0, 5)),
        (QUOTA.format(blocks="350 0 0 0 5 0 0 0"), Quota(None, None)),
        ("     /lustre 1000 0 3000 - 7 0 100 -\n", Quota(2000 * 1024, 93)),
        ("     /lustre 1000* 500 3000 6d23h 7 0 100 -\n", Quota(0, 93)),
        (QUOTA.format(blocks="1 0 18014398509481983 0 5 0 18446744073709551615 0"),
         Quota(None, None)),
        ("Disk quotas for user root (uid 0): none\n", Quota(None, None)),
        ("", None),
        ("quota: Mountpoint not found or has no quota enabled.\n", None),
    ],
)  # fmt: skip
def test_the_nearer_limit_counts(said, left):
    assert read_quota(said) == left


def test_lustre_has_a_command_of_its_own():
    assert quota_command("lustre", "/l", 7)[0] == "lfs"
    assert quota_command("nfs4", "/n", 7)[0] == "quota"
