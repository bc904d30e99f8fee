"""The kinds of faults, each a function that strikes, sees its effect and heals it."""

import asyncio
import re
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Literal

import psutil

from chaos.members import Member
from chaos.proxy import Proxy
from chaos.strike import Field, Kind, Struck
from chaos.world import APIS, SEQUENCERS

SESSION_SECONDS = 6.0
"""After so long without a heartbeat the broker gives a sequencer's partitions to others (`kafka.group_consumer`)."""
HOUR_SECONDS = 3_600.0
OWNED_SECONDS_MAX = 60.0
LOG_TIME = re.compile(r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.\d{3}Z ", re.MULTILINE)

SEQUENCER_NAMES = tuple(f"sequencer-{number}" for number in range(SEQUENCERS))
API_NAMES = tuple(f"api-{number}" for number in range(APIS))
MEMBER_NAMES = (*SEQUENCER_NAMES, "projector-0", *API_NAMES)
BROKER_LINKS = (*(f"{name}~broker" for name in MEMBER_NAMES), "clients~broker")
DATABASE_LINKS = tuple(f"{name}~database" for name in MEMBER_NAMES)
CLIENT_LINKS = tuple(f"clients~{name}" for name in API_NAMES)

Strike = Callable[[Field, str], Awaitable[Struck]]


# Processes of ours


async def kill(field: Field, target: str) -> Struck:
    """SIGKILL; the keeper starts it again within half a second."""
    return await _end(field, target, signal.SIGKILL, -signal.SIGKILL)


async def leave(field: Field, target: str) -> Struck:
    """SIGTERM: it finishes what it has begun and leaves in order."""
    return await _end(field, target, signal.SIGTERM, 0)


async def kill_alone(field: Field, target: str) -> Struck:
    """SIGKILL while nothing else is wrong; nobody starts it again until the others have taken over."""
    return await _replaced(field, target, kill, is_held_down=True)


async def restart_alone(field: Field, target: str) -> Struck:
    """SIGKILL while nothing else is wrong; it is back before it is missed, as a member that nobody knows."""
    return await _replaced(field, target, kill, is_held_down=False)


async def leave_alone(field: Field, target: str) -> Struck:
    """SIGTERM while nothing else is wrong; nobody starts it again until the others have taken over."""
    return await _replaced(field, target, leave, is_held_down=True)


async def _replaced(field: Field, target: str, strike: Strike, *, is_held_down: bool) -> Struck:
    """Strike a sequencer, and wait until its partitions have owners again and are answered for.

    Recovery is the longest time without an acknowledgement in any of them. Not the first one after the signal: whoever
    leaves in order still answers for a moment.
    """
    member = field.world.members[target]
    member.is_held_down = is_held_down
    try:
        struck = await strike(field, target)
        if not struck.is_seen or not await field.world.owned(OWNED_SECONDS_MAX):
            return struck
        now = field.now()
        await asyncio.wait([line.recovery(now) for line in struck.lines], timeout=OWNED_SECONDS_MAX)
        silence = max(line.longest_silence_seconds(struck.since) for line in struck.lines)
        return struck._replace(recovery_seconds=silence)
    finally:
        member.is_held_down = False


async def stop(field: Field, target: str, seconds: tuple[float, float]) -> Struck:
    """SIGSTOP, and SIGCONT after a while; from SIGSTOP on, as others may take over."""
    member = field.world.members[target]
    lines = await _lines_of(field, member)
    since = field.now()
    held = field.random.uniform(*seconds)
    member.send(signal.SIGSTOP)
    try:
        seen = await field.until(member.is_stopped, 2)
        await asyncio.sleep(held)
    finally:
        member.send(signal.SIGCONT)
    # Within its session nobody takes over: it is back when it goes on.
    since = since if held > SESSION_SECONDS and target in SEQUENCER_NAMES else field.now()
    return Struck(target, f"state T for {held:.1f} s" if seen else None, since, lines)


async def shift_clock(field: Field, target: str) -> Struck:
    """End it, and let its successor see another time; the one after that sees the right one again."""
    member = field.world.members[target]
    shift = field.random.choice((-26 * HOUR_SECONDS, -HOUR_SECONDS, HOUR_SECONDS, 26 * HOUR_SECONDS))
    lines = await _lines_of(field, member)
    member.clock_shift_seconds = shift
    try:
        began = member.log.stat().st_size if member.log.exists() else 0
        since = field.now()
        member.send(signal.SIGTERM)
        await member.ended()
        await field.until(lambda: _has_wrong_time(member, began, shift), 30)
        seen = _has_wrong_time(member, began, shift)
        await asyncio.sleep(field.random.uniform(2, 5))
    finally:
        member.clock_shift_seconds = 0.0
    member.send(signal.SIGTERM)
    await member.ended()
    return Struck(target, f"its log is {shift / HOUR_SECONDS:+.0f} h off" if seen else None, since, lines)


async def _end(field: Field, target: str, number: signal.Signals, code: int) -> Struck:
    member = field.world.members[target]
    lines = await _lines_of(field, member)
    since = field.now()
    sent = member.send(number)
    ended = await member.ended() if sent else None
    if not member.is_held_down:
        await field.until(lambda: member.pid is not None, 10)
    return Struck(target, f"ended with {ended}" if ended == code else None, since, lines)


async def _lines_of(field: Field, member: Member) -> list:  # type: ignore[type-arg]
    if member.name.startswith("sequencer"):
        return field.partitions(await member.partitions())
    return field.of(member.name if member.name.startswith("api") else "projection")


def _has_wrong_time(member: Member, began: int, shift: float) -> bool:
    with member.log.open("rb") as file:
        file.seek(began)
        text = file.read().decode(errors="replace")
    for stamp in LOG_TIME.findall(text):
        moment = datetime.fromisoformat(stamp).replace(tzinfo=UTC)
        if abs((moment - datetime.now(UTC)).total_seconds() - shift) < HOUR_SECONDS / 2:
            return True
    return False


# Broker and database


async def kill_part(field: Field, target: str) -> Struck:
    """SIGKILL of the broker or of the database's first process; the supervisor starts it again."""
    root = await asyncio.to_thread(field.world.part, target)
    if root is None:
        return Struck(target, None, field.now(), [])
    since = field.now()
    _signal_all([root], signal.SIGKILL)
    seen = await field.until(lambda: not _lives(root), 5)
    await field.until(lambda: field.world.part_is_ready(target) and field.world.part(target) != root)
    return Struck(target, f"process {root.pid} is gone" if seen else None, since, _lines_of_part(field, target))


async def kill_backend(field: Field, target: str) -> Struck:
    """SIGKILL of one of the database's processes: it drops all connections and recovers from its log."""
    family = await asyncio.to_thread(field.world.family, target)
    clients = [each for each in family[1:] if "127.0.0.1" in _command(each)]
    if not clients:
        return Struck(target, None, field.now(), [])
    victim = field.random.choice(clients)
    since = field.now()
    _signal_all([victim], signal.SIGKILL)
    seen = await field.until(lambda: not _lives(victim), 5)
    return Struck(target, f"process {victim.pid} is gone" if seen else None, since, field.of("projection"))


async def stop_part(field: Field, target: str, seconds: tuple[float, float]) -> Struck:
    """SIGSTOP of all its processes, as on a machine that swaps, and SIGCONT after a while."""
    family = await asyncio.to_thread(field.world.family, target)
    held = field.random.uniform(*seconds)
    _signal_all(family, signal.SIGSTOP)
    try:
        seen = bool(family) and await field.until(lambda: _stands_still(family[0]), 2)
        await asyncio.sleep(held)
    finally:
        _signal_all(family, signal.SIGCONT)
    return Struck(target, f"state T for {held:.1f} s" if seen else None, field.now(), _lines_of_part(field, target))


async def kill_everything(field: Field, target: str) -> Struck:
    """SIGKILL of every process, in any order; each is started again by whoever keeps it."""
    roots = [await asyncio.to_thread(field.world.part, name) for name in ("broker", "postgres")]
    victims = [found for each in field.world.members.values() if (found := _found(each.pid)) is not None]
    victims += [root for root in roots if root is not None]
    field.random.shuffle(victims)
    since = field.now()
    _signal_all(victims, signal.SIGKILL)
    seen = await field.until(lambda: not any(map(_lives, victims)), 10)
    await field.until(lambda: all(map(field.world.part_is_ready, ("broker", "postgres"))))
    return Struck(target, f"{len(victims)} processes are gone" if seen else None, since, field.of(""))


def _lines_of_part(field: Field, target: str) -> list:  # type: ignore[type-arg]
    return field.of("") if target == "broker" else field.of("projection")


def _signal_all(processes: list[psutil.Process], number: signal.Signals) -> None:
    for each in processes:
        with suppress(psutil.NoSuchProcess):  # one of the database's, which has ended meanwhile
            each.send_signal(number)


def _found(pid: int | None) -> psutil.Process | None:
    try:
        return psutil.Process(pid) if pid is not None else None
    except psutil.NoSuchProcess:
        return None


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def _stands_still(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_STOPPED
    except psutil.NoSuchProcess:
        return False


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


# The lines between them


async def cut(field: Field, target: str) -> Struck:
    """Reset its connections, and new ones, for a while."""
    return await _on_line(field, target, Proxy.cut, ("cut", "refused"), (0.2, 4.0))


async def silence(field: Field, target: str) -> Struck:
    """Nothing gets through, in either direction, and nobody is told."""
    return await _on_line(field, target, Proxy.silence, ("held",), (0.5, 8.0))


async def mute(field: Field, target: str) -> Struck:
    """What is asked arrives, what is answered is lost."""
    return await _on_line(field, target, Proxy.mute, ("held",), (0.5, 6.0))


async def slow(field: Field, target: str) -> Struck:
    """Each piece of data takes its time."""
    delay = field.random.uniform(0.05, 0.3)
    return await _on_line(field, target, lambda proxy: proxy.slow(delay), ("slowed",), (1.0, 6.0))


async def _on_line(
    field: Field, target: str, begin: Callable[[Proxy], None], counts: tuple[str, ...], seconds: tuple[float, float]
) -> Struck:
    proxy = field.world.proxies[target]
    before = sum(proxy.seen[each] for each in counts)
    begin(proxy)
    try:
        await asyncio.sleep(field.random.uniform(*seconds))
    finally:
        proxy.heal()
    met = sum(proxy.seen[each] for each in counts) - before
    who, _, whom = target.partition("~")
    near = whom if who == "clients" and whom != "broker" else who
    lines = {"sequencer": "partition-", "projector": "projection", "clients": "partition-"}.get(
        near.split("-")[0], near
    )
    return Struck(target, f"{counts[0]}: {met}" if met else None, field.now(), field.of(lines))


# Disks


async def fill_disk(field: Field, target: str) -> Struck:
    """No room for a while."""
    return await _on_disk(field, target, "fill", "ENOSPC", (1.0, 4.0))


async def forbid_disk(field: Field, target: str) -> Struck:
    """The file system turns read-only, as the kernel makes one that fails."""
    return await _on_disk(field, target, "forbid", "EROFS", (1.0, 6.0))


async def _on_disk(
    field: Field, target: str, how: Literal["fill", "forbid"], error: str, seconds: tuple[float, float]
) -> Struck:
    disk = field.world.disks[target]
    try:
        await asyncio.to_thread(getattr(disk, how))
        met = await asyncio.to_thread(disk.refusal)
        await asyncio.sleep(field.random.uniform(*seconds))
    except OSError:
        met = None  # a file is open for writing just now
    finally:
        await asyncio.to_thread(disk.heal)
    part = {"kafka": "broker", "postgres": "postgres"}.get(target)
    since = field.now()
    if part is not None:
        await field.until(lambda: field.world.part_is_ready(part))
    lines = _lines_of_part(field, part) if part else field.of("api-")
    return Struck(target, met if met == error else None, since, lines)


def _seconds(how: Callable[[Field, str, tuple[float, float]], Awaitable[Struck]], low: float, high: float) -> Strike:
    return partial(_for_seconds, how, (low, high))


async def _for_seconds(
    how: Callable[[Field, str, tuple[float, float]], Awaitable[Struck]],
    seconds: tuple[float, float],
    field: Field,
    target: str,
) -> Struck:
    return await how(field, target, seconds)


def _lines_between() -> list[Kind]:
    kinds = []
    ways: tuple[tuple[str, Strike], ...] = (
        ("connections cut", cut), ("line silent", silence), ("answers lost", mute), ("line slow", slow),
    )  # fmt: skip
    for of, links in (
        ("to the broker", BROKER_LINKS),
        ("to the database", DATABASE_LINKS),
        ("to the API", CLIENT_LINKS),
    ):
        kinds += [Kind(f"{name}, {of}", 10, 24, links, way) for name, way in ways]
    return kinds


FAILOVER = Kind("sequencer killed, alone", 10, 0, SEQUENCER_NAMES, kill_alone, alone=True)
RESTARTED = Kind("sequencer killed and restarted, alone", 10, 0, SEQUENCER_NAMES, restart_alone, alone=True)
HANDOVER = Kind("sequencer left in order, alone", 10, 0, SEQUENCER_NAMES, leave_alone, alone=True)
ALONE = (FAILOVER, HANDOVER, RESTARTED, HANDOVER)
"""One after the other, in each cycle."""

IN_STORMS = (
    Kind("sequencer killed", 12, 20, SEQUENCER_NAMES, kill),
    Kind("sequencer left in order", 6, 10, SEQUENCER_NAMES, leave),
    Kind("sequencer stopped beyond its session", 8, 12, SEQUENCER_NAMES, _seconds(stop, 7.0, 11.0)),
    Kind("sequencer stopped for a moment", 10, 20, SEQUENCER_NAMES, _seconds(stop, 0.2, 3.0)),
    Kind("projector killed", 10, 20, ("projector-0",), kill),
    Kind("projector stopped", 8, 14, ("projector-0",), _seconds(stop, 0.5, 8.0)),
    Kind("API killed", 10, 20, API_NAMES, kill),
    Kind("API left in order", 5, 8, API_NAMES, leave),
    Kind("API stopped", 8, 14, API_NAMES, _seconds(stop, 0.5, 6.0)),
    Kind("broker killed", 5, 8, ("broker",), kill_part, heavy=True),
    Kind("broker stopped", 8, 14, ("broker",), _seconds(stop_part, 0.5, 9.0), heavy=True),
    Kind("database killed", 5, 10, ("postgres",), kill_part, heavy=True),
    Kind("one process of the database killed", 6, 12, ("postgres",), kill_backend),
    Kind("database stopped", 8, 14, ("postgres",), _seconds(stop_part, 0.5, 8.0)),
    Kind("everything killed at once", 2, 3, ("everything",), kill_everything, heavy=True),
    *_lines_between(),
    Kind("clock shifted", 6, 10, MEMBER_NAMES, shift_clock),
)
ON_DISKS = (
    Kind("disk full, of the broker", 2, 4, ("kafka",), fill_disk, heavy=True),
    Kind("disk full, of the database", 4, 6, ("postgres",), fill_disk, heavy=True),
    Kind("disk full, of the blobs", 4, 8, ("blobs",), fill_disk),
    Kind("disk read-only, of the blobs", 4, 8, ("blobs",), forbid_disk),
)
