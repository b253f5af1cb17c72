// The hole: strokes on a canvas of the photograph's size. Strokes are kept as points, so that
// undoing one costs no copy of the canvas.

const HOLE = "#ff00ff";

export class Painting {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.marks = [];
  }

  // Start anew on a photograph of this size.
  open(width, height) {
    this.canvas.width = width;
    this.canvas.height = height;
    this.marks = [];
  }

  begin(x, y, size, erase) {
    this.marks.push({ erase, size, points: [[x, y]] });
    this.#stroke(this.marks.at(-1), 0);
  }

  extend(x, y) {
    const mark = this.marks.at(-1);
    mark.points.push([x, y]);
    this.#stroke(mark, mark.points.length - 2);
  }

  // A mask from a file: whatever of it is white, or painted where the rest is transparent.
  async load(blob) {
    const picture = await createImageBitmap(blob);
    const { width, height } = this.canvas;
    if (Math.abs(picture.width * height - picture.height * width) > (width + height) / 2) {
      throw new Error(
        `The mask has ${picture.width} × ${picture.height} pixels and another shape than the ` +
        `photograph, ${width} × ${height}.`);
    }
    const layer = new OffscreenCanvas(width, height);
    const context = layer.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.drawImage(picture, 0, 0, width, height);
    const pixels = context.getImageData(0, 0, width, height);
    if (!toHole(pixels.data)) throw new Error("The mask shows no hole: it has to be white there.");
    context.putImageData(pixels, 0, 0);
    this.marks.push({ layer });
    this.context.drawImage(layer, 0, 0);
  }

  undo() {
    this.marks.pop();
    this.#redraw();
  }

  clear() {
    this.marks = [];
    this.#redraw();
  }

  get isEmpty() {
    return this.marks.length === 0;
  }

  // A PNG, white where the hole is and black elsewhere.
  png() {
    const { width, height } = this.canvas;
    const copy = new OffscreenCanvas(width, height);
    const context = copy.getContext("2d");
    context.drawImage(this.canvas, 0, 0);
    context.globalCompositeOperation = "source-in";
    context.fillStyle = "#fff";
    context.fillRect(0, 0, width, height);
    context.globalCompositeOperation = "destination-over";
    context.fillStyle = "#000";
    context.fillRect(0, 0, width, height);
    return copy.convertToBlob({ type: "image/png" });
  }

  #redraw() {
    this.context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    for (const mark of this.marks) {
      if (mark.layer) this.context.drawImage(mark.layer, 0, 0);
      else this.#stroke(mark, 0);
    }
  }

  #stroke(mark, first) {
    const context = this.context;
    context.globalCompositeOperation = mark.erase ? "destination-out" : "source-over";
    context.strokeStyle = HOLE;
    context.lineWidth = mark.size;
    context.lineCap = context.lineJoin = "round";
    context.beginPath();
    context.moveTo(...mark.points[first]);
    // A line of no length is a dot.
    for (const point of mark.points.slice(first)) context.lineTo(...point);
    context.stroke();
    context.globalCompositeOperation = "source-over";
  }
}

// Turn a mask's pixels into the hole's colour, in place; whether there is any.
function toHole(data) {
  let isOpaque = true;
  for (let at = 3; at < data.length; at += 4) if (data[at] < 128) { isOpaque = false; break; }
  let found = false;
  for (let at = 0; at < data.length; at += 4) {
    const bright = data[at] + data[at + 1] + data[at + 2] > 382;
    const hole = isOpaque ? bright : data[at + 3] >= 128;
    data[at] = 255; data[at + 1] = 0; data[at + 2] = 255; data[at + 3] = hole ? 255 : 0;
    found ||= hole;
  }
  return found;
}
