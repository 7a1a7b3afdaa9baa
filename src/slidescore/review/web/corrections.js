// Acts that go into the log: corrections, undo and redo, verdicts, comments. The answer brings the new review with it.

import { getReview, postEvent } from "./api.js";
import { askForm, askReviewer } from "./dialogs.js";
import { announce, byId, make, toggle } from "./dom.js";
import { showScore } from "./format.js";
import { Incomplete } from "./problem.js";
import { reviewerName, setReviewer } from "./reviewer.js";

const VERDICTS = {
  accept: {
    state: "accepted",
    head: "Accept this slide",
    done: "accepted",
    suggestions: ["Overlay and scores agree with the slide", "Agree after corrections"],
  },
  flag: {
    state: "flagged",
    head: "Flag this slide",
    done: "flagged",
    suggestions: ["Needs a second reader", "Check the tissue and its staining"],
  },
  reject: {
    state: "rejected",
    head: "Reject this slide",
    done: "rejected",
    suggestions: ["Staining failed", "Out of focus", "Too little tumor"],
  },
  override: {
    state: "overridden",
    head: "Override the call",
    done: "overridden",
    suggestions: ["Heterogeneous: hot spot decides", "Background staining read as positive"],
  },
};

/** Make the acts. `problem(error)` says a failure in place. */
export function makeActs(store, slide, { problem, describe }) {
  const { state } = store;
  let turn = Promise.resolve();

  function take(review) {
    // Answers can arrive in another order than they were given.
    if (!state.review || review.seq >= state.review.seq) store.set({ review });
  }

  async function post(body, reviewer) {
    byId("reviewed-score").setAttribute("aria-busy", "true");
    try {
      const { review } = await postEvent(slide.id, { ...body, reviewer, result_digest: slide.result_digest });
      take(review);
      return review;
    } finally {
      byId("reviewed-score").removeAttribute("aria-busy");
    }
  }

  /**
   * Send an act that needs no dialog but a name; returns whether it was taken.
   *
   * Acts are sent one after another, so that two quick undos undo two edits: `bodyOf()` makes the act when its turn has
   * come, or returns null where there is nothing to do any more; `said(body)` says in words what was done.
   */
  function send(bodyOf, said) {
    turn = turn.then(() => sendNow(bodyOf, said));
    return turn;
  }

  async function sendNow(bodyOf, said) {
    const reviewer = reviewerName() || (await askReviewer());
    const body = reviewer && bodyOf();
    if (!body) return false;
    try {
      problem(null);
      const review = await post(body, reviewer);
      announce(`${said(body)}. Reviewed H-score ${showScore(review.reviewed.h_score, 1)}.`);
      return true;
    } catch (error) {
      problem(error);
      return false;
    }
  }

  /** Ask for verdict, reviewer and reason, and send them; what is signed is what the dialog says. */
  async function verdict(action) {
    const { state: next, head, done, suggestions } = VERDICTS[action];
    // What this page has under way is part of what is signed.
    await turn;
    const dialog = byId("verdict-dialog");
    const form = dialog.querySelector("form");
    form.reset();
    byId("verdict-head").textContent = head;
    byId("verdict-submit").textContent = head;
    let looked;
    const look = () => {
      looked = state.review?.revision;
      byId("verdict-words").replaceChildren(...describe());
    };
    look();
    toggle(byId("verdict-call"), action === "override");
    form.elements.call.disabled = action !== "override";
    form.elements.reviewer.value = reviewerName();
    byId("verdict-suggestions").replaceChildren(
      ...suggestions.map((words) =>
        make(
          "button",
          {
            type: "button",
            class: "chip",
            onclick: () => Object.assign(form.elements.reason, { value: words }).focus(),
          },
          words,
        ),
      ),
    );
    for (const field of [form.elements.call, form.elements.reviewer, form.elements.reason]) delete field.dataset.first;
    const first =
      action === "override"
        ? form.elements.call
        : form.elements.reviewer.value
          ? form.elements.reason
          : form.elements.reviewer;
    first.dataset.first = "";
    const review = await askForm(dialog, async ({ reviewer, reason, call }) => {
      named(reviewer);
      if (!reason.trim()) throw new Incomplete("Write a reason: it stands in the log beside the verdict.");
      const body = { kind: "verdict", state: next, reason: oneLine(reason), revision: looked };
      if (action === "override") body.call = call;
      try {
        return await post(body, reviewer.trim());
      } catch (error) {
        // Somebody else changed the slide: the sentence stands in the dialog, and above it what there is to sign now.
        if (error.status === 409 && (await isRenewed())) look();
        throw error;
      }
    });
    if (review) announce(`Slide ${done}.`);
    return Boolean(review);
  }

  async function comment() {
    const dialog = byId("comment-dialog");
    const form = dialog.querySelector("form");
    form.reset();
    form.elements.reviewer.value = reviewerName();
    delete form.elements.text.dataset.first;
    if (form.elements.reviewer.value) form.elements.text.dataset.first = "";
    const review = await askForm(dialog, ({ reviewer, text }) => {
      named(reviewer);
      if (!text.trim()) throw new Incomplete("Write a comment.");
      return post({ kind: "comment", text: text.trim() }, reviewer.trim());
    });
    if (review) announce("Comment added.");
  }

  /** Ask for the review anew, after others changed it. */
  async function renew() {
    take(await getReview(slide.id, reviewerName()));
  }

  /** Show what became of a slide that others changed; false where its result is another one, or nobody answers. */
  async function isRenewed() {
    const review = await getReview(slide.id, reviewerName()).catch(() => null);
    if (review?.result_digest !== slide.result_digest) return false;
    take(review);
    return true;
  }

  return { send, verdict, comment, renew };
}

/** Reasons stand in a line of a table. */
const oneLine = (text) => text.trim().replace(/\s+/g, " ");

function named(reviewer) {
  if (!reviewer.trim()) throw new Incomplete("Write your name: every act in the log has one.");
  setReviewer(reviewer);
}
