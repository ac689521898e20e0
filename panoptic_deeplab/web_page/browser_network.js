// The network in this browser, in a worker of its own, so that the page stays alive meanwhile.

import { tooLarge } from "./image_input.js";

// Whether WebGPU has a real GPU here; one imitated in software is slower than WebAssembly.
export async function hasGpu() {
  const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
  return Boolean(adapter) && !(adapter.info?.isFallbackAdapter ?? adapter.isFallbackAdapter);
}

export class BrowserNetwork {
  // device: "gpu" or "cpu".
  constructor(device) {
    this.device = device;
    this.worker = null; // started by the first image
  }

  get isLoaded() {
    return this.worker !== null;
  }

  // {ids, segments, seconds, device} of an image as `scaledImage` gives it.
  async predict({ pixels, width, height }, settings) {
    this.worker ??= new Worker("network_worker.js", { type: "module" });
    try {
      return await this.answer({ device: this.device, pixels, width, height, settings });
    } catch (error) {
      this.worker.terminate(); // what ran out of memory is of no use any more
      this.worker = null;
      throw error.outOfMemory ? tooLarge(width, height) : error;
    }
  }

  answer(question) {
    return new Promise((resolve, reject) => {
      this.worker.onmessage = ({ data }) => {
        if (!data.error) return resolve(data);
        reject(Object.assign(new Error(data.error), { outOfMemory: data.outOfMemory }));
      };
      this.worker.onerror = (event) => {
        event.preventDefault();
        reject(new Error(`The network cannot be started (${event.message ?? "network_worker.js"}).`));
      };
      this.worker.postMessage(question);
    });
  }
}
