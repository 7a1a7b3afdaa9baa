// The page of one slide: brings the parts together, and holds what they share.

import { getReview, getRun, getSlide } from "./api.js";
import { callBadge, qcMark, reviewMark } from "./badges.js";
import { mountCellPanel } from "./cell_panel.js";
import { makeActs } from "./corrections.js";
import { mountCounts } from "./counts.js";
import { mountCrosshair } from "./crosshair.js";
import { askReviewer, showHelp } from "./dialogs.js";
import { announce, byId, make } from "./dom.js";
import { mountDrawing } from "./drawing.js";
import { makeEdits } from "./edits.js";
import { BIN_NAMES, scaleOf, scoreWords, showCount } from "./format.js";
import { fillIcons } from "./icons.js";
import { mountKeys } from "./keys.js";
import { mountLayers, startLayers } from "./layers.js";
import { mountPanel } from "./panel.js";
import { poll } from "./poll.js";
import { mountPreview } from "./preview.js";
import { problem } from "./problem.js";
import { mountHistory } from "./review_history.js";
import { onReviewer, reviewerName, startReviewer } from "./reviewer.js";
import { mountScale } from "./scale.js";
import { makeSelection } from "./selection.js";
import { makeStore } from "./store.js";
import { mountTools } from "./tools.js";
import { showTurning } from "./turning.js";
import { askedView, mountViews, openViewer, showPixelNote } from "./views.js";

const id = decodeURIComponent(location.pathname.split("/").at(-1));
const asked = new URLSearchParams(location.search);

start();

async function start() {
  fillIcons();
  try {
    const run = await getRun();
    startReviewer(run.reviewer);
    byId("footer").textContent = `${run.research_use} slidescore ${run.version}`;
    const slide = await getSlide(id, reviewerName());
    open(run, slide);
  } catch (error) {
    showTurning(id, null, "slides");
    byId("slide-name").textContent = id;
    document.body.classList.add("without-slide");
    problem(error);
  }
}

function open(run, slide) {
  const store = makeStore({
    ...startLayers(),
    view: askedView(slide),
    tool: "pan",
    draft: null,
    crosshair: null,
    selection: null,
    region: null,
    preview: null,
    review: null,
  });
  const { state } = store;
  drawHead(run, slide);
  const viewer = showPixelNote(slide.pixels) ? openViewer(slide, state.view) : null;
  // For the browser tests, which must know where the page looks.
  window.slidescore = Object.freeze({
    viewer: viewer?.osd,
    place: viewer?.place,
    get state() {
      return { ...state, slide };
    },
  });

  const acts = makeActs(store, slide, { problem, describe: () => describe(run, slide, state.review) });
  const selection = makeSelection(store, slide, problem);
  const { correct, undo, redo, addRegion, reopen } = makeEdits(store, acts, selection);

  mountPanel(store, run, slide, { reopen });
  mountPreview(store, run, slide, problem);
  mountCellPanel(store, slide, {
    bin: (bin) => correct({ bin }, BIN_NAMES[bin]),
    tumor: (tumor) => correct({ tumor }, tumor ? "tumor" : "not tumor"),
    clear: () => {
      selection.clear();
      viewer?.focus();
    },
  });
  mountHistory(store, { undo: (seq) => undo(() => seq), redo: (seq) => redo(() => seq) });
  const tools = viewer && mountPicture(store, viewer, slide, selection);

  const turn = showTurning(id, slide.neighbours, state.view);
  store.on(["view"], () => turn.show(state.view));
  store.on(["review"], ({ review }) => {
    button("undo").disabled = !review.undo;
    button("redo").disabled = !review.redo;
  });
  const actions = {
    accept: () => acts.verdict("accept"),
    flag: () => acts.verdict("flag"),
    reject: () => acts.verdict("reject"),
    override: () => acts.verdict("override"),
    comment: acts.comment,
    undo: () => undo(() => state.review?.undo),
    redo: () => redo(() => state.review?.redo),
    "zoom-in": () => viewer?.zoomBy(1),
    "zoom-out": () => viewer?.zoomBy(-1),
    fit: () => viewer?.fit(),
    "drop-region": () => store.set({ region: null }),
    help: () => showHelp(keys, HELP_NOTES),
  };
  for (const [name, act] of Object.entries(actions)) button(name).addEventListener("click", act);
  for (const each of document.querySelectorAll("[data-region-role]"))
    each.addEventListener("click", () => addRegion(each.dataset.regionRole));
  byId("reviewer-button").addEventListener("click", askReviewer);

  // A view that cannot be shown has a button that cannot be pressed.
  const show = (name) => document.querySelector(`[data-view=${name}]`).click();
  const keys = [
    { keys: ["1"], words: "As scanned (RGB)", group: "Look", act: () => show("rgb") },
    { keys: ["2"], words: "Hematoxylin alone", group: "Look", act: () => show("hematoxylin") },
    { keys: ["3"], words: "DAB alone", group: "Look", act: () => show("dab") },
    { keys: ["4"], words: "DAB optical density", group: "Look", act: () => show("heat") },
    { keys: ["c"], words: "Cells on and off", group: "Look", act: () => store.set({ cells: !state.cells }) },
    { keys: ["+", "="], shown: ["+"], words: "Zoom in", group: "Look", act: actions["zoom-in"] },
    { keys: ["-"], words: "Zoom out", group: "Look", act: actions["zoom-out"] },
    { keys: ["0"], words: "Whole slide", group: "Look", act: actions.fit },
    { keys: ["v"], words: "Go to the slide: arrows move it, Enter selects", group: "Look", act: () => viewer?.focus() },
    { keys: ["l"], words: "Lasso: select cells", group: "Correct", act: () => tools?.choose("lasso") },
    { keys: ["r"], words: "Region: count, include, exclude", group: "Correct", act: () => tools?.choose("region") },
    {
      keys: ["e"],
      words: "Go to the buttons of the selected cells",
      group: "Correct",
      act: () => document.querySelector("[data-set-bin]")?.focus(),
    },
    { keys: ["z", "ctrl+z"], shown: ["Z"], words: "Undo", group: "Correct", act: actions.undo },
    { keys: ["shift+z", "ctrl+shift+z"], shown: ["Shift + Z"], words: "Redo", group: "Correct", act: actions.redo },
    {
      keys: ["escape"],
      words: "Cancel, or clear what is selected",
      group: "Correct",
      act: () => escape(store, viewer, tools),
    },
    { keys: ["y"], words: "Accept the slide", group: "Sign off", act: actions.accept },
    { keys: ["x"], words: "Flag it", group: "Sign off", act: actions.flag },
    { keys: ["o"], words: "Override the call", group: "Sign off", act: actions.override },
    { keys: ["m"], words: "Comment", group: "Sign off", act: actions.comment },
    { keys: ["j"], words: "Next slide", group: "Slides", act: () => turn.go("next") },
    { keys: ["k"], words: "Previous slide", group: "Slides", act: () => turn.go("previous") },
    { keys: ["?"], words: "This help", group: "Slides", act: actions.help },
  ];
  mountKeys(keys);

  getReview(id, reviewerName()).then((review) => store.set({ review }), problem);
  // Undo and redo are each reviewer's own.
  onReviewer(() => acts.renew().catch(problem));
  const cell = asked.get("cell");
  if (cell) selection.pick(cell).catch(problem);
  poll(
    () => state.review?.seq ?? 0,
    async (events, replaced) => {
      if (replaced) {
        await acts.renew();
        selection.renew();
        announce("The log of reviews was replaced; this is what it holds now.");
        return;
      }
      // What this page did meanwhile it knows already.
      const fresh = events.filter((event) => event.seq > (state.review?.seq ?? 0));
      const others = fresh.filter((event) => event.slide_id === id);
      if (fresh.length && state.review && !others.length)
        return store.set({ review: { ...state.review, seq: fresh.at(-1).seq } });
      if (!others.length) return;
      await acts.renew();
      selection.renew();
      announce(`${[...new Set(others.map((event) => event.reviewer))].join(", ")} changed this slide.`);
    },
    problem,
  );
}

const HELP_NOTES = [
  "On the slide: with Move, arrows move the slide and Enter selects the cell at the crosshair.",
  "With Select, Lasso and Region, arrows move the crosshair (Shift: finely) and Enter picks a cell or sets a corner; " +
    "Enter twice closes a shape, Backspace takes the last corner back.",
];

/** Wire everything that needs the picture of the slide. */
function mountPicture(store, viewer, slide, selection) {
  const { state } = store;
  const tools = mountTools(store, viewer, {
    point: selection.point,
    shape: (tool, polygon) => {
      if (tool === "region") {
        store.set({ region: { polygon } });
        announce("Region drawn.");
      } else selection.within(polygon);
      viewer.focus();
    },
  });
  mountCrosshair(store, viewer, tools, selection.point);
  mountDrawing(store, viewer);
  mountScale(viewer, slide);
  mountCounts(store, viewer, slide, problem);
  // Tiles of cells need the review, which says what they show.
  const layersOnce = () => {
    if (layersOnce.done || !state.review) return;
    layersOnce.done = true;
    mountLayers(store, viewer, slide);
  };
  store.on(["review"], layersOnce);
  mountViews(store, viewer, slide);
  return tools;
}

function drawHead(run, slide) {
  document.title = `${slide.file} – slidescore`;
  byId("slide-name").textContent = slide.file;
  byId("slide-name").title = slide.id;
  byId("slide-facts").replaceChildren(
    ...[qcMark(slide.qc), slide.patient_id ? ` patient ${slide.patient_id}` : ""].filter(Boolean),
  );
}

/** What a reviewer is about to sign, for the dialog. */
function describe(run, slide, review) {
  const scale = scaleOf(run.assay);
  const line = [make("span", { class: "quiet" }, "Automatic "), `${scoreWords(slide, scale)} `, callBadge(slide)];
  if (!review) return line;
  const corrected = review.n_corrected ? `, ${showCount(review.n_corrected, "cell")} corrected` : ", nothing corrected";
  return [
    ...line.flat(),
    make("br"),
    make("span", { class: "quiet" }, "Reviewed "),
    `${scoreWords(review.reviewed, scale)}${corrected} `,
    reviewMark(review.state),
  ];
}

/** Take back one thing: the shape, the tool, the selection, the region. */
function escape(store, viewer, tools) {
  const { state } = store;
  if (state.draft) store.set({ draft: null });
  else if (state.tool !== "pan") tools.choose("pan");
  else if (state.selection) store.set({ selection: null });
  else if (state.region) store.set({ region: null });
  else return;
  viewer?.focus();
}

const button = (action) => document.querySelector(`[data-action="${action}"]`);
