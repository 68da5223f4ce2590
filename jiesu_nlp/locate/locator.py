"""Find the incident place of a text: the stage between classification and routing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from jiesu_nlp.locate.gazetteer import Gazetteer
from jiesu_nlp.locate.homophones import HomophoneIndex
from jiesu_nlp.locate.kinds import entry_kind, place_kind
from jiesu_nlp.locate.mentions import Mention, MentionFinder
from jiesu_nlp.locate.resolver import Resolver, Site
from jiesu_nlp.suggestion import Place, Span
from jiesu_nlp.text.normalise import normalise
from jiesu_nlp.vocabulary import PlaceKind, PlaceStatus

# What only the address field says is the caller's own entry, often right, sometimes the home.
_ADDRESS_TRUST = 0.9


# Not frozen: each ticket makes one, and frozen it would cost six times as much.
@dataclass(slots=True)
class LocatedText:
    """All places of one text; asks for the place of a part of it.

    Attributes
    ----------
    text
        The text that was searched; spans are offsets into it.
    sites
        The places it names, in order.
    address
        The place of the separate address field, without evidence in the text.
    """

    text: str
    sites: tuple[Site, ...]
    resolver: Resolver
    gazetteer: Gazetteer
    address: tuple[Site, ...] = ()

    def place(self, span: Span | None = None) -> Place:
        """Return the incident place of a span, or of the whole text.

        A span that names no place has that of the whole text; its kind is read from the span.
        """
        sites: tuple[Site, ...] | list[Site] = self.sites
        if span is not None and sites:
            inside = [s for s in sites if span[0] <= s.start < span[1]]
            sites = inside or sites
        whole = (0, len(self.text)) if span is None else span
        chosen = self.resolver.choose(sites)
        if chosen is None or (self.address and chosen.role.value <= 1.0):
            return self._from_address(whole) if self.address else Place(
                kind=place_kind(self.text, whole, None, ()).value
            )  # fmt: skip
        place, rows = self.resolver.place(chosen, sites)
        # A place with candidates left is no certainty, even if one town is the likeliest.
        if self.address and (place.status != PlaceStatus.RESOLVED.value or place.candidates):
            narrowed, narrower = self.resolver.place(chosen, [*sites, *self.address])
            if narrowed.district is not None:
                place, rows = replace(narrowed, evidence=place.evidence), narrower
        entry = self._entry(rows)
        return _of_kind(place, place_kind(self.text, whole, entry, place.evidence))

    def _from_address(self, span: Span) -> Place:
        chosen = self.resolver.choose(self.address)
        if chosen is None:
            return Place()
        place, rows = self.resolver.place(chosen, self.address)
        kind = place_kind(self.text, span, None, ())
        if kind is PlaceKind.UNKNOWN:
            # Only then: the citizen's own words say more of the matter than a field beside them.
            kind = entry_kind(self._entry(rows))
        return replace(
            place,
            kind=kind.value,
            evidence=(),
            confidence=round(place.confidence * _ADDRESS_TRUST, 3),
        )

    def _entry(self, rows: Sequence[int]) -> int:
        """Return the kind of the best known of some entries: the one a place is named after."""
        return self.gazetteer.kinds[max(rows, key=lambda r: (self.gazetteer.weights[r], -r))]


def _of_kind(place: Place, kind: PlaceKind) -> Place:
    """Return a place with its kind (``dataclasses.replace`` costs three times that)."""
    return Place(
        place.name,
        place.district,
        place.town,
        place.community,
        kind.value,
        place.status,
        place.confidence,
        place.candidates,
        place.evidence,
    )


class Locator:
    """Holds the automaton of a gazetteer; may be shared by threads.

    Examples
    --------
    >>> located = Locator(gazetteer).locate("家住通州,今天在国贸桥下被水淹了")  # doctest: +SKIP
    >>> located.place().district  # doctest: +SKIP
    '朝阳区'
    """

    def __init__(self, gazetteer: Gazetteer) -> None:
        self.gazetteer = gazetteer
        self._finder = MentionFinder(gazetteer)
        self._resolver = Resolver(gazetteer)
        self._homophones = HomophoneIndex(gazetteer)

    def locate(self, text: str, address: str | None = None) -> LocatedText:
        """Find all places of a normalised text and of the address field, if there is one.

        The field may come as it was recorded: no span of it is ever given out.
        """
        return LocatedText(
            text=text,
            sites=tuple(self._sites(text)),
            resolver=self._resolver,
            gazetteer=self.gazetteer,
            address=tuple(self._sites(normalise(address).text)) if address else (),
        )

    def mentions(self, text: str) -> tuple[Mention, ...]:
        """Return the names that are taken for places, in order; by sound only if there is none."""
        mentions = self._finder.find(text)
        if mentions.empty and not mentions.foreign:
            heard = self._homophones.find(text)
            return () if heard is None else (heard,)
        return mentions.found

    def _sites(self, text: str) -> list[Site]:
        return self._resolver.sites(text, self.mentions(text))
