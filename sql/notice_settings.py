"""Channels to customers and the operator's own words; what became of notices, and trying them again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, func, select, text, true
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from policy.errors import PolicyError
from policy.notices import ADDRESSES, BLANKS, Event, check_blanks
from sql import audit
from sql.checks import NAME_MAXIMUM_BYTES, checked_text
from sql.errors import NotFound, Refused
from sql.models import Notice, NoticeChannel, NoticeDelivery, NoticeTemplate, Subscriber
from sql.secrets import SecretBox, SecretsError

SUBJECT_MAXIMUM_BYTES = 1024
BODY_MAXIMUM_BYTES = 16384
_LANGUAGE = re.compile("[a-z]{2}")
_TRY_AGAIN = text("""
UPDATE notice_deliveries AS delivery SET state = 'waiting', due_at = clock_timestamp(),
    explanation = 'Asked for again by a person.'
FROM notice_channels AS channel
WHERE delivery.operator_id = :operator AND channel.id = delivery.channel_id AND channel.ended_at IS NULL
    AND delivery.state = ANY(CAST(:states AS text[]))
    AND (CAST(:notice AS bigint) IS NULL OR delivery.notice_id = :notice)
    AND (CAST(:channel AS bigint) IS NULL OR delivery.channel_id = :channel)
""")


def channel_place(operator_id: int, name: str) -> str:
    """The place of a channel's address, for the secret box."""
    return f"notice_channels.url/{operator_id}/{name}"


def add_channel(
    session: Session, operator_id: int, *, name: str, url: str, events: Sequence[str], box: SecretBox, actor: str
) -> NoticeChannel:
    """A new way to customers. `url` is an Apprise address; {email} and {phone} in it are the customer's.

    Raises Refused for other blanks or unknown events; that Apprise knows the address is for the caller to see to.
    """
    if not name.strip():
        raise Refused("The name of the channel must not be empty.")
    checked_text("name of the channel", name, NAME_MAXIMUM_BYTES)
    try:
        chosen = [Event(event).value for event in dict.fromkeys(events)]
    except ValueError as error:
        raise Refused(f"The event is not known; use some of {', '.join(Event)}.") from error
    if not chosen:
        raise Refused(f"A channel needs at least one event; use some of {', '.join(Event)}.")
    try:
        check_blanks(url, ADDRESSES)
        sealed = box.seal(url, channel_place(operator_id, name))
    except (PolicyError, SecretsError) as error:
        raise Refused(f"The address cannot be stored: {error}.") from error
    if channel_named(session, operator_id, name) is not None:
        raise Refused(f"There is a channel {name!r} already; end it first, or choose another name.")
    channel = NoticeChannel(operator_id=operator_id, name=name, url=sealed, events=chosen)
    session.add(channel)
    session.flush()
    audit.record(session, operator_id, actor, "notice:channel:add", name=name, events=chosen)
    return channel


def end_channel(session: Session, operator_id: int, name: str, *, actor: str) -> NoticeChannel:
    """Send nothing through a channel any more; what waits for it is skipped. Raises NotFound."""
    channel = channel_by_name(session, operator_id, name)
    channel.ended_at = func.now()
    session.flush()
    audit.record(session, operator_id, actor, "notice:channel:end", name=name)
    return channel


def channel_by_name(session: Session, operator_id: int, name: str) -> NoticeChannel:
    """The channel of this name that was not ended. Raises NotFound."""
    found = channel_named(session, operator_id, name)
    if found is None:
        raise NotFound(f"There is no channel {name!r}; `ispagents channel list` shows those there are.")
    return found


def channel_named(session: Session, operator_id: int, name: str) -> NoticeChannel | None:
    """The channel of this name that was not ended, if there is one."""
    return session.scalar(
        select(NoticeChannel).where(
            NoticeChannel.operator_id == operator_id, NoticeChannel.name == name, NoticeChannel.ended_at.is_(None)
        )
    )


def channels(session: Session, operator_id: int, *, after: str = "", limit: int = 100) -> list[NoticeChannel]:
    """The channels in use, by name."""
    mine = (NoticeChannel.operator_id == operator_id, NoticeChannel.ended_at.is_(None), NoticeChannel.name > after)
    return list(session.scalars(select(NoticeChannel).where(*mine).order_by(NoticeChannel.name).limit(limit)))


def set_template(
    session: Session, operator_id: int, *, event: str, language: str, subject: str, body: str, actor: str
) -> None:
    """The operator's own words for an event in a language. Raises Refused for an unknown blank."""
    blanks = BLANKS[_event(event)]
    if _LANGUAGE.fullmatch(language) is None:
        raise Refused(f"The language {language!r} is not known; write two small letters such as en.")
    for what, value, most in (("subject", subject, SUBJECT_MAXIMUM_BYTES), ("text", body, BODY_MAXIMUM_BYTES)):
        if not checked_text(what, value, most).strip():
            raise Refused(f"The {what} must not be empty.")
        try:
            check_blanks(value, blanks)
        except PolicyError as error:
            raise Refused(f"The {what} cannot be stored: {error}.") from error
    values = {"subject": subject, "body": body, "updated_at": func.now()}
    key = {"operator_id": operator_id, "event": event, "language": language}
    statement = insert(NoticeTemplate).values(**key, **values)
    session.execute(statement.on_conflict_do_update(index_elements=list(key), set_=values))
    audit.record(session, operator_id, actor, "notice:template:set", template=event, language=language)


def remove_template(session: Session, operator_id: int, *, event: str, language: str, actor: str) -> None:
    """Use our words again. Raises NotFound."""
    session.delete(template_of(session, operator_id, event=event, language=language))
    session.flush()
    audit.record(session, operator_id, actor, "notice:template:remove", template=event, language=language)


def template_of(session: Session, operator_id: int, *, event: str, language: str) -> NoticeTemplate:
    """The operator's own words. Raises NotFound."""
    found = session.get(NoticeTemplate, (operator_id, _event(event).value, language))
    if found is None:
        raise NotFound(f"There are no words of your own for {event} in {language!r}; ours are used.")
    return found


def templates(session: Session, operator_id: int) -> list[NoticeTemplate]:
    """All of the operator's own words."""
    mine = select(NoticeTemplate).where(NoticeTemplate.operator_id == operator_id)
    return list(session.scalars(mine.order_by(NoticeTemplate.event, NoticeTemplate.language)))


class Told(NamedTuple):
    """A notice with one of its deliveries, if it has any yet."""

    notice: Notice
    reference: str
    delivery: NoticeDelivery | None
    channel: str | None


def notices(
    session: Session,
    operator_id: int,
    *,
    subscriber: Subscriber | None = None,
    failed: bool = False,
    before: int | None = None,
    limit: int = 100,
) -> list[Told]:
    """So many notices with all their deliveries, the newest first; `failed`: what failed or is unknown alone."""
    # The page is chosen before anything is joined to it.
    wrong: ColumnElement[bool] = true()
    if failed:
        wrong = NoticeDelivery.state.in_(("failed", "unknown"))
        page = select(NoticeDelivery.notice_id.label("id")).where(NoticeDelivery.operator_id == operator_id, wrong)
        page = page.distinct()
    else:
        page = select(Notice.id).where(Notice.operator_id == operator_id)
    key = NoticeDelivery.notice_id if failed else Notice.id
    if subscriber is not None:
        mine = select(Notice.id).where(Notice.operator_id == operator_id, Notice.subscriber_id == subscriber.id)
        page = page.where(key.in_(mine)) if failed else page.where(Notice.subscriber_id == subscriber.id)
    if before is not None:
        page = page.where(key < before)
    chosen = page.order_by(key.desc()).limit(limit).subquery()
    rows = session.execute(
        select(Notice, Subscriber.reference, NoticeDelivery, NoticeChannel.name)
        .join(chosen, chosen.c.id == Notice.id)
        .join(Subscriber, Subscriber.id == Notice.subscriber_id)
        .outerjoin(NoticeDelivery, (NoticeDelivery.notice_id == Notice.id) & wrong)
        .outerjoin(NoticeChannel, NoticeChannel.id == NoticeDelivery.channel_id)
        .order_by(Notice.id.desc(), NoticeDelivery.channel_id)
    )
    return [Told(*row) for row in rows]


def notice_by_id(session: Session, operator_id: int, notice_id: int) -> list[Told]:
    """A notice with all of its deliveries. Raises NotFound."""
    newest = notices(session, operator_id, before=notice_id + 1, limit=1)
    found = [one for one in newest if one.notice.id == notice_id]
    if not found:
        raise NotFound(f"There is no notice {notice_id}; `ispagents notice list` shows those there are.")
    return found


def try_again(
    session: Session,
    operator_id: int,
    *,
    states: Sequence[str],
    actor: str,
    notice_id: int | None = None,
    channel: NoticeChannel | None = None,
) -> int:
    """Send again what is in one of these states: of one notice, of one channel, or all. Returns how many.

    What is unknown may reach the customer twice then, which is for a person to accept.
    """
    values = {
        "operator": operator_id,
        "states": list(states),
        "notice": notice_id,
        "channel": channel.id if channel is not None else None,
    }
    count = session.execute(_TRY_AGAIN, values).rowcount  # type: ignore[attr-defined] # of a cursor's result
    if count:
        said: dict[str, Any] = {"states": list(states), "count": count, "notice": notice_id}
        audit.record(session, operator_id, actor, "notice:delivery:retry", **said)
    return int(count)


def _event(event: str) -> Event:
    try:
        return Event(event)
    except ValueError as error:
        raise Refused(f"The event {event[:60]!r} is not known; use one of {', '.join(Event)}.") from error
