// Ask nsfwjs itself for its scores: node nsfwjs_scores.cjs MODULES_DIR LIST.jsonl > SCORES.jsonl
// MODULES_DIR holds node_modules with nsfwjs@4.4.0, @tensorflow/tfjs@4 and @tensorflow/tfjs-backend-wasm@4.
// A line of LIST is {"id": …, "raw": path of RGB bytes, "width": …, "height": …}.
const fs = require('fs');
const path = require('path');

const [, , modules, list] = process.argv;
const load = (name) => require(require.resolve(name, { paths: [path.resolve(modules)] }));
const MODELS = { mobilenet_v2: 'MobileNetV2', mobilenet_v2_140: 'MobileNetV2Mid', inception_v3: 'InceptionV3' };
const CATEGORIES = { Drawing: 'drawings', Hentai: 'hentai', Neutral: 'neutral', Porn: 'porn', Sexy: 'sexy' };

async function main() {
  console.info = () => {}; // nsfwjs greets on standard output
  const tf = load('@tensorflow/tfjs');
  load('@tensorflow/tfjs-backend-wasm').setWasmPaths(
    path.resolve(modules, 'node_modules/@tensorflow/tfjs-backend-wasm/dist') + path.sep);
  await tf.setBackend('wasm');
  const nsfwjs = load('nsfwjs');
  const pictures = fs.readFileSync(list, 'utf8').trim().split('\n').map(JSON.parse);
  for (const [name, theirs] of Object.entries(MODELS)) {
    const model = await nsfwjs.load(theirs);
    for (const { id, raw, width, height } of pictures) {
      const pixels = tf.tensor3d(Int32Array.from(fs.readFileSync(raw)), [height, width, 3], 'int32');
      const scores = {};
      for (const { className, probability } of await model.classify(pixels)) scores[CATEGORIES[className]] = probability;
      pixels.dispose();
      process.stdout.write(JSON.stringify({ model: name, id, scores }) + '\n');
    }
    model.dispose();
  }
}

main().then(() => process.exit(0), (error) => { console.error(error); process.exit(1); });
