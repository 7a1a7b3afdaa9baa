// Numbers and words as the report pages write them (report/page.py). What was not computed is "–", never zero.

export const NOTHING = "–";
export const NOT_COMPUTED = "not computed";
export const BIN_NAMES = ["Negative", "1+", "2+", "3+"];
export const COMPARTMENTS = ["nucleus", "cytoplasm", "membrane", "cell"];

/** Read a number that may be missing; null for missing, empty and not finite. */
export function asNumber(value) {
  if (value === null || value === undefined || value === "") return null;
  const number = Number(value);
  return Number.isFinite(number) ? number : null;
}

/** Write a number with fixed decimals, grouped thousands. */
export function showNumber(value, digits = 0) {
  const number = asNumber(value);
  if (number === null) return NOTHING;
  const [whole, decimals] = fixed(number, digits).split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ",");
  return decimals ? `${grouped}.${decimals}` : grouped;
}

/** Write an H-score (0 to 300). */
export function showScore(value, digits = 0) {
  const number = asNumber(value);
  return number === null ? NOTHING : fixed(number, digits);
}

/** Write a percentage: no decimals above 10, one below, and never a 0 or 100 that is only rounded. */
export function showPercent(value) {
  const number = asNumber(value);
  if (number === null) return NOTHING;
  if (number > 0 && number < 0.1) return "<0.1 %";
  if (number < 100 && number > 99.5) return ">99 %";
  return `${fixed(number, number >= 10 || number === 0 ? 0 : 1)} %`;
}

/** Write the part that `count` is of `total`. */
export const showShare = (count, total) => (total ? showPercent((100 * count) / total) : NOTHING);

/** Write a cut-off as the tables state it (`h_score cytoplasm >= 150`) for readers (`H-score cytoplasm ≥ 150`). */
export function showCutoff(cutoff) {
  return cutoff.text
    .split(/\s+/)
    .map((word) => SCALES[word]?.words ?? operatorSign(word))
    .join(" ");
}

/** Write how far a cut-off is to be trusted, where it is not validated, for example " (provisional)". */
export const showStatus = (cutoff) => (cutoff.status === "validated" ? "" : ` (${cutoff.status})`);

/** Write a probability with two decimals, never a 0 or 1 that is only rounded. */
export function showChance(value) {
  const number = asNumber(value);
  if (number === null) return NOTHING;
  if (number > 0 && number < 0.01) return "<0.01";
  return number > 0.99 && number < 1 ? ">0.99" : fixed(number, 2);
}

/** Write an interval of scores, for example "121 to 166"; empty where there is none. */
export const showBetween = (low, high, write = showScore, digits = 0) =>
  asNumber(low) === null || asNumber(high) === null ? "" : `${write(low, digits)} to ${write(high, digits)}`;

/** Write the operator of a cut-off, ">=" or ">", for readers. */
export const operatorSign = (operator) => (operator === ">=" ? "≥" : operator);

const whole = (value) => showScore(value, 0);

/**
 * The scales of scores: `title` of an axis, `words` within a sentence, `head` of a column, `mark` beside an axis and
 * `unit` behind a value; where the scale ends, in how many parts its axis is cut, and the step of a cut-off; `write`
 * writes a value.
 */
export const SCALES = {
  h_score: {
    title: "H-score",
    words: "H-score",
    head: "H-score",
    mark: "H",
    unit: "H-score",
    end: 300,
    parts: 6,
    step: 1,
    write: showScore,
  },
  percent_positive: {
    title: "Percent positive",
    words: "percent positive",
    head: "Positive",
    mark: "%",
    unit: "positive",
    end: 100,
    parts: 5,
    step: 0.5,
    write: showPercent,
  },
  irs: {
    title: "Immunoreactive score",
    words: "immunoreactive score",
    head: "IRS",
    mark: "IRS",
    unit: "IRS",
    end: 12,
    parts: 6,
    step: 1,
    write: whole,
  },
  allred: {
    title: "Allred score",
    words: "Allred score",
    head: "Allred",
    mark: "A",
    unit: "Allred",
    end: 8,
    parts: 4,
    step: 1,
    write: whole,
  },
  pixel_h_score: {
    title: "Pixel H-score",
    words: "pixel H-score",
    head: "Pixel H",
    mark: "H",
    unit: "pixel H-score",
    end: 300,
    parts: 6,
    step: 1,
    write: showScore,
  },
};

/** How the scores of this assay's calls are written and drawn: `field` holds them, `cutoff` is null without one. */
export const scaleOf = (assay) => ({
  ...SCALES[assay.scheme],
  field: assay.scheme,
  cutoff: assay.cutoff?.value ?? null,
});

/** Write a score on a scale, with its name. */
export const scoreWords = (values, { field, unit, write }) =>
  field === "h_score" ? `H ${showScore(values.h_score, 1)}` : `${write(values[field], 1)} ${unit}`;

/** Write a change with its sign. */
export function showChange(from, to, digits = 1) {
  const [before, after] = [asNumber(from), asNumber(to)];
  if (before === null || after === null) return "";
  const text = fixed(Math.abs(after - before), digits);
  if (Number(text) === 0) return "unchanged";
  return `${after > before ? "+" : "−"}${text}`;
}

/** Write "1 cell", "2 cells". */
export const showCount = (count, noun) => `${showNumber(count)} ${noun}${count === 1 ? "" : "s"}`;

/** Write a length given in micrometres, in mm from 1,000 on. */
export const showLength = (um) => (um >= 1000 ? `${um / 1000} mm` : `${um} µm`);

/** Write a moment of the log: its day and minute, in UTC as the log has it. */
export function showTime(utc) {
  const found = /^(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2})/.exec(utc ?? "");
  return found ? `${found[1]} ${found[2]} UTC` : "";
}

/** Write a number with fixed decimals; exactly in the middle it is rounded to even, as Python does. */
export function fixed(number, digits) {
  const doubled = number * 2 ** (digits + 1);
  if (Number.isInteger(doubled) && Math.abs(doubled % 2) === 1) {
    const scaled = number * 10 ** digits;
    if (Math.abs(scaled % 1) === 0.5) {
      const below = Math.floor(scaled);
      return ((below % 2 === 0 ? below : below + 1) / 10 ** digits).toFixed(digits);
    }
  }
  return number.toFixed(digits);
}
