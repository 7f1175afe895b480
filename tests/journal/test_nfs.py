"""The database on real kernel NFS: a server and two clients, each with a kernel of its own.

What befalls them, and how it is judged, is in `tests.rigs.nfs`. By default each scenario is played
on the versions that tell most; with ORION_HPC_NFS_SECONDS=600 each storm lasts ten minutes, and is
played on all versions.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.rigs.nfs import scenarios
from tests.rigs.nfs.guest import GuestError
from tests.rigs.nfs.rig import VERSIONS, NfsRig
from tests.rigs.nfs.scenarios import SECONDS, Problems, Versions

pytestmark = [pytest.mark.nfs, pytest.mark.timeout(900 + 20 * SECONDS)]

PLAYED = list(VERSIONS) if SECONDS else ["3", "3-nolock", "4.2"]

Scenario = Callable[[NfsRig, Versions], Problems]
each_version = pytest.mark.parametrize("version", PLAYED)


class Played:
    """The scenarios that have been played: on all versions at once, and only once."""

    def __init__(self, rig: NfsRig) -> None:
        self._rig = rig
        self._found: dict[tuple[Scenario, str], list[str]] = {}

    def problems(self, scenario: Scenario, version: str) -> list[str]:
        """What was wrong on one version, after the scenario has been played if it wasn't yet."""
        if (scenario, version) not in self._found:
            for one, problems in self._play(scenario).items():
                self._found[scenario, one] = problems
        return self._found[scenario, version]

    def _play(self, scenario: Scenario) -> Problems:
        try:
            return scenario(self._rig, PLAYED)
        except (TimeoutError, GuestError) as error:
            return {version: [str(error)] for version in PLAYED}
        finally:
            for client in self._rig.clients:
                client.end_jobs()


@pytest.fixture(scope="module")
def played(nfs_rig: NfsRig) -> Played:
    """What plays scenarios."""
    return Played(nfs_rig)


@each_version
def test_an_open_reader_on_this_host_costs_no_other_hosts_result(played, version):
    """Readers keep the file open, one of ours in its look and one that is any program; the other
    host appends, then a writer here that had read it before: nothing is lost.

    On NFS 4 the open for writing takes over the new size, but not the new bytes of a page that the
    reader has cached; what is appended then goes to the server with the whole page.
    """
    assert played.problems(scenarios.open_readers, version) == []


@each_version
def test_plain_running(played, version):
    """Two hosts with four processes each complete all trials, each once; nothing is lost."""
    assert played.problems(scenarios.plain_running, version) == []


@each_version
def test_killed_workers(played, version):
    """SIGKILL at any moment costs no acknowledged result, and no trial for good."""
    assert played.problems(scenarios.killed, version) == []


@each_version
def test_a_clock_a_day_off(played, version):
    """Nobody who lives loses a trial because of it, and who is killed is found to be gone."""
    assert played.problems(scenarios.clock_off, version) == []


@each_version
def test_a_server_that_loses_its_power(played, version):
    """Workers wait for it, and go on with locks that are theirs again or that they get anew."""
    assert played.problems(scenarios.server_rebooted, version) == []


@each_version
def test_a_server_that_forgets_its_locks(played, version):
    """nfsd is restarted under the workers."""
    assert played.problems(scenarios.nfsd_restarted, version) == []


@each_version
def test_a_full_disk(played, version):
    """Workers and readers of both hosts go on when there is room again, without a restart."""
    assert played.problems(scenarios.disk_full, version) == []


@each_version
def test_an_export_that_is_read_only_for_a_while(played, version):
    """Workers say so, and go on when it isn't any more."""
    assert played.problems(scenarios.export_readonly, version) == []


@each_version
def test_a_client_cut_off_in_a_write(played, version):
    """Its write reaches the server when others have had its lock, and harms nothing of theirs."""
    assert played.problems(scenarios.cut_at_a_write, version) == []


@each_version
def test_a_client_cut_off_with_the_lock(played, version):
    """Before its write, before its sync, and after it: what it is told in the end is so."""
    assert played.problems(scenarios.cut_with_the_lock, version) == []


@each_version
def test_a_client_frozen_with_the_lock(played, version):
    """As a suspended machine is, at the same three points: what it is told in the end is so."""
    assert played.problems(scenarios.frozen_with_the_lock, version) == []
