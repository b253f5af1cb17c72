// The page: choose a photograph, paint, ask the server to fill, compare, go on.

import { Painting } from "/painting.js";

const $ = (id) => document.getElementById(id);
const painting = new Painting($("mask"));
const view = $("view");

let photograph = null;  // the file as it was chosen, which is what the server gets
let repaired = null;    // the server's PNG
let name = "repaired.png";
let tool = "paint";
let zoom = 1;           // CSS pixels for a pixel of the photograph
let maxMegapixels = Infinity;

// --- What the person is told ---------------------------------------------------------------------

function say(text, wrong = false) {
  $("status").textContent = text;
  $("status").classList.toggle("wrong", wrong);
}

function show(section) {
  for (const id of ["choose", "work", "result"]) $(id).hidden = id !== section;
}

function enable() {
  for (const id of ["undo", "clear", "mask-save", "fill"]) $(id).disabled = painting.isEmpty;
}

// --- The photograph ------------------------------------------------------------------------------

async function open(file, said = "") {
  let picture;
  try {
    picture = await createImageBitmap(file);
  } catch {
    say(`${file.name ?? "This"} is no photograph that a browser can show.`, true);
    return;
  }
  const { width, height } = picture;
  if (width * height > maxMegapixels * 1e6) {
    say(`This photograph has ${(width * height / 1e6).toFixed(1)} megapixels; at most ` +
      `${maxMegapixels} can be repaired here.`, true);
    return;
  }
  photograph = file;
  name = `${(file.name ?? "photograph").replace(/\.[^.]*$/, "")}-repaired.png`;
  $("image").width = width;
  $("image").height = height;
  $("image").getContext("2d").drawImage(picture, 0, 0);
  picture.close();
  painting.open(width, height);
  $("size").max = Math.max(20, Math.round(Math.max(width, height) / 6));
  $("size").value = Math.max(4, Math.round(Math.max(width, height) / 40));
  showSize();
  show("work");
  fit();
  enable();
  say(said || `${width} × ${height} pixels. Paint over what should be filled.`);
}

$("photograph").addEventListener("change", (event) => {
  const [file] = event.target.files;
  event.target.value = "";  // so that the same file can be chosen again
  if (file) open(file);
});
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    $("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop" && event.dataTransfer.files.length) open(event.dataTransfer.files[0]);
  });
}
document.addEventListener("paste", (event) => {
  const file = [...event.clipboardData.files].find((file) => file.type.startsWith("image/"));
  if (file) open(file);
});

// --- Zoom ----------------------------------------------------------------------------------------

function setZoom(value) {
  const { width, height } = $("image");
  zoom = Math.min(16, Math.max(0.02, value));
  $("stage").style.width = `${width * zoom}px`;
  $("stage").style.height = `${height * zoom}px`;
  $("image").style.imageRendering = zoom > 3 ? "pixelated" : "auto";
}

function fit() {
  const { width, height } = $("image");
  const room = view.clientWidth;
  const tall = window.innerHeight * (window.innerWidth < 640 ? 0.56 : 0.72);
  setZoom(Math.min(room / width, tall / height, 4));
}

// Zoom so that what is in the middle of the view stays there.
function zoomBy(factor) {
  const middle = [
    (view.scrollLeft + view.clientWidth / 2) / zoom, (view.scrollTop + view.clientHeight / 2) / zoom,
  ];
  setZoom(zoom * factor);
  view.scrollLeft = middle[0] * zoom - view.clientWidth / 2;
  view.scrollTop = middle[1] * zoom - view.clientHeight / 2;
}

$("larger").addEventListener("click", () => zoomBy(1.5));
$("smaller").addEventListener("click", () => zoomBy(1 / 1.5));
$("fit").addEventListener("click", fit);

// --- Painting ------------------------------------------------------------------------------------

function choose(which) {
  tool = which;
  for (const id of ["paint", "erase", "move"]) $(id).setAttribute("aria-pressed", id === which);
  $("stage").classList.toggle("moving", which === "move");
}
for (const id of ["paint", "erase", "move"]) $(id).addEventListener("click", () => choose(id));

function showSize() {
  $("size-shown").value = $("size").value;
}
$("size").addEventListener("input", showSize);

function place(event) {
  const box = $("mask").getBoundingClientRect();
  return [(event.clientX - box.left) / zoom, (event.clientY - box.top) / zoom];
}

let drawing = null;  // the pointer that draws, or drags the view
$("mask").addEventListener("pointerdown", (event) => {
  if (drawing !== null || event.button > 0) return;
  if (tool === "move" && event.pointerType === "touch") return;  // the browser scrolls by itself
  drawing = event.pointerId;
  $("mask").setPointerCapture(drawing);
  if (tool !== "move") painting.begin(...place(event), Number($("size").value), tool === "erase");
});
$("mask").addEventListener("pointermove", (event) => {
  if (event.pointerId !== drawing) return;
  if (tool === "move") {
    view.scrollLeft -= event.movementX;
    view.scrollTop -= event.movementY;
    return;
  }
  for (const part of event.getCoalescedEvents?.() ?? [event]) painting.extend(...place(part));
});
for (const kind of ["pointerup", "pointercancel"]) {
  $("mask").addEventListener(kind, (event) => {
    if (event.pointerId === drawing) drawing = null;
    enable();
  });
}

function undo() {
  painting.undo();
  enable();
}
$("undo").addEventListener("click", undo);
$("clear").addEventListener("click", () => { painting.clear(); enable(); });
document.addEventListener("keydown", (event) => {
  if ($("work").hidden || painting.isEmpty) return;
  if ((event.ctrlKey || event.metaKey) && event.key === "z") { event.preventDefault(); undo(); }
});

$("mask-file").addEventListener("change", async (event) => {
  const [file] = event.target.files;
  event.target.value = "";
  if (!file) return;
  try {
    await painting.load(file);
    say("The mask is added to what is painted.");
  } catch (error) {
    say(error instanceof DOMException ? `${file.name} is no picture.` : error.message, true);
  }
  enable();
});
$("mask-save").addEventListener("click", async () => save(await painting.png(), "mask.png"));

function save(blob, as) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = as;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

// --- Filling -------------------------------------------------------------------------------------

async function ask() {
  const mask = await painting.png();
  const head = new Uint8Array(4);
  new DataView(head.buffer).setUint32(0, photograph.size);
  const answer = await fetch("/fill", {
    method: "POST", headers: { "X-Glcic-Jax": "1" }, body: new Blob([head, photograph, mask]),
  });
  if (answer.ok) return answer.blob();
  const told = await answer.json().catch(() => null);
  throw new Error(told?.message ?? `The server answered ${answer.status}.`);
}

async function fill() {
  const started = performance.now();
  $("fill").disabled = true;
  $("work").inert = true;
  say("Filling …");
  try {
    repaired = await ask();
    present();
    say(`Filled in ${((performance.now() - started) / 1000).toFixed(1)} s.`);
  } catch (error) {
    // fetch fails with a TypeError where nobody answers.
    say(error instanceof TypeError ? "The server does not answer. Is it running?" : error.message,
      true);
  }
  $("work").inert = false;
  enable();
}
$("fill").addEventListener("click", fill);

function swap(image, blob) {
  URL.revokeObjectURL(image.src);
  image.src = URL.createObjectURL(blob);
}

function present() {
  swap($("before"), photograph);
  swap($("after"), repaired);
  $("download").href = $("after").src;
  $("download").download = name;
  $("compare").value = 50;
  compare();
  show("result");
}

function compare() {
  const share = Number($("compare").value);
  // Of the after picture the right part is shown; the handle goes to the left to show more of it.
  $("after").style.clipPath = `inset(0 0 0 ${100 - share}%)`;
  $("edge").style.left = `${100 - share}%`;
}
$("compare").addEventListener("input", compare);
$("back").addEventListener("click", () => { show("work"); say(""); });
$("go-on").addEventListener("click", () => {
  const before = name;
  open(new File([repaired], name, { type: "image/png" }), "Go on: paint the next hole.")
    .then(() => { name = before; });
});

fetch("/limits").then((answer) => answer.json()).then((limits) => {
  maxMegapixels = limits.max_megapixels;
  $("limit").textContent = `, up to ${maxMegapixels} megapixels`;
}).catch(() => say("The server does not answer. Is it running?", true));
