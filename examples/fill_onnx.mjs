// Fills the hole of a photograph with a file that `glcic-jax export --to onnx` wrote.
//
//   npm install onnxruntime-web pngjs
//   node fill_onnx.mjs generator.onnx photo.png mask.png repaired.png
//
// The mask is white where the hole is.
import fs from "node:fs";
import * as ort from "onnxruntime-web";
import { PNG } from "pngjs";

const [model, photoName, maskName, outputName] = process.argv.slice(2);
const photo = PNG.sync.read(fs.readFileSync(photoName)); // 8 bits RGBA, whatever the file has
const mask = PNG.sync.read(fs.readFileSync(maskName));
const { width, height, data } = photo;
if (mask.width !== width || mask.height !== height) throw new Error("photograph and mask differ in size");

const count = width * height;
const image = new Float32Array(3 * count); // one plane after the other: (1, 3, height, width)
const hole = new Float32Array(count);
for (let pixel = 0; pixel < count; pixel++) {
  for (let channel = 0; channel < 3; channel++)
    image[channel * count + pixel] = data[4 * pixel + channel] / 255;
  hole[pixel] = mask.data[4 * pixel] > 127 ? 1 : 0;
}

const session = await ort.InferenceSession.create(new Uint8Array(fs.readFileSync(model)));
const { completed } = await session.run({
  image: new ort.Tensor("float32", image, [1, 3, height, width]),
  mask: new ort.Tensor("float32", hole, [1, 1, height, width]),
});

for (let pixel = 0; pixel < count; pixel++)
  for (let channel = 0; channel < 3; channel++)
    data[4 * pixel + channel] = Math.round(255 * completed.data[channel * count + pixel]);
fs.writeFileSync(outputName, PNG.sync.write(photo));
