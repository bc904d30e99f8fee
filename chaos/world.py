"""The stack that is struck: broker, database, sequencers, projector and APIs, each reached through proxies of its own.

Broker and database run under the embedded supervisor, which starts them again; the services are our children. Every
service and the clients have a listener of the broker and a port of the database that are theirs alone, so that each can
be cut off by itself. Everything listens on loopback, and is gone at the end however that comes.
"""

import asyncio
import os
import random
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import psutil
from psycopg.conninfo import make_conninfo

from chaos.disks import Disk
from chaos.members import Member, keep
from chaos.proxy import Proxy
from continuity import embedded, topics
from continuity.config import Settings
from continuity.embedded import Door, ports
from continuity.keys import ensure_local_key, issue_key

PARTITIONS = 4
SEQUENCERS = 3
APIS = 2
TENANTS = ("local", "harbour")
READY_SECONDS_MAX = 120.0
POLL_SECONDS = 0.1
CACHE_WORKFLOWS = 3
"""For each partition, and fewer than it has: so the sequencers read from the database all the time."""
DISK_MEBIBYTES = {"kafka": 6_144, "postgres": 6_144, "blobs": 512}

MODULES = {"sequencer": "continuity.processors", "projector": "continuity.projections", "api": "continuity.api"}


class World:
    """Everything that runs, by name. `settings` go straight to broker and database, for checks and clean ends."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.folder = folder
        self.settings = settings
        self.members: dict[str, Member] = {}
        self.proxies: dict[str, Proxy] = {}
        self.disks: dict[str, Disk] = {}
        self.keys: dict[str, str] = {}

    def of_role(self, role: str) -> list[Member]:
        """The members that do the same."""
        return [each for name, each in self.members.items() if name.startswith(role)]

    def part(self, name: str) -> psutil.Process | None:
        """The broker's or the database's process, where it runs."""
        found = {each["name"]: each["pid"] for each in embedded.status(self.settings)["parts"]}
        pid = found.get(name)
        try:
            return psutil.Process(pid) if pid is not None else None
        except psutil.NoSuchProcess:
            return None

    def part_is_ready(self, name: str) -> bool:
        """Whether the supervisor says so."""
        return any(
            each["name"] == name and each["state"] == "ready" for each in embedded.status(self.settings)["parts"]
        )

    def native(self) -> Settings:
        """What the native client is given: its own way to the broker."""
        return self.settings.with_values(kafka_bootstrap=f"127.0.0.1:{self.proxies['clients~broker'].port}")

    def url(self, api: str) -> str:
        """The way of clients to an API."""
        return f"http://127.0.0.1:{self.proxies[f'clients~{api}'].port}"

    def heal(self) -> None:
        """End every fault that lasts."""
        for proxy in self.proxies.values():
            proxy.heal()
        for disk in self.disks.values():
            disk.heal()
        for member in self.members.values():
            member.send(signal.SIGCONT)
            member.is_held_down = False
        self.let_parts_go_on()

    def let_parts_go_on(self) -> None:
        """Continue broker and database, in case they were stopped."""
        for name in ("broker", "postgres"):
            for each in self.family(name):
                with suppress(psutil.NoSuchProcess):
                    each.send_signal(signal.SIGCONT)

    def family(self, name: str) -> list[psutil.Process]:
        """The broker's or the database's process, and all that it has started."""
        root = self.part(name)
        try:
            return [root, *root.children(recursive=True)] if root else []
        except psutil.NoSuchProcess:
            return []

    async def calm(self, seconds: float = READY_SECONDS_MAX) -> str | None:
        """Wait until all parts run and every partition has one owner; what is missing, when it takes too long."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while (missing := await self._missing()) is not None and loop.time() < deadline:  # noqa: ASYNC110 - processes
            await asyncio.sleep(POLL_SECONDS)
        return missing

    async def _missing(self) -> str | None:
        for name in ("broker", "postgres"):
            if not await asyncio.to_thread(self.part_is_ready, name):
                return f"{name} is not ready"
        for name, member in self.members.items():
            told = await member.health()
            if told is None or not (told.get("ready") or told.get("status") == "ok"):
                return f"{name} is not ready: {told}"
        owners = await self._owners()
        if owners != list(range(PARTITIONS)):
            return f"the partitions are owned like this: {owners}"
        return None

    async def owned(self, seconds: float) -> bool:
        """Wait until every partition has one owner, whoever else runs; whether it came to that."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while await self._owners() != list(range(PARTITIONS)):
            if loop.time() > deadline:
                return False
            await asyncio.sleep(POLL_SECONDS)
        return True

    async def _owners(self) -> list[int]:
        return sorted([number for member in self.of_role("sequencer") for number in await member.partitions()])


@asynccontextmanager
async def running(drawn: random.Random, folder: Path, *, with_disks: bool) -> AsyncIterator[World]:
    """The whole stack in `folder`, ready."""
    home = folder / "home"
    home.mkdir(mode=0o711)
    settings = Settings(
        data_dir=home, partitions=PARTITIONS, cache_workflows_max=CACHE_WORKFLOWS, api_port=0,
        explicit=frozenset({"api_port"}),
    )  # fmt: skip
    world = World(folder, settings)
    keeper: asyncio.Task[None] | None = None
    try:
        if with_disks:
            world.disks = {name: Disk(name, home / name, size) for name, size in DISK_MEBIBYTES.items()}
        roles = {"sequencer": SEQUENCERS, "projector": 1, "api": APIS}
        names = [f"{role}-{number}" for role, count in roles.items() for number in range(count)]
        doors = await _broker_proxies(world, [*names, "clients"])
        world.settings = await asyncio.to_thread(embedded.up, settings, services=(), owner_pid=os.getpid(), doors=doors)
        await asyncio.to_thread(topics.check, world.settings)
        await _members(world, names)
        world.keys = {TENANTS[0]: ensure_local_key(home)}
        for tenant in TENANTS[1:]:
            world.keys[tenant] = issue_key(home, tenant=tenant, operator_id="chaos", operator_kind="automation")
        keeper = asyncio.create_task(keep(list(world.members.values()), drawn))
        if (missing := await world.calm()) is not None:
            raise RuntimeError(f"The stack did not become ready: {missing}")
        yield world
    finally:
        if keeper is not None:
            keeper.cancel()
        _end(world)
        for proxy in world.proxies.values():
            await proxy.close()


def _end(world: World) -> None:
    for member in world.members.values():
        member.end()
    world.let_parts_go_on()
    embedded.down(world.settings)
    for disk in world.disks.values():
        disk.close()


@contextmanager
def folder_of_run(*, keep_it: bool) -> Iterator[Path]:
    """A temporary folder that the database's user can pass through."""
    folder = Path(tempfile.mkdtemp(prefix="continuity-chaos-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        if not keep_it:
            shutil.rmtree(folder, ignore_errors=True)


async def _broker_proxies(world: World, names: list[str]) -> list[Door]:
    taken: set[int] = set()
    doors = []
    for number, name in enumerate(names):
        port = _free(taken)
        proxy = Proxy(f"{name}~broker", port)
        await proxy.start()
        world.proxies[proxy.name] = proxy
        doors.append(Door(f"DOOR{number}", port, proxy.port))
    return doors


async def _members(world: World, names: list[str]) -> None:
    taken: set[int] = set()
    logs = world.settings.data_dir / "logs"
    for name in names:
        role = name.partition("-")[0]
        database = Proxy(f"{name}~database", world.settings.postgres_port)
        await database.start()
        world.proxies[database.name] = database
        port = _free(taken)
        settings = world.settings.with_values(
            kafka_bootstrap=f"127.0.0.1:{world.proxies[f'{name}~broker'].port}",
            postgres_dsn=make_conninfo(world.settings.postgres_dsn, port=database.port),
            **{f"{role}_port": port},
        )
        if role == "api":
            clients = Proxy(f"clients~{name}", port)
            await clients.start()
            world.proxies[clients.name] = clients
        world.members[name] = Member(name, MODULES[role], settings, port, logs / f"{name}.log")


def _free(taken: set[int]) -> int:
    return ports.choose("kafka_port", "127.0.0.1", configured=None, remembered=None, usual=0, taken=taken)
