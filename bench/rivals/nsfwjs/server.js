// nsfwjs behind node:http: sharp decodes and resizes, TensorFlow.js runs the network in WebAssembly.
//
//   node server.js PORT PROCESSES
import cluster from 'node:cluster';
import http from 'node:http';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const [port, processes] = process.argv.slice(2).map(Number);
const SIDE = 224;
const CATEGORIES = { Drawing: 'drawings', Hentai: 'hentai', Neutral: 'neutral', Porn: 'porn', Sexy: 'sexy' };

if (cluster.isPrimary && processes > 1) {
  for (let i = 0; i < processes; i++) cluster.fork();
} else {
  await serve();
}

async function serve() {
  const tf = await import('@tensorflow/tfjs');
  const { setWasmPaths } = await import('@tensorflow/tfjs-backend-wasm');
  const { default: sharp } = await import('sharp');
  // "/core" with one model's definition: the plain entry would do as well, it imports the other models only when asked.
  const { load } = await import('nsfwjs/core');
  const { MobileNetV2MidModel } = await import('nsfwjs/models/mobilenet_v2_mid');

  setWasmPaths(path.dirname(fileURLToPath(import.meta.resolve('@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm.wasm'))) + path.sep);
  await tf.setBackend('wasm');
  const model = await load('MobileNetV2Mid', { modelDefinitions: [MobileNetV2MidModel] });
  sharp.concurrency(1);
  sharp.cache(false);
  const upstream = new http.Agent({ keepAlive: true });

  async function predict(url) {
    const data = await fetchBytes(url, upstream);
    const pixels = await sharp(data).removeAlpha().resize(SIDE, SIDE, { fit: 'fill' }).raw().toBuffer();
    const image = tf.tensor3d(new Int32Array(pixels), [SIDE, SIDE, 3], 'int32');
    const classes = await model.classify(image);
    image.dispose();
    return Object.fromEntries(classes.map((c) => [CATEGORIES[c.className], c.probability]));
  }

  http.createServer(async (request, response) => {
    let status = 200, scores;
    try {
      scores = await predict(new URL(request.url, 'http://localhost').searchParams.get('url'));
    } catch (error) {
      status = 500, scores = { error: String(error) };
    }
    const body = JSON.stringify(scores);
    response.writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) });
    response.end(body);
  }).listen(port, '127.0.0.1');
}

function fetchBytes(url, agent) {
  return new Promise((resolve, reject) => {
    http.get(url, { agent }, (response) => {
      const parts = [];
      response.on('data', (part) => parts.push(part));
      response.on('end', () => resolve(Buffer.concat(parts)));
      response.on('error', reject);
    }).on('error', reject);
  });
}
