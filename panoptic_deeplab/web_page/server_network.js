// The network behind the server's Open Inference Protocol (KServe v2), with binary tensors.

import { rgbOf, tooLarge } from "./image_input.js";
import { segmentsOf } from "./segments.js";

const ARRAYS = { INT32: Int32Array, FP32: Float32Array, UINT8: Uint8Array };

export class ServerNetwork {
  isLoaded = true;

  // {ids, segments, seconds, device} of an image as `scaledImage` gives it.
  async predict({ pixels, width, height }, settings) {
    const start = performance.now();
    const response = await fetch("v2/models/panoptic/infer", request(rgbOf(pixels), width, height, settings));
    if (response.status === 413) throw tooLarge(width, height);
    if (!response.ok) throw new Error(await reasonOf(response));
    const outputs = await outputsOf(response);
    const seconds = (performance.now() - start) / 1000;
    return { ids: outputs.panoptic, segments: segmentsOf(outputs), seconds, device: "server" };
  }
}

function request(rgb, width, height, settings) {
  const parameters = { binary_data_size: rgb.length };
  const header = new TextEncoder().encode(JSON.stringify({
    parameters: { ...settings, binary_data_output: true },
    inputs: [{ name: "image", datatype: "UINT8", shape: [1, height, width, 3], parameters }],
  }));
  const headers = { "Inference-Header-Content-Length": header.length, "Content-Type": "application/octet-stream" };
  return { method: "POST", headers, body: new Blob([header, rgb]) };
}

async function reasonOf(response) {
  const { error } = await response.json().catch(() => ({}));
  return error ?? `The server answers ${response.status}.`;
}

// Typed arrays by name.
async function outputsOf(response) {
  const body = await response.arrayBuffer();
  let place = Number(response.headers.get("Inference-Header-Content-Length"));
  const { outputs } = JSON.parse(new TextDecoder().decode(body.slice(0, place)));
  return Object.fromEntries(outputs.map(({ name, datatype, parameters }) => {
    const bytes = body.slice(place, (place += parameters.binary_data_size));
    return [name, new ARRAYS[datatype](bytes)];
  }));
}
