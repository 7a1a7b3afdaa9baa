// The page of a blind reading: a reader scores a slide without seeing what the machine made of it.

import { getRun, getSlide, postEvent } from "./api.js";
import { reviewMarkRead } from "./badges.js";
import { askReviewer, showHelp } from "./dialogs.js";
import { announce, byId, put, toggle } from "./dom.js";
import { fixed } from "./format.js";
import { fillIcons } from "./icons.js";
import { mountKeys } from "./keys.js";
import { Incomplete, problem } from "./problem.js";
import { onReviewer, reviewerName, startReviewer } from "./reviewer.js";
import { mountScale } from "./scale.js";
import { makeStore } from "./store.js";
import { showTurning } from "./turning.js";
import { askedView, mountViews, openViewer, showPixelNote } from "./views.js";

const KEPT_KIND = "slidescore.reading";
const BINS = ["p0", "p1", "p2", "p3"];
/** Readers round: the bins may miss 100 by so much, as the server has it. */
const SLACK = 0.5;
const WHOLE = 100;
const RANGES = { h_score: 300, percent_positive: WHOLE };
const LABEL = "Slide. Arrow keys move, plus and minus zoom.";
const PAN_PX = 60;
const WAYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const id = decodeURIComponent(location.pathname.split("/").at(-1));
const form = byId("reading");

start();

async function start() {
  fillIcons();
  try {
    const run = await getRun();
    startReviewer(run.reviewer);
    byId("footer").textContent = `${run.research_use} slidescore ${run.version}`;
    open(await getSlide(id, reviewerName()));
  } catch (error) {
    showTurning(id, null, "rgb", "read");
    byId("slide-name").textContent = id;
    problem(error);
  }
}

function open(slide) {
  document.title = `${slide.file} – blind reading – slidescore`;
  byId("slide-name").textContent = slide.file;
  showRead(slide.read);
  const store = makeStore({ view: askedView(slide) });
  const turn = showTurning(id, slide.neighbours, store.state.view, "read");
  const viewer = showPixelNote(slide.pixels) ? openViewer(slide, store.state.view, LABEL) : null;
  if (viewer) mountPicture(store, viewer, slide, turn);
  // For the browser tests, which must know where the page looks.
  window.slidescore = Object.freeze({ viewer: viewer?.osd });

  const zoom = { "zoom-in": () => viewer?.zoomBy(1), "zoom-out": () => viewer?.zoomBy(-1), fit: () => viewer?.fit() };
  const show = (view) => store.set({ view });
  const keys = [
    { keys: ["1"], words: "As scanned (RGB)", group: "Look", act: () => show("rgb") },
    { keys: ["2"], words: "Hematoxylin alone", group: "Look", act: () => show("hematoxylin") },
    { keys: ["3"], words: "DAB alone", group: "Look", act: () => show("dab") },
    { keys: ["+", "="], shown: ["+"], words: "Zoom in", group: "Look", act: zoom["zoom-in"] },
    { keys: ["-"], words: "Zoom out", group: "Look", act: zoom["zoom-out"] },
    { keys: ["0"], words: "Whole slide", group: "Look", act: zoom.fit },
    { keys: ["v"], words: "Go to the slide: arrows move it", group: "Look", act: () => viewer?.focus() },
    { keys: ["e"], words: "Go to the reading", group: "Read", act: () => chosen().querySelector("input").focus() },
    { keys: ["j"], words: "Next slide", group: "Read", act: () => turn.go("next") },
    { keys: ["k"], words: "Previous slide", group: "Read", act: () => turn.go("previous") },
    { keys: ["?"], words: "This help", group: "Read", act: help },
  ];
  function help() {
    showHelp(keys, ["Enter in a field saves the reading."]);
  }
  mountKeys(keys);
  for (const [name, act] of Object.entries({ ...zoom, help }))
    document.querySelector(`[data-action=${name}]`).addEventListener("click", act);
  byId("reviewer-button").addEventListener("click", askReviewer);
  onReviewer(async () => showRead((await getSlide(id, reviewerName())).read));

  form.elements.kind.value = localStorage.getItem(KEPT_KIND) || "h_score";
  showKind();
  form.addEventListener("change", showKind);
  form.addEventListener("input", () => {
    showSum();
    // What stands in the form now is not what was saved.
    byId("saved").textContent = "";
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    save(slide);
  });
  document.querySelector("[data-action=save-next]").addEventListener("click", async () => {
    if (!(await save(slide))) return;
    if (slide.neighbours.next) turn.go("next");
    else location.assign(byId("to-cohort").href);
  });
}

function mountPicture(store, viewer, slide, turn) {
  mountScale(viewer, slide);
  mountViews(store, viewer, slide);
  store.on(["view"], () => turn.show(store.state.view));
  viewer.osd.canvas.addEventListener("keydown", (event) => {
    const way = WAYS[event.key];
    if (!way) return;
    event.preventDefault();
    viewer.panBy(way[0] * PAN_PX, way[1] * PAN_PX);
  });
}

const kind = () => form.elements.kind.value;
const chosen = () => form.querySelector(`.given[data-kind=${kind()}]`);

function showKind() {
  for (const part of form.querySelectorAll(".given")) toggle(part, part === chosen());
  localStorage.setItem(KEPT_KIND, kind());
}

function showSum() {
  const shares = BINS.map((name) => Number(form.elements[name].value || 0));
  const sum = shares.reduce((total, share) => total + share, 0);
  const h = shares[1] + 2 * shares[2] + 3 * shares[3];
  const right = Math.abs(sum - WHOLE) <= SLACK;
  byId("bins-sum").textContent = right
    ? `Sum ${fixed(sum, 1)} %, H-score ${fixed(h, 1)}.`
    : `The four must come to 100 %; now ${fixed(sum, 1)} %.`;
}

/** Read the form; throws a sentence where it is not complete. */
function readForm() {
  const number = (name, most) => {
    const text = form.elements[name].value.trim();
    const value = Number(text);
    if (text === "" || !Number.isFinite(value) || value < 0 || value > most) {
      form.elements[name].focus();
      throw new Incomplete(`Write a number from 0 to ${most}.`);
    }
    return value;
  };
  if (kind() === "bins") {
    const bins = BINS.map((name) => number(name, WHOLE));
    if (Math.abs(bins.reduce((total, share) => total + share, 0) - WHOLE) > SLACK)
      throw new Incomplete("The four bins must come to 100 %.");
    return { bins };
  }
  if (kind() === "intensity") {
    if (form.elements.intensity.value === "") throw new Incomplete("Choose an intensity.");
    return { intensity: Number(form.elements.intensity.value) };
  }
  return { [kind()]: number(kind(), RANGES[kind()]) };
}

async function save(slide) {
  problem(null);
  try {
    const reading = readForm();
    const reviewer = reviewerName() || (await askReviewer());
    if (!reviewer) return false;
    const text = form.elements.text.value.trim();
    await postEvent(id, {
      kind: "reading",
      reviewer,
      result_digest: slide.result_digest,
      ...reading,
      ...(text ? { text } : {}),
    });
    showRead(true);
    byId("saved").textContent = `Saved for ${reviewer}.`;
    announce("Reading saved.");
    return true;
  } catch (error) {
    byId("saved").textContent = "";
    problem(error);
    return false;
  }
}

function showRead(read) {
  put(byId("read-state"), read ? reviewMarkRead() : "not read");
}
