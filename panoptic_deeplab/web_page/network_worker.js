// Runs model.onnx, images in and ids out, by ONNX Runtime Web.

import { rgbOf } from "./image_input.js";
import { segmentsOf } from "./segments.js";

const RUNTIMES = {
  gpu: { api: "ort.webgpu.min.js", core: "ort-wasm-simd-threaded.asyncify", providers: ["webgpu", "wasm"] },
  cpu: { api: "ort.wasm.min.js", core: "ort-wasm-simd-threaded", providers: ["wasm"] },
};
const THREADS_AT_MOST = 8;

let opened = null; // the runtime and the model, a promise

onmessage = async ({ data }) => {
  try {
    opened ??= open(data.device);
    const answer = await run(await opened, data);
    postMessage(answer, [answer.ids.buffer]);
  } catch (error) {
    postMessage({ error: textOf(error), outOfMemory: isOutOfMemory(error) });
  }
};

async function open(device) {
  const { api, core, providers } = RUNTIMES[device];
  const ort = await import(`./${api}`);
  ort.env.wasm.wasmPaths = { mjs: beside(`${core}.js`), wasm: beside(`${core}.wasm`) };
  // Threads share memory, which browsers allow where the server sends the headers for it.
  const threads = self.crossOriginIsolated ? navigator.hardwareConcurrency : 1;
  ort.env.wasm.numThreads = Math.min(threads, THREADS_AT_MOST);
  const options = { executionProviders: providers, logSeverityLevel: 3 }; // 3: errors alone
  const model = await readModel();
  try {
    return { ort, session: await ort.InferenceSession.create(model, options), device };
  } catch (error) {
    const why = isOutOfMemory(error) ? "does not fit into this browser's memory" : "cannot be run by this browser";
    throw new Error(`The network (${(model.length / 1e6).toFixed(0)} MB) ${why} (${textOf(error)}).`);
  }
}

function beside(name) {
  return new URL(name, import.meta.url).href;
}

async function readModel() {
  const response = await fetch("model.onnx");
  if (!response.ok) throw new Error(`model.onnx: the server answers ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}

async function run({ ort, session, device }, { pixels, width, height, settings }) {
  const feeds = {
    image: new ort.Tensor("uint8", rgbOf(pixels), [1, height, width, 3]),
    threshold: new ort.Tensor("float32", [settings.threshold], [1]),
    min_stuff_area: new ort.Tensor("int64", [BigInt(settings.min_stuff_area)], [1]),
  };
  const start = performance.now();
  const tensors = await session.run(feeds);
  const seconds = (performance.now() - start) / 1000;
  const outputs = Object.fromEntries(Object.entries(tensors).map(([name, { data }]) => [name, data]));
  return { ids: outputs.panoptic, segments: segmentsOf(outputs), seconds, device: nameOf(device, ort) };
}

function nameOf(device, ort) {
  if (device === "gpu") return "GPU";
  const threads = ort.env.wasm.numThreads;
  return `CPU, ${threads} thread${threads > 1 ? "s" : ""}`;
}

function isOutOfMemory(error) {
  return error instanceof RangeError || /bad_alloc|out of memory|memory access|alloc/i.test(textOf(error));
}

function textOf(error) {
  return String(error?.message ?? error).split("\n")[0].slice(0, 300);
}
