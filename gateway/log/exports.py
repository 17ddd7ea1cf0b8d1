"""What platforms give their users, as logs: Facebook, Telegram, Discord.

*Facebook.* The data that a person downloads holds ``your_group_membership_activity.json``: joins
and leaves, in the language of the account. A folder with the download of each person (a folder
or a zip archive; the log calls the person after it) is a log with ``left``.

*Telegram.* ``result.json`` of the desktop program: a chat, or all chats of an account. A user
joins a chat at the first service message that says so, or at the first message; who was invited
has an inviter.

*Discord.* A channel in the JSON of DiscordChatExporter. The group is the server; a user joins
at the first message in any of its channels, the notice of joining among them. Bots are left out.

In the last two a user who never writes is seen only where a notice says that they joined, and
who had joined before the export begins seems to join at the first message in it. A dump of
Reddit comments or posts (NDJSON, mostly zstd) needs no reader of its own: its columns
``author``, ``subreddit`` and ``created_utc`` are taken where a log has no others, and there too
the first post of a user stands for the join.
"""

from __future__ import annotations

import json
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, NamedTuple

import pyarrow as pa

from gateway.errors import shown
from gateway.log.files import MEMBERSHIPS, export_files, opened, opened_zip
from gateway.log.messages import complaint, listed
from gateway.provenance import memory_bytes

# A phrase of the title by which it is known, where its place among the events of a group does
# not tell: English and French.
_JOINS = ("became a member", "devenu")
_LEAVES = ("stopped being a member", "arrêté d'être membre")
# Bytes that Python takes for an object, a list, a text and an item that these stand for.
_SIZES = {b"{": 232, b"[": 88, b'"': 29, b",": 40}
# Kinds of Telegram chats in which nobody joins anything.
_NO_GROUPS = ("personal_chat", "saved_messages", "bot_chat", "replies", "verification_codes")
_FORMS = (
    "must hold your_group_membership_activity.json of a Facebook download, a Telegram result.json, "
    "or channels of DiscordChatExporter in JSON"
)


class _Join(NamedTuple):
    """A user joins a group at a second since 1970; who invited, and when the user left."""

    user: str
    group: str
    time: int
    left: int | None = None
    inviter: str | None = None
    group_id: str = ""


def read_export(path: Path) -> pa.Table:
    """Return the joins in the data that a platform gave its users.

    The path is that of a JSON file, a zip archive, or a folder of them, at any depth; each file
    is read whole, and let go of before the next one. The table has ``user``, ``group``, ``time``
    (seconds, UTC), and ``left`` and ``inviter`` where any is known. A LogError says that there is
    nothing of the kind, that it cannot be understood, or would take more memory than there is.
    """
    first: dict[tuple[str, str, str], _Join] = {}
    activity: list[_Activity] = []
    for where, owner, document in _documents(path):
        with _as_written(where):
            events = _facebook_events(document)
            if events is not None:
                activity += [_activity_of(where, owner, event) for event in events]
                continue
            for chat in _chats_of(document):
                joins = _discord_joins if "guild" in chat else _telegram_joins
                _keep_earliest(first, joins(where, chat))
    _keep_earliest(first, _memberships(path, activity))
    if not first:
        raise complaint(path, "the export", _FORMS)
    # Of several groups with one name each has its number too.
    alike = Counter(name for name, _ in {(join.group, join.group_id) for join in first.values()})
    user, name, time, left, inviter, number = zip(*first.values(), strict=True)
    group = [f"{n} ({own})" if alike[n] > 1 else n for n, own in zip(name, number, strict=True)]
    seconds = pa.timestamp("s", "UTC")
    columns = {"user": pa.array(user), "group": pa.array(group), "time": pa.array(time, seconds)}
    if any(value is not None for value in left):
        columns["left"] = pa.array(left, seconds)
    if any(value is not None for value in inviter):
        columns["inviter"] = pa.array(inviter, pa.string())
    return pa.table(columns)


@contextmanager
def _as_written(where: str) -> Iterator[None]:
    """Complain of values that are not of the kinds that a platform writes."""
    try:
        yield
    except (LookupError, TypeError, AttributeError, ValueError, OverflowError) as error:
        rule = "must hold values of the kinds that its platform writes"
        raise complaint(where, "the export", rule, got=str(error)) from error


def _keep_earliest(first: dict[tuple[str, str, str], _Join], joins: Iterable[_Join]) -> None:
    """Keep of each user in each group the first of what was found so far and these joins."""
    for join in joins:
        key = join.user, join.group, join.group_id
        first[key] = min(first.setdefault(key, join), join, key=_earliest)


def _earliest(join: _Join) -> tuple[int, bool, str]:
    return join.time, join.inviter is None, join.inviter or ""


# Files ---------------------------------------------------------------------------------------


def _documents(path: Path) -> Iterator[tuple[str, str, Any]]:
    """Yield each JSON value: where it stands, whose it is, and the value."""
    if not path.is_dir():
        yield from _documents_in(path, path.stem)
        return
    for each in export_files(path):
        yield from _documents_in(each, Path(each.relative_to(path).parts[0]).stem)


def _documents_in(path: Path, owner: str) -> Iterator[tuple[str, str, Any]]:
    if not zipfile.is_zipfile(path):
        with opened(path) as stream:
            yield str(path), owner, _parsed(str(path), stream)
        return
    with opened_zip(path) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".json"))
        for name in [name for name in names if MEMBERSHIPS in name] or names:
            with archive.open(name) as stream:
                yield f"{path}: {name}", owner, _parsed(f"{path}: {name}", stream)


def _parsed(where: str, stream: IO[bytes]) -> Any:
    """Return a JSON value, after a look at the memory that it takes."""
    memory = memory_bytes()
    content = stream.read(memory // 3)
    needed = memory_of(content)
    if stream.read(1) or needed > memory:
        rule = f"must fit into memory, {memory / 2**30:,.1f} GiB here"
        got = f"one that takes up to {needed / 2**30:,.1f} GiB"
        hint = "export fewer chats, or a shorter time, into each file"
        raise complaint(where, "the export", rule, got=got, hint=hint)
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise complaint(where, "the file", "must be JSON", got=str(error)) from error


def memory_of(text: bytes) -> int:
    """Return the bytes that reading a JSON text may take: itself, decoded, in its values."""
    letter = 1 if text.isascii() and b"\\u" not in text else 4
    values = sum(text.count(mark) * size for mark, size in _SIZES.items())
    return (1 + 2 * letter) * len(text) + values


def _seconds(where: str, value: Any) -> int:
    """Return seconds since 1970 of a number, its text, or an ISO time (UTC if it says none)."""
    try:
        if isinstance(value, int | float) or str(value).isdigit():
            seconds = int(value)
        else:
            when = datetime.fromisoformat(str(value))
            seconds = int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp())
        # It must be a time that can be said.
        datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError) as error:
        rule = "must be seconds since 1970 or ISO"
        raise complaint(where, "a time", rule, got=shown(value)) from error
    return seconds


# Facebook ------------------------------------------------------------------------------------


class _Activity(NamedTuple):
    user: str
    group: str
    time: int
    template: str


def _facebook_events(document: Any) -> list[Any] | None:
    if not isinstance(document, Mapping):
        return None
    return next((document[key] for key in document if key.startswith("groups_joined")), None)


def _activity_of(where: str, user: str, event: Any) -> _Activity:
    try:
        title, time = _repaired(event["title"]), _seconds(where, event["timestamp"])
        group = _repaired(event["data"][0]["name"])
    except (KeyError, TypeError, IndexError) as error:
        rule = "must have a title, a timestamp and the name of a group"
        raise complaint(where, "an event", rule, got=repr(event)[:60]) from error
    before, _, after = title.rpartition(group)
    return _Activity(user, group, time, f"{before}{{}}{after}")


def _repaired(text: str) -> str:
    """Return text whose UTF-8 was taken for Latin-1, as in these files, in its own letters."""
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text


def _memberships(path: Path, activity: Iterable[_Activity]) -> Iterator[_Join]:
    """Yield who joined what when, and left it.

    Titles are in the language of each account. What a title says is told by the order of a
    user's events in a group, which are a join, a leave, a join again, and so on: a title that
    stands at even places more often is that of a leave.
    """
    histories: defaultdict[tuple[str, str], list[_Activity]] = defaultdict(list)
    for event in sorted(set(activity), key=lambda event: event.time):
        histories[event.user, event.group].append(event)
    places: dict[str, Counter[int]] = defaultdict(Counter)
    for events in histories.values():
        for i, event in enumerate(events):
            places[event.template][i % 2] += 1
    leaves = {title for title, place in places.items() if _says_leave(title, place)}
    unclear = [
        title for title, place in places.items()
        if place[0] == place[1] and not any(known in title for known in (*_JOINS, *_LEAVES))
    ]  # fmt: skip
    if unclear:
        rule = "must be told apart as joins and leaves by their order; these cannot be"
        raise complaint(path, "the titles of events", rule, got=listed(unclear))
    for (user, group), events in histories.items():
        joined = next((e.time for e in events if e.template not in leaves), None)
        if joined is not None:
            last = events[-1]
            gone = last.template in leaves and last.time > joined
            yield _Join(user, group, joined, last.time if gone else None)


def _says_leave(title: str, place: Counter[int]) -> bool:
    if any(known in title for known in _LEAVES):
        return True
    return not any(known in title for known in _JOINS) and place[1] > place[0]


# Chats ---------------------------------------------------------------------------------------


def _chats_of(document: Any) -> list[Mapping[str, Any]]:
    """Return the chats of a Telegram or Discord export."""
    if not isinstance(document, Mapping):
        return []
    if isinstance(document.get("messages"), list):
        return [document]
    chats = document.get("chats", {})
    listed_ = chats.get("list", []) if isinstance(chats, Mapping) else []
    return [chat for chat in listed_ if isinstance(chat, Mapping) and "messages" in chat]


def _discord_joins(where: str, chat: Mapping[str, Any]) -> Iterator[_Join]:
    try:
        group, number = str(chat["guild"]["name"]), str(chat["guild"].get("id", ""))
        for message in chat["messages"]:
            author = message["author"]
            if not author.get("isBot"):
                user = str(author.get("id") or author["name"])
                time = _seconds(where, message["timestamp"])
                yield _Join(user, group, time, group_id=number)
    except (KeyError, TypeError, AttributeError) as error:
        rule = "must have a guild with a name, and messages with author and timestamp"
        raise complaint(where, "the channel", rule, got=f"without {error}") from error


def _telegram_joins(where: str, chat: Mapping[str, Any]) -> Iterator[_Join]:
    if chat.get("type") in _NO_GROUPS:
        return
    messages = [one for one in chat["messages"] if isinstance(one, Mapping)]
    number = str(chat.get("id", ""))
    group = str(chat.get("name") or number)
    ids = _ids_by_name(messages)
    for message in messages:
        time = _seconds(where, message.get("date_unixtime") or message.get("date"))
        who = message.get("from_id") or message.get("actor_id")
        who = who or ids.get(message.get("from") or message.get("actor"))
        if message.get("action") == "invite_members":
            for name in message.get("members") or ():
                if name is not None and ids.get(name, name) != who:
                    user, by = str(ids.get(name, name)), who and str(who)
                    yield _Join(user, group, time, inviter=by, group_id=number)
        elif who and not str(who).startswith("channel"):
            yield _Join(str(who), group, time, group_id=number)


def _ids_by_name(messages: Iterable[Mapping[str, Any]]) -> dict[Any, str]:
    """Return the id of each name that only one user of a chat has."""
    ids: defaultdict[Any, set[str]] = defaultdict(set)
    for message in messages:
        for name, key in (("from", "from_id"), ("actor", "actor_id")):
            if message.get(name) and message.get(key):
                ids[message[name]].add(message[key])
    return {name: next(iter(some)) for name, some in ids.items() if len(some) == 1}
