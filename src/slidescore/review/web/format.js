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
  const words = { h_score: "H-score", percent_positive: "percent positive" };
  return cutoff.text
    .split(/\s+/)
    .map((word) => words[word] ?? operatorSign(word))
    .join(" ");
}

/** Write the operator of a cut-off, ">=" or ">", for readers. */
export const operatorSign = (operator) => (operator === ">=" ? "≥" : operator);

/** Write a score in the scale of the assay: percent positive, or the H-score. */
export const scoreWords = ({ percent_positive: positive, h_score: h }, percent) =>
  percent ? `${showPercent(positive)} positive` : `H ${showScore(h, 1)}`;

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

/** The value that the cut-off of an assay is about: percent positive or the H-score. */
export const onPercent = (assay) => assay.cutoff.scale === "percent_positive";

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
