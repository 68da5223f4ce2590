"""Make the row of a suggestion: redacted text, pseudonym of the requester, versions, the answer."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

from pydantic_core import to_json

from jiesu_nlp.suggestion import Suggestion
from jiesu_nlp.text.redact import find_personal_data, redact
from jiesu_nlp.ticket import Ticket
from jiesu_nlp.vocabulary import Decision
from service.store.tables import stamp

_DOUBT = [Decision.AUTO.value, Decision.SUGGEST.value, Decision.REVIEW.value]


def suggestion_row(
    secret: str,
    identity: str,
    ticket: Ticket,
    suggestion: Suggestion,
    answer: str,
    actor: str,
    source: str,
    digest: str | None = None,
) -> dict[str, Any]:
    """Return what the store keeps of a ticket and its answer (JSON); nothing in it is unredacted."""
    first = suggestion.demands[0]
    versions = suggestion.versions
    return {
        "id": identity,
        "created_at": stamp(),
        "ticket_id": ticket.id,
        "received_at": ticket.created_at,
        "channel": ticket.channel,
        "requester": pseudonym(secret, ticket.requester),
        "text": suggestion.redacted_text,
        "address": redacted(ticket.address),
        "actor": actor,
        "source": source,
        "model": versions.model,
        "catalogue": versions.catalogue,
        "rules": versions.rules,
        "places": versions.places,
        "code": first.categories[0].code,
        "unit": first.unit.name,
        "district": first.place.district,
        "town": first.place.town,
        "gate": suggestion.gate.kind,
        "confidence": first.confidence,
        # The most doubtful demand decides whether a person must look.
        "advice": max((d.decision for d in suggestion.demands), key=_DOUBT.index),
        "elapsed_ms": suggestion.elapsed_ms,
        "answer": answer,
        "demands": len(suggestion.demands),
        "digest": digest,
    }


def fingerprint(secret: str, ticket: Ticket) -> str:
    """Return a keyed digest of a ticket: equal tickets are recognised, nothing can be read from it."""
    asked = [
        ticket.text,
        ticket.id,
        ticket.channel,
        ticket.created_at,
        ticket.requester,
        ticket.address,
    ]
    # The word keeps it apart from the pseudonyms, which have the same key.
    return hmac.digest(secret.encode(), b"ticket\n" + to_json(asked), "sha256").hex()


def pseudonym(secret: str, requester: str | None) -> str | None:
    """Return the keyed digest under which a requester is recognised."""
    if not requester or not requester.strip():
        return None
    return hmac.new(secret.encode(), requester.strip().encode(), hashlib.sha256).hexdigest()[:32]


def redacted(text: str | None) -> str | None:
    """Mask personal data."""
    return None if text is None else redact(text, find_personal_data(text))
