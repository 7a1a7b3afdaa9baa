// Thresholds and cut-off tried out on the slide: dragged on the histogram, answered by the scoring code, never saved.

import { postAssay, postPreview } from "./api.js";
import { NO_CALL } from "./badges.js";
import { askForm } from "./dialogs.js";
import { cutoffChart, odChart } from "./dials.js";
import { announce, byId, make, put, toggle } from "./dom.js";
import {
  BIN_NAMES,
  operatorSign,
  scaleOf,
  scoreWords,
  showBetween,
  showChance,
  showChange,
  showNumber,
  showPercent,
} from "./format.js";
import { Incomplete } from "./problem.js";

const ANNOUNCE_MS = 700;
const APPLY = "slidescore rescore RUN --out RUN2 --assay FILE";
/** Names that assays may have, as the server has it. */
const NAME = /^[a-z0-9][a-z0-9._-]*$/;

/**
 * Draw the dials and keep the preview answered. `store.preview` is null or `{t, cutoff, drawn, result}`, where `drawn`
 * holds the thresholds by which cells are drawn and counted, null while only the cut-off is tried.
 */
export function mountPreview(store, run, slide, problem) {
  const scale = scaleOf(run.assay);
  const start = { t: slide.histogram.thresholds, cutoff: scale.cutoff };
  const now = () => store.state.preview ?? start;
  const [odPlace, cutoffPlace] = [byId("od-chart"), byId("cutoff-chart")];
  const ods = odChart(odPlace, slide, now, (t) => change({ t }));
  const operator = run.assay.cutoff?.operator;
  const cutoffs = cutoffChart(cutoffPlace, { slide, scale, operator, now }, (cutoff) => change({ cutoff }));
  let asked = 0;
  let busy = false;
  let speak;
  const hint =
    scale.cutoff === null
      ? "Drag a threshold to try it out. Nothing is saved."
      : "Drag a threshold or the cut-off to try it out. Nothing is saved.";
  const saved = make("p", { class: "small", id: "assay-saved", hidden: true });
  byId("preview").append(saved);

  function change(part) {
    const { t, cutoff } = { ...now(), ...part };
    const drawn = t.every((od, k) => od === start.t[k]) ? null : t;
    toggle(saved, false);
    const tried = drawn || cutoff !== start.cutoff;
    store.set({ preview: tried ? { t, cutoff, drawn, result: now().result ?? null } : null });
    if (tried) ask();
  }

  /** One question at a time, and at the end the newest: a drag asks as fast as the server answers. */
  async function ask() {
    asked += 1;
    if (busy) return;
    busy = true;
    try {
      for (let mine = 0; mine !== asked && store.state.preview;) {
        mine = asked;
        const { t, cutoff } = store.state.preview;
        const result = await postPreview(slide.id, { t, cutoff });
        if (store.state.preview) store.set({ preview: { ...store.state.preview, result } });
      }
    } catch (error) {
      problem(error);
    } finally {
      busy = false;
    }
  }

  function draw() {
    const { preview, review } = store.state;
    ods.draw();
    cutoffs.draw(review, preview);
    toggle(byId("preview-label"), preview);
    toggle(byId("preview-note"), preview?.drawn);
    toggle(byId("verdict-preview"), preview);
    for (const action of ["reset-preview", "save-assay"])
      document.querySelector(`[data-action=${action}]`).disabled = !preview;
    byId("preview").classList.toggle("trying", Boolean(preview));
    byId("preview-result").replaceChildren(
      ...(preview?.result
        ? resultWords(preview.result, slide, scale, review?.n_corrected)
        : [make("p", { class: "quiet small" }, hint)]),
    );
    clearTimeout(speak);
    if (preview?.result)
      speak = setTimeout(() => announce(`Preview, not saved: ${byId("preview-result").textContent}`), ANNOUNCE_MS);
  }

  store.on(["preview", "review"], draw);
  new ResizeObserver(draw).observe(odPlace);
  document.querySelector("[data-action=reset-preview]").addEventListener("click", () => {
    store.set({ preview: null });
    announce("Preview taken back.");
    byId("t1").focus();
  });
  document.querySelector("[data-action=save-assay]").addEventListener("click", async () => {
    const name = await save(now(), run, scale);
    if (!name) return;
    const said = `Saved ${name}.yaml. Apply it: `;
    put(saved, said, make("code", {}, APPLY), ".");
    toggle(saved, true);
    announce(`${said}${APPLY}.`);
  });
  draw();
}

function resultWords(result, slide, scale, corrected) {
  const change = showChange(slide[scale.field], result[scale.field]);
  const words = (call) => call?.replaceAll("_", " ") ?? NO_CALL;
  const calls = result.call === slide.call ? words(result.call) : `${words(slide.call)} → ${words(result.call)}`;
  const between = showBetween(result.low, result.high, scale.write);
  const chance = result.call === null ? "" : `, P(HIGH) ${showChance(result.p_high)}`;
  const bins = BIN_NAMES.map((name, bin) => `${name} ${showNumber(result.bins[bin])}`).join(" · ");
  return [
    make(
      "p",
      {},
      make("strong", {}, scoreWords(result, scale)),
      ` (${change})`,
      scale.field === "h_score" ? `, ${showPercent(result.percent_positive)} positive` : "",
      ", ",
      make("strong", {}, calls),
    ),
    between ? make("p", { class: "quiet small" }, `95 % interval ${between}${chance}`) : "",
    make(
      "p",
      { class: "quiet small" },
      corrected ? `${bins}. Without corrections: they belong to the run's assay.` : bins,
    ),
  ];
}

/** Ask for a name and a source and save the numbers; returns the name, null where nothing was saved. */
function save({ t, cutoff }, run, { field }) {
  const dialog = byId("assay-dialog");
  const form = dialog.querySelector("form");
  const thresholds = t.map((od, k) => `${BIN_NAMES[k + 1]} ≥ ${od.toFixed(2)}`);
  byId("assay-numbers").textContent =
    `${run.assay.compartment}: ${thresholds.join(", ")}; ` +
    (cutoff === null
      ? "no cut-off."
      : `cut-off ${operatorSign(run.assay.cutoff.operator)} ${cutoff}${field === "percent_positive" ? " %" : ""}.`);
  if (!form.elements.name.value) form.elements.name.value = `${run.assay.name}-local`;
  return askForm(dialog, async ({ name: given, source }) => {
    if (!NAME.test(given)) throw new Incomplete("Write a name of small letters, digits, '.', '_' and '-'.");
    if (given === run.assay.name) throw new Incomplete("Write another name: this one is the run's assay.");
    if (!source.trim()) throw new Incomplete("Write where these numbers come from.");
    download(await postAssay({ t, cutoff, name: given, source: source.trim().replace(/\s+/g, " ") }), `${given}.yaml`);
    return given;
  });
}

function download(file, name) {
  const address = URL.createObjectURL(file);
  make("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
