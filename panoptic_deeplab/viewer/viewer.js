// An image under its segments: opacity, outlines, classes on and off, what lies under the pointer,
// and a table to sort and filter. All texts are set as text: names may come from anywhere.

const LIGHT = 0xffffffff; // colors are 0xAABBGGRR, as ImageData lies in memory
const DARK = 0x90000000;
const MARK = 0x66ffffff;
const ZOOMS = [["fit", 0], ["100 %", 1], ["200 %", 2], ["400 %", 4]];

/**
 * Shows one image at a time; settings stay from image to image.
 *
 * A category is {name, color: [r, g, b], isthing}, by class index. A segment is {id, category,
 * score, area}, and may have track_id and iscrowd; score is null where the method gives none.
 */
export class Viewer {
  #categories;
  #parts = {}; // elements that change, by what they are
  #prediction = new Pane("Prediction");
  #groundTruth = new Pane("Ground truth");
  #rows = []; // of the segments that are shown, as the table has them
  #hiddenClasses = new Set();
  #sorting = { column: COLUMNS[4], isDescending: true };
  #selected = null; // id of a segment of the prediction
  #pointed = null; // the pane that the pointer is in, and its last event

  /** Fills `root`, an empty element. */
  constructor(root, categories) {
    this.#categories = categories;
    root.classList.add("viewer");
    root.append(this.#makeStage(), this.#makeControls(), this.#makeClasses(), this.#makeTable());
  }

  /**
   * Shows an image.
   *
   * @param image      anything that a canvas can draw: an image, a bitmap, a canvas, a video
   * @param width, height   size of the maps, to which the image is scaled
   * @param ids        [height * width] whole numbers in rows, 0 void, else the id of a segment
   * @param segments   those of `ids`
   * @param name       of the image
   * @param groundTruth   {ids, segments}, or null
   */
  show({ image, width, height, ids, segments, name = "", groundTruth = null }) {
    this.#prediction.show(image, width, height, ids, this.#described(segments), name);
    this.#parts.groundTruthSetting.hidden = !groundTruth;
    this.#groundTruth.root.hidden = !groundTruth || !this.#parts.groundTruth.checked;
    const truth = groundTruth ?? { ids: [], segments: [] };
    const size = groundTruth ? [width, height] : [0, 0];
    this.#groundTruth.show(image, ...size, truth.ids, this.#described(truth.segments), name);
    this.#parts.minScoreSetting.hidden = segments.every((segment) => segment.score === null);
    this.#selected = segments.some((segment) => segment.id === this.#selected) ? this.#selected : null;
    this.#listClasses();
    this.#zoom();
    this.#refresh();
    if (this.#pointed) {
      this.#hover(this.#pointed.pane, this.#pointed.event);
    }
  }

  get #panes() {
    return [this.#prediction, this.#groundTruth];
  }

  /** Adds to each segment what is shown of it. */
  #described(segments) {
    const colors = segmentColors(segments, this.#categories);
    return segments.map((segment, i) => ({
      ...segment,
      name: this.#categories[segment.category].name,
      kind: kindOf(segment, this.#categories),
      track: segment.track_id ?? null,
      score: segment.score ?? null,
      color: colors[i],
    }));
  }

  // What is shown, by the settings

  #refresh() {
    const isShown = (segment) => this.#isShown(segment);
    for (const pane of this.#panes) {
      pane.draw(isShown, this.#parts.outlines.checked);
    }
    this.#rows = this.#prediction.segments.filter(isShown);
    this.#fillTable();
    this.#markSelected();
  }

  #isShown(segment) {
    const text = this.#parts.filter.value.trim().toLowerCase();
    const minScore = Number(this.#parts.minScore.value);
    return !this.#hiddenClasses.has(segment.category)
      && (segment.score === null || segment.score >= minScore)
      && matches(segment, text);
  }

  // The image

  #makeStage() {
    const tip = this.#parts.tip = element("output", { class: "viewer-tip", hidden: "" });
    const stage = element("div", { class: "viewer-stage" }, ...this.#panes.map((p) => p.root), tip);
    for (const pane of this.#panes) {
      pane.layers.addEventListener("pointermove", (event) => this.#hover(pane, event));
      pane.layers.addEventListener("pointerdown", (event) => this.#hover(pane, event));
      pane.layers.addEventListener("pointerleave", (event) => {
        if (event.pointerType === "mouse") { // a finger leaves at once
          this.#forgetPointer();
        }
      });
      pane.layers.addEventListener("click", (event) => this.#choose(pane.pixelAt(event)));
    }
    document.addEventListener("pointerdown", (event) => {
      if (!stage.contains(event.target)) {
        this.#forgetPointer();
      }
    });
    return stage;
  }

  #hover(pane, event) {
    this.#pointed = { pane, event };
    const pixel = pane.pixelAt(event);
    const given = this.#panes.filter((one) => !one.root.hidden);
    for (const one of given) {
      one.mark(one.segmentAt(pixel)?.id);
    }
    const lines = given.map((one) => [given.length > 1 ? one.title : "", one.segmentAt(pixel)]);
    this.#parts.tip.replaceChildren(...lines.map(([title, segment]) => tipLine(title, segment)));
    this.#placeTip(event);
  }

  /** Puts the tip beside the pointer, where it is inside the stage. */
  #placeTip(event) {
    const { tip } = this.#parts;
    tip.hidden = false;
    const stage = tip.parentElement.getBoundingClientRect();
    const x = event.clientX - stage.left, y = event.clientY - stage.top;
    const left = x + 14 + tip.offsetWidth < stage.width ? x + 14 : x - 14 - tip.offsetWidth;
    const top = y - 14 - tip.offsetHeight > 0 ? y - 14 - tip.offsetHeight : y + 18;
    tip.style.left = `${Math.max(0, Math.min(left, stage.width - tip.offsetWidth))}px`;
    tip.style.top = `${top}px`;
  }

  #forgetPointer() {
    this.#pointed = null;
    this.#parts.tip.hidden = true;
    this.#markSelected();
  }

  #choose(pixel) {
    const segment = this.#prediction.segmentAt(pixel);
    this.#select(segment && segment.id !== this.#selected ? segment.id : null);
    this.#scrollToSelected();
  }

  /** Scrolls the table alone: the image that was clicked stays where it is. */
  #scrollToSelected() {
    const { table } = this.#parts;
    const row = table.querySelector("[aria-pressed=true]")?.closest("tr");
    if (row) {
      table.scrollTop = row.offsetTop - table.clientHeight / 2;
    }
  }

  #select(id) {
    this.#selected = id;
    for (const button of this.#parts.rows.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(Number(button.value) === id));
    }
    this.#markSelected();
  }

  #markSelected() {
    this.#prediction.mark(this.#selected);
    this.#groundTruth.mark(null);
  }

  // Settings

  #makeControls() {
    const parts = this.#parts;
    parts.opacity = element("input", { type: "range", min: 0, max: 100, value: 50 });
    parts.outlines = element("input", { type: "checkbox", checked: "" });
    parts.groundTruth = element("input", { type: "checkbox", checked: "" });
    parts.zoom = element("select", {}, ...ZOOMS.map(([text, value]) => option(text, value)));
    parts.minScore = element("input", { type: "range", min: 0, max: 1, step: 0.01, value: 0 });
    parts.minScoreText = element("output", {}, "0.00");
    parts.groundTruthSetting = element("label", {}, parts.groundTruth, "Ground truth");
    parts.minScoreSetting =
      element("label", {}, "Minimum score", parts.minScore, parts.minScoreText);
    parts.opacity.addEventListener("input", () => this.#setOpacity());
    parts.outlines.addEventListener("change", () => this.#refresh());
    parts.zoom.addEventListener("change", () => this.#zoom());
    parts.minScore.addEventListener("input", () => {
      parts.minScoreText.textContent = Number(parts.minScore.value).toFixed(2);
      this.#refresh();
    });
    parts.groundTruth.addEventListener("change", () => {
      this.#groundTruth.root.hidden = !parts.groundTruth.checked;
      this.#zoom();
    });
    this.#setOpacity();
    return element("div", { class: "viewer-controls" },
      element("label", {}, "Opacity", parts.opacity),
      element("label", {}, parts.outlines, "Outlines"),
      parts.groundTruthSetting,
      parts.minScoreSetting,
      element("label", {}, "Zoom", parts.zoom));
  }

  #setOpacity() {
    for (const pane of this.#panes) {
      pane.setOpacity(Number(this.#parts.opacity.value) / 100);
    }
  }

  #zoom() {
    for (const pane of this.#panes) {
      pane.zoom(Number(this.#parts.zoom.value));
    }
  }

  // Classes

  #makeClasses() {
    this.#parts.classes = element("div", { class: "viewer-classes" });
    const all = element("button", { type: "button" }, "All");
    const none = element("button", { type: "button" }, "None");
    all.addEventListener("click", () => this.#hideClasses([]));
    none.addEventListener("click", () => this.#hideClasses(this.#categories.keys()));
    const legend = element("legend", {}, "Classes");
    return element("fieldset", {}, legend, all, none, this.#parts.classes);
  }

  #hideClasses(classes) {
    this.#hiddenClasses = new Set(classes);
    for (const box of this.#parts.classes.querySelectorAll("input")) {
      box.checked = !this.#hiddenClasses.has(Number(box.value));
    }
    this.#refresh();
  }

  /** Lists the classes of this image; where they are those of the last one, counts alone change. */
  #listClasses() {
    const counts = new Map();
    for (const { category } of this.#prediction.segments) {
      counts.set(category, (counts.get(category) ?? 0) + 1);
    }
    const ofTruth = this.#groundTruth.segments.map((segment) => segment.category);
    const classes = [...new Set([...counts.keys(), ...ofTruth])].sort((a, b) => a - b);
    const listed = [...this.#parts.classes.querySelectorAll("input")].map((box) => Number(box.value));
    if (classes.join() !== listed.join()) {
      this.#parts.classes.replaceChildren(...classes.map((index) => this.#classBox(index)));
    }
    this.#parts.classes.querySelectorAll("small").forEach((count, i) => {
      count.textContent = String(counts.get(classes[i]) ?? 0);
    });
  }

  #classBox(index) {
    const { name, color } = this.#categories[index];
    const box = element("input", { type: "checkbox", value: index });
    box.checked = !this.#hiddenClasses.has(index);
    box.addEventListener("change", () => {
      this.#hiddenClasses[box.checked ? "delete" : "add"](index);
      this.#refresh();
    });
    return element("label", {}, box, swatch(color), name, element("small"));
  }

  // The table

  #makeTable() {
    const parts = this.#parts;
    parts.filter = element("input", { type: "search", placeholder: "class, thing, stuff or #id" });
    parts.filter.addEventListener("input", () => this.#refresh());
    parts.count = element("output", { class: "viewer-count" });
    parts.heads = COLUMNS.map((column) => this.#head(column));
    parts.rows = element("tbody");
    parts.table = element("div", { class: "viewer-scroll" },
      element("table", {},
        element("caption", {}, "Segments"),
        element("thead", {}, element("tr", {}, ...parts.heads)),
        parts.rows));
    const filter = element("label", {}, "Filter", parts.filter);
    return element("div", { class: "viewer-table" },
      element("div", { class: "viewer-controls" }, filter, parts.count), parts.table);
  }

  #head(column) {
    const button = element("button", { type: "button" }, column.title);
    button.addEventListener("click", () => {
      const isSame = this.#sorting.column === column;
      const isDescending = isSame ? !this.#sorting.isDescending : column.isNumber;
      this.#sorting = { column, isDescending };
      this.#fillTable();
    });
    return element("th", { scope: "col" }, button);
  }

  #fillTable() {
    const { rows, heads, count } = this.#parts;
    const { column, isDescending } = this.#sorting;
    const hasTracks = this.#prediction.segments.some((segment) => segment.track !== null);
    heads.forEach((head, i) => {
      const order = isDescending ? "descending" : "ascending";
      head.setAttribute("aria-sort", COLUMNS[i] === column ? order : "none");
      head.hidden = COLUMNS[i] === TRACK && !hasTracks;
    });
    const columns = COLUMNS.filter((one) => one !== TRACK || hasTracks);
    const focused = rows.contains(document.activeElement) ? document.activeElement.value : null;
    this.#rows.sort((a, b) => compare(column.value(a), column.value(b), isDescending) || a.id - b.id);
    rows.replaceChildren(...this.#rows.map((segment) => this.#row(segment, columns)));
    count.textContent = `${this.#rows.length} of ${this.#prediction.segments.length} segments`;
    if (focused !== null) {
      rows.querySelector(`button[value="${focused}"]`)?.focus();
    }
  }

  #row(segment, columns) {
    const button = element("button",
      { type: "button", value: segment.id, "aria-pressed": String(segment.id === this.#selected) },
      swatch(segment.color), segment.name);
    const toggle = () => this.#select(segment.id === this.#selected ? null : segment.id);
    button.addEventListener("click", toggle);
    button.addEventListener("focus", () => this.#prediction.mark(segment.id));
    button.addEventListener("blur", () => this.#markSelected());
    const cells = columns.slice(1).map((column) => element("td", {}, column.text(segment)));
    const row = element("tr", {}, element("th", { scope: "row" }, button), ...cells);
    row.addEventListener("pointerenter", () => this.#prediction.mark(segment.id));
    row.addEventListener("pointerleave", () => this.#markSelected());
    return row;
  }
}

/** One map over its image: four canvases above each other, so that the opacity costs nothing. */
class Pane {
  #image = element("canvas");
  #fill = element("canvas");
  #lines = element("canvas");
  #mark = element("canvas");
  #index = new Uint32Array(0); // [height * width], 0 void, n for `segments[n - 1]`
  #boxes = []; // of the segments, [x0, y0, x1, y1] with both ends
  #marked = null;

  constructor(title) {
    this.title = title;
    this.width = this.height = 0;
    this.segments = [];
    const canvases = [this.#image, this.#fill, this.#lines, this.#mark];
    this.layers = element("div", { class: "viewer-layers", role: "img" }, ...canvases);
    const scroll = element("div", { class: "viewer-scroll", tabindex: 0, role: "group" }, this.layers);
    scroll.setAttribute("aria-label", title);
    this.root = element("figure", {}, element("figcaption", {}, title), scroll);
  }

  show(image, width, height, ids, segments, name) {
    Object.assign(this, { width, height, segments });
    for (const canvas of this.layers.children) {
      Object.assign(canvas, { width, height });
    }
    if (width) {
      this.#image.getContext("2d").drawImage(image, 0, 0, width, height);
    }
    this.#index = indexMap(ids, segments);
    this.#boxes = boundingBoxes(this.#index, width, segments.length);
    this.#marked = null;
    this.layers.setAttribute("aria-label", `${this.title}${name && ` of ${name}`}: ${summary(segments)}`);
  }

  /** Draws the segments for which `isShown`, and outlines of the things among them. */
  draw(isShown, hasOutlines) {
    const shown = this.segments.map(isShown);
    const colors = this.segments.map((segment, i) => (shown[i] ? packed(segment.color) : 0));
    this.#paint(this.#fill, (pixels) => fillColors(pixels, this.#index, [0, ...colors]));
    const outlined = this.segments.map(({ kind }, i) => hasOutlines && shown[i] && kind === "thing");
    const thickness = Math.max(1, Math.round(Math.min(this.width, this.height) / 700));
    this.#paint(this.#lines, (pixels) =>
      drawOutlines(pixels, this.#index, this.width, this.height, [false, ...outlined], thickness));
  }

  #paint(canvas, draw) {
    if (!this.width) {
      return;
    }
    const pixels = new ImageData(this.width, this.height);
    draw(new Uint32Array(pixels.data.buffer));
    canvas.getContext("2d").putImageData(pixels, 0, 0);
  }

  /** Lightens the segment with this id; null for none. */
  mark(id) {
    const place = this.segments.findIndex((segment) => segment.id === id);
    if (place === this.#marked) {
      return;
    }
    this.#marked = place;
    const context = this.#mark.getContext("2d");
    context.clearRect(0, 0, this.width, this.height);
    const [x0, y0, x1, y1] = this.#boxes[place] ?? [0, 0, -1, -1];
    if (x1 < x0) {
      return;
    }
    const width = x1 - x0 + 1, height = y1 - y0 + 1;
    const cut = new Uint32Array(width * height);
    for (let y = 0; y < height; y++) {
      const start = (y0 + y) * this.width + x0;
      cut.set(this.#index.subarray(start, start + width), y * width);
    }
    const pixels = new ImageData(width, height);
    markPixels(new Uint32Array(pixels.data.buffer), cut, width, height, place + 1, this.#lineWidth());
    context.putImageData(pixels, x0, y0);
  }

  /** Pixels of the map that are 2 on the screen. */
  #lineWidth() {
    return Math.max(1, Math.round((2 * this.width) / (this.layers.clientWidth || this.width)));
  }

  setOpacity(opacity) {
    this.#fill.style.opacity = opacity;
  }

  /** Shows the image that many times as large as it is, 0 for as large as there is room. */
  zoom(factor) {
    this.layers.style.setProperty("--ratio", String(this.width / (this.height || 1)));
    this.layers.style.width = factor ? `${factor * this.width}px` : "";
    this.layers.classList.toggle("viewer-pixels", this.layers.clientWidth > 1.5 * this.width);
  }

  /** The [x, y] of the map under the pointer. */
  pixelAt(event) {
    const box = this.layers.getBoundingClientRect();
    const at = (position, start, length, count) =>
      Math.max(0, Math.min(count - 1, Math.floor(((position - start) / length) * count)));
    return [
      at(event.clientX, box.left, box.width, this.width),
      at(event.clientY, box.top, box.height, this.height),
    ];
  }

  /** The segment at a pixel, undefined for void. */
  segmentAt([x, y]) {
    return this.segments[this.#index[y * this.width + x] - 1];
  }
}

// Maps

/** The place of each pixel's segment, from 1; 0 for void. */
function indexMap(ids, segments) {
  const places = new Map(segments.map((segment, i) => [segment.id, i + 1]));
  const index = new Uint32Array(ids.length);
  let last = 0, place = 0;
  for (let i = 0; i < ids.length; i++) {
    if (ids[i] !== last) {
      last = ids[i];
      place = places.get(last) ?? 0;
    }
    index[i] = place;
  }
  return index;
}

function boundingBoxes(index, width, count) {
  const boxes = Array.from({ length: count }, () => [Infinity, Infinity, -1, -1]);
  for (let start = 0, y = 0; start < index.length; start += width, y++) {
    for (let x = 0; x < width; x++) {
      const place = index[start + x];
      if (!place) {
        continue;
      }
      const box = boxes[place - 1];
      if (x < box[0]) box[0] = x;
      if (y < box[1]) box[1] = y;
      if (x > box[2]) box[2] = x;
      box[3] = y;
    }
  }
  return boxes;
}

function fillColors(pixels, index, colors) {
  const table = Uint32Array.from(colors);
  for (let i = 0; i < index.length; i++) {
    pixels[i] = table[index[i]];
  }
}

/** Draws a light line inside the border of each outlined segment, and a dark one inside of that. */
function drawOutlines(pixels, index, width, height, isOutlined, thickness) {
  const outlined = Uint8Array.from(isOutlined);
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      if (!outlined[index[i]]) {
        continue;
      }
      if (differs(index, i, x, y, width, height, thickness)) {
        pixels[i] = LIGHT;
      } else if (differs(index, i, x, y, width, height, 2 * thickness)) {
        pixels[i] = DARK;
      }
    }
  }
}

/** Whether a pixel `reach` away in one of four directions is of another segment. */
function differs(index, i, x, y, width, height, reach) {
  const here = index[i];
  return (x >= reach && index[i - reach] !== here)
    || (x + reach < width && index[i + reach] !== here)
    || (y >= reach && index[i - reach * width] !== here)
    || (y + reach < height && index[i + reach * width] !== here);
}

function markPixels(pixels, index, width, height, place, thickness) {
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      if (index[i] === place) {
        pixels[i] = differs(index, i, x, y, width, height, thickness) ? LIGHT : MARK;
      }
    }
  }
}

// Colors, as panoptic_deeplab/visualization/palette.py gives them

const LIGHTNESS = [0.32, 0.74];
const HUE_RANGE = 0.045;
const STEPS = [0.7548776662466927, 0.5698402909980532];

/** The color of each segment: its class's, for instances a shade by track or by their order. */
function segmentColors(segments, categories) {
  const instances = new Map();
  const colors = new Map();
  for (const segment of [...segments].sort((a, b) => a.id - b.id)) {
    const { color } = categories[segment.category];
    const isInstance = kindOf(segment, categories) === "thing" && !segment.iscrowd;
    const number = instances.get(segment.category) ?? 0;
    instances.set(segment.category, number + isInstance);
    const shade = segment.track_id == null ? number : segment.track_id - 1;
    colors.set(segment.id, isInstance ? instanceColor(color, shade) : color);
  }
  return segments.map((segment) => colors.get(segment.id));
}

/** The shade of a class's color for its instance of this number, from 0. */
function instanceColor(color, number) {
  if (number === 0) {
    return color;
  }
  const [hue, lightness, saturation] = rgbToHls(color.map((value) => value / 255));
  const [darkest, lightest] = LIGHTNESS;
  const start = Math.min(Math.max((lightness - darkest) / (lightest - darkest), 0), 1);
  const position = (start + number * STEPS[0]) % 1;
  const shift = HUE_RANGE * (2 * ((0.5 + number * STEPS[1]) % 1) - 1);
  const shade = darkest + position * (lightest - darkest);
  return hlsToRgb((hue + shift + 1) % 1, shade, saturation).map((v) => Math.round(255 * v));
}

function rgbToHls([r, g, b]) {
  const high = Math.max(r, g, b), low = Math.min(r, g, b), range = high - low;
  const lightness = (high + low) / 2;
  if (range === 0) {
    return [0, lightness, 0];
  }
  const saturation = range / (lightness <= 0.5 ? high + low : 2 - high - low);
  const sector = high === r ? (g - b) / range : high === g ? 2 + (b - r) / range : 4 + (r - g) / range;
  return [(sector / 6 + 1) % 1, lightness, saturation];
}

function hlsToRgb(hue, lightness, saturation) {
  const high = lightness <= 0.5 ? lightness * (1 + saturation) : lightness + saturation * (1 - lightness);
  const low = 2 * lightness - high;
  const channel = (at) => {
    const h = (at + 1) % 1;
    if (h < 1 / 6) return low + (high - low) * h * 6;
    if (h < 1 / 2) return high;
    return h < 2 / 3 ? low + (high - low) * (2 / 3 - h) * 6 : low;
  };
  return [channel(hue + 1 / 3), channel(hue), channel(hue - 1 / 3)];
}

function packed([r, g, b]) {
  return ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
}

// Segments

function kindOf(segment, categories) {
  return categories[segment.category].isthing ? "thing" : "stuff";
}

/** Whether a filter keeps a segment: part of its class's name, its kind, or # and its id or track. */
function matches(segment, text) {
  if (text.startsWith("#")) {
    return text === "#" || [segment.id, segment.track].map(String).includes(text.slice(1));
  }
  return segment.kind === text || segment.name.toLowerCase().includes(text);
}

/** Compares two values; what is not known comes last in both orders. */
function compare(a, b, isDescending) {
  if (a === null || b === null) {
    return (a === null) - (b === null);
  }
  const order = typeof a === "string" ? a.localeCompare(b) : a - b;
  return isDescending ? -order : order;
}

const plain = (value) => (value === null ? "" : String(value));
const scoreText = (score) => (score === null ? "" : score.toFixed(3));
const TRACK = { title: "track", isNumber: true, value: (s) => s.track, text: (s) => plain(s.track) };
const COLUMNS = [
  { title: "class", isNumber: false, value: (s) => s.name, text: (s) => s.name },
  { title: "id", isNumber: true, value: (s) => s.id, text: (s) => plain(s.id) },
  TRACK,
  { title: "score", isNumber: true, value: (s) => s.score, text: (s) => scoreText(s.score) },
  { title: "area", isNumber: true, value: (s) => s.area, text: (s) => s.area.toLocaleString("en") },
];

function summary(segments) {
  const names = new Map();
  for (const { name } of segments) {
    names.set(name, (names.get(name) ?? 0) + 1);
  }
  return [...names].map(([name, count]) => `${count} ${name}`).join(", ") || "no segment";
}

function tipLine(title, segment) {
  const line = element("div", {}, title && `${title}: `);
  if (!segment) {
    line.append("void");
    return line;
  }
  const details = [
    segment.score === null ? "" : `score ${scoreText(segment.score)}`,
    `${segment.area.toLocaleString("en")} px`,
    `id ${segment.id}`,
    segment.track === null ? "" : `track ${segment.track}`,
    segment.iscrowd ? "group" : "",
  ];
  line.append(swatch(segment.color), element("b", {}, segment.name), " ",
    details.filter(Boolean).join(", "));
  return line;
}

// Elements

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

function option(text, value) {
  return element("option", { value }, text);
}

function swatch([r, g, b]) {
  const made = element("span", { class: "viewer-swatch", "aria-hidden": "true" });
  made.style.backgroundColor = `rgb(${r} ${g} ${b})`;
  return made;
}
