"""What reviewers did and do: GET review, POST events, GET /api/events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from starlette.responses import Response

from slidescore.audit.drafts import draft_event
from slidescore.audit.events import Draft, Event
from slidescore.audit.requests import parse_request
from slidescore.review.api_answers import json_answer
from slidescore.review.api_params import ApiError, Asked, polygon_of
from slidescore.review.desk import Desk
from slidescore.review.opened_slide import OpenedSlide
from slidescore.review.score_facts import automatic_score, reviewed_score

BLIND_KINDS: Final = frozenset({"reading", "comment"})
"""What a blind reader may write."""


def get_review(desk: Desk, asked: Asked) -> Response:
    """Answer GET /api/slides/{id}/review: state, both scores and history; undo and redo are those of `reviewer`."""
    desk.refuse_blind()
    opened = desk.open(asked.path["id"])
    desk.book.refresh()
    return json_answer(review_facts(desk, opened, asked.query_reviewer(desk.options.reviewer)))


def post_event(desk: Desk, asked: Asked) -> Response:
    """Answer POST /api/slides/{id}/events: one act, on the disk when this returns."""
    body = asked.json()
    is_verdict = isinstance(body, dict) and body.get("kind") == "verdict"
    looked_at = body.pop("revision", None) if is_verdict else None
    request = parse_request(body)
    if desk.options.blind and request.kind not in BLIND_KINDS:
        raise ApiError(403, "this is a blind reading: readings and comments only", "review slides without --blind")
    if not desk.options.blind and request.kind == "reading":
        raise ApiError(403, "a reading is blind", "start the review with --blind")
    opened = desk.open(asked.path["id"])
    if request.result_digest != opened.result.digest:
        raise ApiError(409, "the slide was scored again since you opened it", "reload the page")
    if is_verdict and not isinstance(looked_at, str):
        raise ApiError(400, "revision is missing: which state of the slide is signed", "reload the page")
    if request.kind == "region":
        polygon_of([list(corner) for corner in request.content["polygon"]])
    subject, _ = opened.judged(opened.cells())

    def build(events: Sequence[Event]) -> Draft:
        if is_verdict and looked_at != opened.revision_after(events):
            raise ApiError(
                409, "the slide was changed by somebody else since you looked", "look at it again, then sign"
            )
        return draft_event(request, events, subject)

    if not desk.book.refresh():
        # The first act makes the log; one that is refused must not.
        build(())
    event = desk.book.append(opened.slide_id, build)
    if not desk.run.is_current(opened.result):
        raise ApiError(409, "the slide was scored again meanwhile: the act is in the log and does not count", "reload")
    review = None if desk.options.blind else review_facts(desk, opened, request.reviewer)
    return json_answer({"event": event_facts(event), "review": review}, 201)


def get_events(desk: Desk, asked: Asked) -> Response:
    """Answer GET /api/events: what happened after event `after`; blind readers see who read what."""
    after, head = asked.query_integer("after", 0), desk.book.refresh()
    events = [event_facts(event) for event in desk.book.after(after)]
    if desk.options.blind:
        events = [event for event in events if event["kind"] == "reading"]
    return json_answer({"events": events, "head": head})


def event_facts(event: Event) -> dict[str, Any]:
    """Describe an event in short."""
    return {
        "seq": event.seq,
        "utc": event.utc,
        "slide_id": event.slide_id,
        "kind": event.kind,
        "reviewer": event.reviewer,
    }


def review_facts(desk: Desk, opened: OpenedSlide, reviewer: str) -> dict[str, Any]:
    """Describe the review of a slide, the automatic score beside the reviewed one."""
    _, reviewed = opened.reviewed()
    review = reviewed.review
    return {
        "state": review.state,
        "call": review.call,
        "reason": review.reason,
        "reviewer": review.reviewer,
        "reviewers": list(review.reviewers),
        "n_corrected": review.n_corrected,
        "automatic": automatic_score(opened.result.record, reviewed),
        "reviewed": reviewed_score(reviewed),
        "history": list(review.history),
        "undo": review.can_undo(reviewer),
        "redo": review.can_redo(reviewer),
        "regions": [
            {
                "seq": region.seq,
                "role": region.role,
                "polygon": [list(corner) for corner in region.polygon],
                "reviewer": region.reviewer,
                "reason": region.reason,
            }
            for region in review.regions
        ],
        "seq": reviewed.head,
        "revision": reviewed.revision,
        "result_digest": opened.result.digest,
    }
