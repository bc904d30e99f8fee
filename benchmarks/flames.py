"""`./dev bench --flames FOLDER`: where each service's processor time goes under load, as flame graphs in SVG.

`py-spy` samples the processes from outside (on Linux as root, or where ptrace of one's own processes is allowed).
"""

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import uvloop
from rich.console import Console

from benchmarks import stack
from benchmarks.web import Web
from benchmarks.workload import Project, accepted, checkpoint, closed_loop, fill, planned, wait_until_answered
from continuity.config import Settings
from continuity.keys import local_key
from continuity.producers import AsyncCommandClient

CALLERS = 64
PROJECTS = 64
SECONDS = 15
SAMPLES_A_SECOND = 199
"""A prime, so that it does not march in step with timers."""
WARM_UP_SECONDS = 10
COMMAND = re.compile(r">[^<>]*py-spy record[^<>]*")


def record(folder: Path, console: Console) -> None:
    """A picture of the sequencer and the projector under the native client, and of the API under HTTP."""
    folder.mkdir(parents=True, exist_ok=True)
    names = ("sequencer", "projector", "api")
    with (
        stack.running(Settings.partitions) as settings,
        stack.corner(settings) as own,
        stack.services(own, *names) as started,
    ):
        plans = [planned(f"flames-{number}") for number in range(PROJECTS)]
        total = fill(own, (each for _, requests in plans for each in requests))
        wait_until_answered(own, total)
        pids = {each.name: each.pid for each in started}
        uvloop.run(_under_load(own, [project for project, _ in plans], pids, folder, console))


async def _under_load(
    own: Settings, projects: list[Project], pids: dict[str, int], folder: Path, console: Console
) -> None:
    async with AsyncCommandClient(own) as client:

        async def native(_: int, number: int) -> None:
            await accepted(client, checkpoint(projects[number % PROJECTS], number // PROJECTS))

        await closed_loop(CALLERS, WARM_UP_SECONDS, native)
        watched = [_watched(name, pids[name], folder) for name in ("sequencer", "projector")]
        seen, *_ = await asyncio.gather(closed_loop(CALLERS, SECONDS + 1, native), *watched)
        console.print(f"  native, c={CALLERS}, watched: {seen}")
    key = local_key(own.data_dir)
    assert key is not None
    web = Web(own.api_url, key)
    await web.connect(CALLERS)

    async def http(caller: int, number: int) -> None:
        await web.write(caller, projects[number % PROJECTS], number // PROJECTS)

    try:
        await closed_loop(CALLERS, WARM_UP_SECONDS / 2, http)
        seen, _ = await asyncio.gather(closed_loop(CALLERS, SECONDS + 1, http), _watched("api", pids["api"], folder))
    finally:
        web.close()
    console.print(f"  HTTP, c={CALLERS}, watched: {seen}")


async def _watched(name: str, pid: int, folder: Path) -> None:
    """Sample what holds the interpreter: without `--gil` a thread that waits in a library counts as one at work."""
    program = Path(sys.executable).with_name("py-spy")
    how = ["record", "--gil", "--pid", str(pid), "--duration", str(SECONDS), "--rate", str(SAMPLES_A_SECOND)]
    shown = ["--format", "flamegraph", "--output", str(folder / f"{name}.svg"), "--threads"]
    child = await asyncio.create_subprocess_exec(
        str(program), *how, *shown, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    _, words = await child.communicate()
    if child.returncode != 0:
        raise RuntimeError(f"py-spy could not watch the {name}: {words.decode()[-300:].strip()}")
    drawing = folder / f"{name}.svg"
    # Its title is the command that drew it, with this machine's folders.
    titled = COMMAND.sub(f">The {name}, {CALLERS} callers", drawing.read_text(encoding="utf-8"), count=1)
    drawing.write_text(titled, encoding="utf-8")
